"""What two sequences have in common, in time that no input makes quadratic."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from typing import Final, TypeAlias

Pairs: TypeAlias = list[tuple[int, int]]

# Up to this many pairs of equal items the answer is exact.
_MOST_PAIRS: Final = 20_000


def increasing(values: Sequence[int]) -> list[int]:
    """Return the indices of a longest strictly increasing subsequence."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for index, value in enumerate(values):
        size = bisect_left(ends, value)
        before.append(last[size - 1] if size else -1)
        ends[size : size + 1] = [value]
        last[size : size + 1] = [index]
    found: list[int] = []
    at = last[-1] if last else -1
    while at >= 0:
        found.append(at)
        at = before[at]
    return found[::-1]


def common_pairs(old: Sequence[Hashable], new: Sequence[Hashable]) -> Pairs:
    """Return the index pairs of a long common subsequence, in order.

    It is a longest one, unless there are very many pairs of equal items: then the items
    that each side has once come first, and what lies between them is looked at alone.
    """
    found: Pairs = []
    waiting = [(0, len(old), 0, len(new), True)]
    while waiting:
        low, high, start, stop, may_split = waiting.pop()
        while low < high and start < stop and old[low] == new[start]:
            found.append((low, start))
            low, start = low + 1, start + 1
        while low < high and start < stop and old[high - 1] == new[stop - 1]:
            high, stop = high - 1, stop - 1
            found.append((high, stop))
        here = Counter(old[low:high])
        there = Counter(new[start:stop])
        pairs = sum(count * there[item] for item, count in here.items())
        if pairs > _MOST_PAIRS and not may_split:
            continue
        once = pairs > _MOST_PAIRS
        spots: defaultdict[Hashable, list[int]] = defaultdict(list)
        for index in range(stop - 1, start - 1, -1):
            if not once or here[new[index]] == there[new[index]] == 1:
                spots[new[index]].append(index)
        # The later of two equal items comes first, so that no two are in one run.
        equal = [(n, m) for n in range(low, high) for m in spots.get(old[n], ())]
        kept = [equal[n] for n in increasing([m for _, m in equal])]
        found += kept
        if once:
            starts = [(low, start), *((n + 1, m + 1) for n, m in kept)]
            ends = [*kept, (high, stop)]
            waiting += [
                (a[0], b[0], a[1], b[1], False)
                for a, b in zip(starts, ends, strict=True)
            ]
    return sorted(found)
