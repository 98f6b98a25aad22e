"""The answers of the flow.ir reference interpreter, case by case (see README.md)."""

import json
from pathlib import Path as File
from typing import Any

import pytest
from flow_cases import check

Json = Any
CASES = [
    json.loads(line)
    for line in File(__file__)
    .with_name("flow_ir.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]
# The tagged ones ask for accidents of the reference, such as an array in the place of an
# expression, read as [variant number, field]. They are not asked.
ASKED = [case for case in CASES if "quirk" not in case.get("tags", [])]


@pytest.mark.parametrize("case", ASKED, ids=lambda case: case["id"])
def test_the_answer_is_the_references_answer(case: Json) -> None:
    check(case)


def test_the_cases_are_all_there(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nflow.ir: {len(ASKED)} of {len(CASES)} cases asked")
    assert len(ASKED) == 659
    assert len({case["id"] for case in CASES}) == len(CASES) == 671
