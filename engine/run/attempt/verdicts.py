"""Verdict contracts: an answer with another word never reaches the Ctx."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from engine.blueprint.program import Agent
from engine.flow.json_text import Json, dump_compact
from engine.flow.shortened import shortened
from engine.flow.spelling import hint_at, listed
from engine.run.attempt.outcomes import Outcome

PART: Final = "verdict"
"""The name of the part that has the verdict, where the contract says `part`."""
REJECTED: Final = "VerdictRejected"
PART_MISSING: Final = "VerdictPartMissing"


def judged(outcome: Outcome, agent: Agent, *, has_parts: bool) -> Outcome:
    """Return a checked outcome, or a failure where it breaks its agent's contract.

    Only an answer that passes is held to the contract. `has_parts` tells whether the
    value is folded, as `{"out", "parts"}`.
    """
    contract = agent.verdict
    if contract is None or outcome.kind != "passed" or outcome.json is None:
        return outcome
    value = outcome.json.value
    if contract["channel"] == "part":
        if not has_parts or PART not in value["parts"]:
            text = f"agent {agent.name!r} gave no part {PART!r}, which its contract asks for"
            return _failed(outcome, PART_MISSING, text)
        said = value["parts"][PART]
    else:
        said = value["out"] if has_parts else value
    if said in contract["values"]:
        return outcome
    return _failed(outcome, REJECTED, _other_word(agent, said, contract["values"]))


def _other_word(agent: Agent, said: Json, values: list[str]) -> str:
    verdict = dump_compact(shortened(said))
    text = (
        f"agent {agent.name!r} gave the verdict {verdict}, which is not in its contract:"
        f" {listed(map(repr, values))}"
    )
    hint = hint_at(said, values) if isinstance(said, str) else ""
    return f"{text}; {hint}" if hint else text


def _failed(outcome: Outcome, error_type: str, text: str) -> Outcome:
    return replace(
        outcome, kind="failed", value=None, json=None, text=text, error_type=error_type
    )
