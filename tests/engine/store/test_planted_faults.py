"""The table of planted faults fits the scripts: it is run by hand, since it takes minutes."""

from __future__ import annotations

from collections import Counter

from planted_faults import FAULTS, ROOT, SCRIPTS


def test_every_script_has_two_faults_and_each_can_be_planted() -> None:
    texts = {path.stem: path.read_text() for path in (ROOT / SCRIPTS).glob("*.lua")}
    assert dict.fromkeys(texts, 2) | {"prelude": 3} == Counter(
        script for script, _, _ in FAULTS
    )
    for script, old, new in FAULTS:
        assert old in texts[script], (script, old)
        assert new not in texts[script] or not new or new in old, (script, new)
