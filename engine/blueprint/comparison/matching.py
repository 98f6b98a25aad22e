"""Which node of a new flow is which node of an old one.

Stored identities come first, then names, then equal subtrees, then the order of
siblings, then likeness. What is sure is matched before what is likely.
"""

from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from engine.blueprint.comparison.outline import LISTED, Outline, normal_text
from engine.blueprint.comparison.sequences import common_pairs
from engine.blueprint.comparison.values import same
from engine.flow import dump_compact

Identities: TypeAlias = Mapping[str, str]
"""The stable id of each node by its place."""

# Siblings are compared each with each up to this many pairs.
_MOST_CELLS: Final = 1024
_EQUAL: Final = 1000.0
_SOME: Final = 0.1
_LIKE: Final = 0.6
# A value that more nodes have says little about which one it is.
_MOST_CANDIDATES: Final = 32


def match_nodes(
    old: Outline,
    new: Outline,
    old_ids: Identities | None = None,
    new_ids: Identities | None = None,
) -> list[int]:
    """Return for each node of the new flow the number of its old one, or -1."""
    matching = _Matching(old, new, old_ids or {}, new_ids or {})
    matching.run()
    return matching.olds


class _Matching:
    """Old and new nodes by number, and which are the same."""

    def __init__(
        self, old: Outline, new: Outline, old_ids: Identities, new_ids: Identities
    ) -> None:
        self.old, self.new = old, new
        self.news = [-1] * len(old.nodes)
        self.olds = [-1] * len(new.nodes)
        self._old_ids, self._new_ids = _texts_of(old_ids, old), _texts_of(new_ids, new)
        self._exact: deque[tuple[int, int]] = deque()
        self._loose: deque[tuple[int, int]] = deque()
        self._alike: dict[tuple[int, int], float] = {}

    def run(self) -> None:
        """Match all that can be matched."""
        self._match_unique(self._old_ids, self._new_ids)
        if all(one >= 0 for one in (*self.olds, *self.news)):
            return
        self._old_keys, self._new_keys, self._heft = _subtree_keys(self.old, self.new)
        self._counts = {
            side: Counter(one.written for one in side.nodes) for side in self._sides
        }
        self._match_unique(*([one.name for one in side.nodes] for side in self._sides))
        self._match_root(sure=True)
        while self._step():
            pass

    @property
    def _sides(self) -> tuple[Outline, Outline]:
        return self.old, self.new

    def _step(self) -> bool:
        """Do the surest thing that is left to do; return whether there was one."""
        if self._exact:
            pair = self._exact.popleft()
            self._align(*pair, exact=True)
            self._loose.append(pair)
            return True
        if self._match_equal(once=True):
            return True
        if self._loose:
            # All of them: each round costs a look at everything that is unmatched.
            pairs, self._loose = self._loose, deque()
            for pair in pairs:
                self._align(*pair, exact=False)
            return True
        return (
            self._match_root(sure=False)
            or self._match_equal(once=False)
            or self._match_like()
        )

    def _match(self, i: int, j: int) -> None:
        self.news[i], self.olds[j] = j, i
        if self.old.nodes[i].children and self.new.nodes[j].children:
            self._exact.append((i, j))

    def _match_subtree(self, i: int, j: int) -> None:
        """Match two equal subtrees, node by node."""
        for n in range(self.old.nodes[i].end - i):
            if self.news[i + n] < 0 and self.olds[j + n] < 0:
                self.news[i + n], self.olds[j + n] = j + n, i + n

    def _match_unique(
        self, old: Sequence[str | None], new: Sequence[str | None]
    ) -> None:
        """Match the nodes of one kind with a label that both flows have once."""
        there = _once(new)
        for label, i in _once(old).items():
            j = there.get(label, -1)
            if j < 0 or self.news[i] >= 0 or self.olds[j] >= 0:
                continue
            if self.old.nodes[i].kind == self.new.nodes[j].kind:
                self._match(i, j)

    def _match_root(self, *, sure: bool) -> bool:
        if not self.olds or not self.news or self.olds[0] >= 0 or self.news[0] >= 0:
            return False
        here, there = self.old.nodes[0], self.new.nodes[0]
        if here.kind != there.kind or self._are_others(0, 0):
            return False
        if sure and self._old_keys[0] in self._new_keys[1:]:
            # The old flow is inside the new one as a whole.
            kept = {self._old_keys[one] for one in here.children}
            if kept.isdisjoint(self._new_keys[one] for one in there.children):
                return False
        if self._old_keys[0] == self._new_keys[0]:
            self._match_subtree(0, 0)
        else:
            self._match(0, 0)
        return True

    def _match_equal(self, *, once: bool) -> bool:
        """Match equal subtrees anywhere, the largest first; return whether any is.

        With `once` only those that both flows have once among what is unmatched.
        """
        here = _groups(self._old_keys, self.news)
        there = _groups(self._new_keys, self.olds)
        found = [
            (i, j)
            for key, numbers in here.items()
            if key in there and (not once or len(numbers) == len(there[key]) == 1)
            for i, j in zip(numbers, there[key], strict=False)
            if (
                self._are_sure(i, j)
                if once
                else self._heft[key] or self._are_listed(i, j)
            )
        ]
        found.sort(key=lambda pair: pair[0] - self.old.nodes[pair[0]].end)
        for i, j in found:
            if self.news[i] < 0 and self.olds[j] < 0:
                self._match_subtree(i, j)
        return bool(found)

    def _are_sure(self, i: int, j: int) -> bool:
        """Return whether two equal subtrees say more than where they are says."""
        sides = (self.old, i), (self.new, j)
        if not self._heft[self._old_keys[i]] or any(_is_arm(*one) for one in sides):
            return False
        # One of several that are inside each other may be gone or new.
        counts = [self._counts[side].get(side.nodes[n].written) for side, n in sides]
        return counts[0] == counts[1] or not any(
            _is_inside_alike(*one) for one in sides
        )

    def _are_listed(self, i: int, j: int) -> bool:
        return self.old.nodes[i].arm == self.new.nodes[j].arm == LISTED

    def _are_others(self, i: int, j: int) -> bool:
        """Return whether two nodes were stored as two."""
        return None not in (self._old_ids[i], self._new_ids[j])

    # Children of one pair

    def _align(self, p: int, q: int, *, exact: bool) -> None:
        """Match the children of a pair, with `exact` only those that are equal."""
        here = self._children(self.old, p, self.news, self.new, q)
        there = self._children(self.new, q, self.olds, self.old, p)
        for arm, us in here.items():
            vs = there.get(arm, [])
            free = any(self.news[i] < 0 for i in us), any(self.olds[j] < 0 for j in vs)
            if all(free):
                self._align_siblings(us, vs, exact=exact)
            if exact and arm == LISTED:
                self._pair_leftovers(us, vs)

    @staticmethod
    def _children(
        side: Outline, number: int, partners: list[int], other: Outline, parent: int
    ) -> dict[str, list[int]]:
        """Return by arm the children that are free or whose partner is a child too."""
        found: dict[str, list[int]] = {}
        for one in side.nodes[number].children:
            partner = partners[one]
            if partner < 0 or other.nodes[partner].parent == parent:
                found.setdefault(side.nodes[one].arm, []).append(one)
        return found

    def _align_siblings(self, us: list[int], vs: list[int], *, exact: bool) -> None:
        """Match siblings in their order, as many equal ones as possible."""
        first, n, m = 0, len(us), len(vs)
        while first < min(n, m) and self._is_same(us[first], vs[first]):
            first += 1
        while first < min(n, m) and self._is_same(us[n - 1], vs[m - 1]):
            n, m = n - 1, m - 1
        us, vs = us[first:n], vs[first:m]
        if len(us) * len(vs) <= _MOST_CELLS:
            self._align_few(us, vs, exact=exact)
            return
        anchors = common_pairs(
            [self._sign(i, self.news[i], self._old_keys[i]) for i in us],
            [self._sign(self.olds[j], j, self._new_keys[j]) for j in vs],
        )
        low = start = 0
        for n, m in [*anchors, (len(us), len(vs))]:
            if n < len(us) and self.news[us[n]] < 0:
                self._match_subtree(us[n], vs[m])
            here, there = us[low:n], vs[start:m]
            if len(here) * len(there) <= _MOST_CELLS:
                self._align_few(here, there, exact=exact)
            elif not exact:
                for i, j in zip(here, there, strict=False):
                    if self.news[i] < 0 and self.olds[j] < 0 and self._likeness(i, j):
                        self._match(i, j)
            low, start = n + 1, m + 1

    @staticmethod
    def _sign(i: int, j: int, key: int) -> Hashable:
        """Return what is equal for nodes that are matched, or equal and free."""
        return (i, j) if i >= 0 and j >= 0 else key

    def _is_same(self, i: int, j: int) -> bool:
        """Return whether two siblings are matched, after matching equal ones."""
        is_free = self.news[i] < 0 and self.olds[j] < 0
        if is_free and self._old_keys[i] == self._new_keys[j]:
            self._match_subtree(i, j)
        return self.news[i] == j

    def _align_few(self, us: list[int], vs: list[int], *, exact: bool) -> None:
        """Match siblings in order with the most equal and then the most like pairs."""
        gains = [[0.0] * (len(vs) + 1) for _ in range(len(us) + 1)]
        for n in range(len(us) - 1, -1, -1):
            for m in range(len(vs) - 1, -1, -1):
                gain = self._gain(us[n], vs[m])
                taken = gain + gains[n + 1][m + 1] if gain else 0.0
                gains[n][m] = max(taken, gains[n + 1][m], gains[n][m + 1])
        n = m = 0
        while n < len(us) and m < len(vs):
            gain = self._gain(us[n], vs[m])
            if gain and gains[n][m] == gain + gains[n + 1][m + 1]:
                if self.news[us[n]] < 0:
                    if self._old_keys[us[n]] == self._new_keys[vs[m]]:
                        self._match_subtree(us[n], vs[m])
                    elif not exact:
                        self._match(us[n], vs[m])
                n, m = n + 1, m + 1
            elif gains[n][m] == gains[n + 1][m]:
                n += 1
            else:
                m += 1

    def _gain(self, i: int, j: int) -> float:
        if self.news[i] >= 0 or self.olds[j] >= 0:
            return _EQUAL if self.news[i] == j else 0.0
        if self._old_keys[i] == self._new_keys[j]:
            return _EQUAL
        return self._likeness(i, j)

    def _pair_leftovers(self, us: list[int], vs: list[int]) -> None:
        """Match equal siblings that are left, in their order."""
        free: defaultdict[int, deque[int]] = defaultdict(deque)
        for j in vs:
            if self.olds[j] < 0:
                free[self._new_keys[j]].append(j)
        for i in us:
            if self.news[i] < 0 and free[self._old_keys[i]]:
                self._match_subtree(i, free[self._old_keys[i]].popleft())

    # Likeness

    def _likeness(self, i: int, j: int) -> float:
        """Return how much two nodes have in common, 0 if they can't be the same."""
        if (i, j) not in self._alike:
            self._alike[i, j] = self._likeness_of_fields(i, j)
        like = self._alike[i, j]
        if like < 0:
            return 0.0
        here, there = self.old.nodes[i], self.new.nodes[j]
        if not here.children or not there.children:
            return like
        partners = sorted(self.olds[n] for n in range(j + 1, there.end))
        low, high = bisect_left(partners, i + 1), bisect_left(partners, here.end)
        below = here.end - i + there.end - j - 2
        return _SOME + like + 2 * (high - low) / below

    def _likeness_of_fields(self, i: int, j: int) -> float:
        here, there = self.old.nodes[i], self.new.nodes[j]
        if here.kind != there.kind or self._are_others(i, j):
            return -1.0
        # Nodes with the same name are matched by it; another name says nothing.
        names = {*here.fields, *there.fields} - {"name"}
        kept = [one for one in names if have_same(self.old, i, self.new, j, one)]
        # One field that changed says nothing about whether it is the same node.
        return len(kept) / len(names) if kept or len(names) > 1 else _SOME

    def _match_like(self) -> bool:
        """Match nodes that are alike wherever they are; return whether any is."""
        index: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
        for i, node in enumerate(self.old.nodes):
            if self.news[i] < 0:
                for name, value in node.fields.items():
                    index[node.kind, name, dump_compact(value)].append(i)
        any_found = False
        for j in range(len(self.new.nodes) - 1, -1, -1):
            if self.olds[j] >= 0:
                continue
            i = self._likest(j, index)
            if i >= 0:
                self._match(i, j)
                any_found = True
        return any_found

    def _likest(self, j: int, index: Mapping[tuple[str, str, str], list[int]]) -> int:
        """Return the free old node that is most like a new one, or -1."""
        node = self.new.nodes[j]
        votes: Counter[int] = Counter()
        for child in node.children:
            if self.olds[child] >= 0:
                votes[self.old.nodes[self.olds[child]].parent] += 1
        for name, value in node.fields.items():
            found = index.get((node.kind, name, dump_compact(value)), [])
            if len(found) <= _MOST_CANDIDATES:
                votes.update(found)
        best, most = -1, _LIKE
        for i, _ in votes.most_common(_MOST_CANDIDATES):
            if i >= 0 and self.news[i] < 0:
                like = self._likeness(i, j)
                if like >= most and (best < 0 or like > most):
                    best, most = i, like
        return best


def have_same(old: Outline, i: int, new: Outline, j: int, name: str) -> bool:
    """Return whether two nodes have the same in a field, in whichever form."""
    here, there = old.nodes[i].fields, new.nodes[j].fields
    is_written_alike = name in here and name in there and same(here[name], there[name])
    if is_written_alike and old.dialect == new.dialect:
        return True
    first, second = old.normal(i), new.normal(j)
    if name not in first or name not in second:
        return (name in first) == (name in second)
    return normal_text(first[name]) == normal_text(second[name])


def changed_fields(old: Outline, i: int, new: Outline, j: int) -> Iterator[str]:
    """Yield the names of the fields that two nodes have different values in."""
    here, there = old.nodes[i], new.nodes[j]
    if old.dialect == new.dialect and here.written == there.written:
        return
    for name in dict.fromkeys((*there.fields, *here.fields)):
        if not have_same(old, i, new, j, name):
            yield name


def _is_arm(side: Outline, number: int) -> bool:
    """Return whether a node is the sequence that an arm of another node consists of."""
    node = side.nodes[number]
    return node.kind == "seq" and node.parent >= 0 and node.arm != LISTED


def _is_inside_alike(side: Outline, number: int) -> bool:
    """Return whether a node has the same fields as one that it is inside of."""
    node = side.nodes[number]
    above = node.parent
    while node.children and above >= 0:
        if side.nodes[above].written == node.written:
            return True
        above = side.nodes[above].parent
    return False


def _texts_of(ids: Identities, side: Outline) -> list[str | None]:
    """Return the id of each node, None where it is no text."""
    if not ids:
        return [None] * len(side.nodes)
    found = [ids.get(one.place) for one in side.nodes]
    return [one if isinstance(one, str) else None for one in found]


def _once(labels: Iterable[str | None]) -> dict[str, int]:
    """Return the number of each label that occurs once."""
    numbers: dict[str, int] = {}
    for n, label in enumerate(labels):
        if label is not None:
            numbers[label] = -1 if label in numbers else n
    return {label: n for label, n in numbers.items() if n >= 0}


def _groups(keys: Sequence[int], partners: Sequence[int]) -> dict[int, list[int]]:
    """Return the free nodes by the key of their subtree."""
    found: dict[int, list[int]] = {}
    for number, key in enumerate(keys):
        if partners[number] < 0:
            found.setdefault(key, []).append(number)
    return found


def _subtree_keys(
    old: Outline, new: Outline
) -> tuple[list[int], list[int], dict[int, int]]:
    """Return a key for each subtree, and the number of fields of each key.

    Reading is what costs, so only nodes are read whose text the other flow has not.
    """
    texts = [{one.written for one in side.nodes} for side in (old, new)]
    shared = texts[0] & texts[1] if old.dialect == new.dialect else set()
    known: dict[Hashable, int] = {}
    heft: dict[int, int] = {}

    def keys_of(side: Outline) -> list[int]:
        keys = [0] * len(side.nodes)
        for number in range(len(side.nodes) - 1, -1, -1):
            node = side.nodes[number]
            is_shared = node.written in shared
            text = node.written if is_shared else side.normal_text(number)
            below = tuple([(side.nodes[one].arm, keys[one]) for one in node.children])
            key = known.setdefault((is_shared, text, below), len(known))
            keys[number] = key
            if key not in heft:
                heft[key] = len(node.fields) + sum([heft[one] for _, one in below])
        return keys

    return keys_of(old), keys_of(new), heft
