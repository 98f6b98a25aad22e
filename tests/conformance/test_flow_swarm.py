"""The cases of the dialect `swarm` (tests/cases/flow_swarm), each feature a file."""

import json
from pathlib import Path as File
from typing import Any

import pytest
from flow_cases import check

from engine.flow.functions import FUNCTIONS

Json = Any
FOLDER = File(__file__).parents[1] / "cases" / "flow_swarm"
FEATURES = {
    file.stem: json.loads(file.read_text(encoding="utf-8"))
    for file in sorted(FOLDER.glob("*.json"))
}
CASES = [case for cases in FEATURES.values() for case in cases]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_answer_is_the_dialects_answer(case: Json) -> None:
    check(case, case.get("dialect", "swarm"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_good_and_bad_cases(name: str) -> None:
    own = [case for case in CASES if f'"op": "{name}"' in json.dumps(case["input"])]
    assert sum("ok" in case["expect"] for case in own) >= 3
    assert sum("err" in case["expect"] for case in own) >= 2


def test_every_feature_has_good_and_bad_cases_and_one_in_the_other_dialect(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with capsys.disabled():
        counts = ", ".join(f"{name} {len(cases)}" for name, cases in FEATURES.items())
        print(f"\nswarm: {len(CASES)} cases: {counts}")
    for name, cases in FEATURES.items():
        good = [case for case in cases if "ok" in case["expect"]]
        refused = [case for case in cases if case.get("dialect") == "flow.ir"]
        assert len(good) >= 5, name
        assert len(cases) - len(good) - len(refused) >= 4, name
        assert any("says" in case["expect"]["err"] for case in refused), name
    assert len({case["id"] for case in CASES}) == len(CASES)
