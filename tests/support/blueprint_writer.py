"""A process that makes commits with others: `blueprint_writer.py REPOSITORY ME COUNT ID...`.

It names the head that it has read and reads again when that has moved. It prints as JSON
what it has made and how often it had to read again.
"""

import json
import sys
from pathlib import Path

from store_contents import ADA, content

from blueprints.stores.git.store import GitBlueprintStore
from engine.blueprint_store import BlueprintUnknown, Expected, HeadMoved


def main(repository: str, me: str, count: str, *ids: str) -> None:
    store = GitBlueprintStore(Path(repository))
    made: dict[str, list[str]] = {id: [] for id in ids}
    conflicts = 0
    for number in range(int(count)):
        id = ids[number % len(ids)]
        while True:
            try:
                expected: str | Expected = store.standing(id).head.id
            except BlueprintUnknown:
                expected = Expected.NOTHING
            try:
                text = f"{me} {number}"
                commit = store.commit(
                    id, content(id, text), author=ADA, message=text, expected=expected
                ).commit
            except HeadMoved:
                conflicts += 1
                continue
            made[id].append(commit.id)
            if len(made[id]) % 5 == 1:
                store.set_alias(id, f"at-{me}", commit.id, author=ADA, message=text)
            break
    print(json.dumps({"made": made, "conflicts": conflicts}))


main(*sys.argv[1:])
