"""Two documents and what a terminal shows of their difference, a folder for each case."""

import json
from pathlib import Path

import pytest

from engine.blueprint.comparison import Previous, compare, identify, print_comparison

CASES = Path(__file__).resolve().parents[3] / "cases" / "diff"
FOLDERS = sorted(path for path in CASES.iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", FOLDERS, ids=[one.name for one in FOLDERS])
def test_a_comparison_is_shown_like_this(folder: Path) -> None:
    old, new = (
        json.loads((folder / f"{one}.json").read_text()) for one in ("old", "new")
    )
    expected = (folder / "expected.txt").read_text()
    assert print_comparison(compare(old, new)) == expected
    first = identify(old)
    ids = {
        "old_identities": first,
        "new_identities": identify(new, Previous(old, first)),
    }
    assert print_comparison(compare(old, new, **ids)) == expected


def test_a_comparison_as_json() -> None:
    folder = CASES / "renamed-and-tuned"
    old, new = (
        json.loads((folder / f"{one}.json").read_text()) for one in ("old", "new")
    )
    found = compare(old, new).to_json()
    assert json.loads(json.dumps(found)) == found
    assert found["changes"][3:] == [
        {
            "what": "changed",
            "of": "node",
            "title": "loop",
            "old_place": "$.flow.children[1]",
            "new_place": "$.flow.children[1]",
            "fields": [
                {"field": "max", "old": 3, "old_text": "3", "new": 5, "new_text": "5"}
            ],
        },
        {
            "what": "renamed",
            "of": "node",
            "title": "step 'judge draft'",
            "old_place": "$.flow.children[1].body.children[0]",
            "new_place": "$.flow.children[1].body.children[0]",
            "old_name": "review",
            "new_name": "judge draft",
        },
        {
            "what": "changed",
            "of": "node",
            "title": "step 'judge draft'",
            "old_place": "$.flow.children[1].body.children[0]",
            "new_place": "$.flow.children[1].body.children[0]",
            "fields": [
                {
                    "field": "agent",
                    "old": "critic",
                    "old_text": "'critic'",
                    "new": "judge",
                    "new_text": "'judge'",
                }
            ],
        },
        {
            "what": "removed",
            "of": "node",
            "title": "let $.result",
            "old_place": "$.flow.children[2]",
        },
    ]
