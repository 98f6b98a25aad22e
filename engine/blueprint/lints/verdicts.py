"""Verdicts: the contracts of agents, and the conditions that read their answers."""

from collections.abc import Iterator, Mapping
from typing import Final

from engine.blueprint.analysis.verdict_tests import VerdictTest, text_of
from engine.blueprint.analysis.view import View
from engine.blueprint.findings.diagnostics import Element, Finding, Level, Suggestion
from engine.blueprint.kinds.rules import BoundAgent
from engine.blueprint.lints.levels import declared_setting
from engine.blueprint.lints.lint_kind import by_level, lint
from engine.blueprint.schema.agents import VerdictContract
from engine.flow import dump_compact
from engine.flow.spelling import did_you_mean, listed, near

CHANNELS: Final = {"body": "the answer itself", "part": "the part 'verdict'"}
SKIP_LIKE: Final = frozenset({"skip", "not_applicable", "n/a"})


@lint("contract")
def verdict_channel_mismatch(view: View) -> Iterator[Finding]:
    """A condition reads a verdict at a place where the contract doesn't put it.

    It reads the answer itself and the contract puts it in the part `verdict`, or the
    other way round. The comparison could never be true. The check considers every agent
    whose answer the path may have at that point of the flow.
    """
    for test in view.tests:
        contracts = _contracts_of(view, test)
        if test.open or not test.unwritten or not contracts:
            # The path may have the value, so the comparison can be true.
            continue
        if any(contract.channel == test.channel for contract in contracts.values()):
            continue
        ref, contract = next(iter(contracts.items()))
        yield Finding(
            test.comparison.place,
            f"{test.where} reads {CHANNELS[test.channel]} of {ref!r}, whose contract says"
            f" channel '{contract.channel}'",
            f"read {CHANNELS[contract.channel]}, or change the contract's channel",
            element=Element("Agent", ref),
        )


@lint("contract")
def verdict_value_not_in_contract(view: View) -> Iterator[Finding]:
    """A condition compares a verdict with a value that it can never equal.

    None of the agents that may have answered declares the value, and the Blueprint
    doesn't write it to the path, in `default_init_ctx` or by an assign. The comparison
    could never be true. It is no error if the path may have another value (computed, the
    text of an error, given by a launch, also over `default_init_ctx`). A path that
    `default_init_ctx` leaves out or sets to null counts as absent at the start if the
    condition has it in `exists` or `default`, or compares it with null. The check does
    not distinguish the elements of an array. It includes `default`, and `any`, `all` and
    `filter` over the result of a fanout.
    """
    values: dict[tuple[frozenset[str], str], set[str]] = {}
    for test in view.tests:
        contracts = {
            ref: contract
            for ref, contract in _contracts_of(view, test).items()
            if contract.channel == test.channel
        }
        if test.open or not contracts:
            continue
        key = (test.producers, test.channel)
        if key not in values:
            values[key] = {value for one in contracts.values() for value in one.values}
        for place, value in test.unwritten:
            text = text_of(value)
            if text in values[key]:
                continue
            ref, known = next(iter(contracts)), values[key] | test.given
            patch = dump_compact(near(text, known, cutoff=0.0) or text)
            yield Finding(
                place,
                f"{test.where} compares the verdict of {ref!r} with {text!r},"
                " which its contract doesn't declare",
                did_you_mean(text, known),
                suggestion=Suggestion("use a possible value", patch),
                element=Element("Agent", ref),
            )


@lint("suspicious", Level.WARN, "VerdictContractLint", error_if=by_level)
def verdict_value_unhandled(view: View) -> Iterator[Finding]:
    """No condition names two or more of the declared values, so they share one arm.

    With `metadata.strict_verdict_handling` every value must be named, and this is an
    error, as it is if a layer of the Blueprint denies it. A new verdict is easily
    forgotten in the gates. One value may be left to the other arm: a gate that only
    halts leaves PASS to it.
    """
    strict = bool(view.blueprint.metadata.strict_verdict_handling)
    for one, contract in _contract_agents(view):
        named = view.named_verdicts.get(one.agent.name, set())
        values = enumerate(contract.values)
        left = [(number, value) for number, value in values if value not in named]
        # If no value is named, the lint verdict-contract-never-read reports it.
        if not strict and (len(left) < 2 or len(left) == len(contract.values)):
            continue
        setting = declared_setting(
            view, verdict_value_unhandled.name, "suspicious", one.element
        )
        denied = setting is not None and setting[0] == "deny"
        for number, value in left:
            yield Finding(
                f"{one.place}.verdict.values[{number}]",
                f"no condition names the answer {value!r} of {one.agent.name!r}",
                "name it in a branch or loop cond, or drop it from the contract",
                (f"declared: {listed(contract.values)}",),
                element=one.element,
                level=Level.ERROR if strict or denied else None,
            )


@lint("suspicious", Level.WARN, "VerdictContractLint")
def verdict_contract_never_read(view: View) -> Iterator[Finding]:
    """A step's agent has a verdict contract, and no condition names any of its values.

    The contract is of no use; most often the author forgot the gate.
    """
    # A comparison with a value outside the contract is another error.
    compared = {ref for test in view.tests if test.unwritten for ref in test.producers}
    for one, contract in _contract_agents(view):
        name = one.agent.name
        named = view.named_verdicts.get(name, set())
        if name not in compared and named.isdisjoint(contract.values):
            yield Finding(
                f"{one.place}.verdict",
                f"no condition reads the verdict of {name!r}",
                "add a gate after its step, or drop the contract",
                suggestion=Suggestion("in the Lua DSL", "gate = true,"),
                element=one.element,
            )


@lint("suspicious", Level.WARN, "SkipOnLint")
def skip_on_missing_for_skip_like_verdict_value(view: View) -> Iterator[Finding]:
    """An agent may answer SKIP, NOT_APPLICABLE or N/A, and no branch skips work on it.

    The words count in any case. The agent answers that there is nothing to do, and the
    flow does all the work nevertheless.
    """
    guarded: dict[str, set[str]] = {}
    for test in view.tests:
        for ref in test.producers if test.idle else ():
            texts = map(str.casefold, test.comparison.texts)
            guarded.setdefault(ref, set()).update(texts)
    for one, contract in _contract_agents(view):
        for number, value in enumerate(contract.values):
            word = value.casefold()
            if word in SKIP_LIKE and word not in guarded.get(one.agent.name, set()):
                yield Finding(
                    f"{one.place}.verdict.values[{number}]",
                    f"{one.agent.name!r} may answer {value!r}, and no later work is"
                    " skipped on it",
                    "guard the next stage with it",
                    suggestion=Suggestion(
                        "in the Lua DSL", f'skip_on = {{"{value}"}},'
                    ),
                    element=one.element,
                )


@lint("suspicious", Level.WARN, "SkipOnLint")
def skip_on_declared_but_no_matching_verdict_value(view: View) -> Iterator[Finding]:
    """A branch skips work on a verdict that no agent declares.

    None of the agents that may have answered declares it. The branch would never skip
    anything.
    """
    known: dict[frozenset[str], set[str]] = {}
    for test in view.tests:
        if not test.skips or test.channel != "part" or (test.open and test.producers):
            continue
        if test.producers not in known:
            # If the answering agents are unknown, every agent counts.
            agents = [view.agents.get(ref) for ref in test.producers or view.agents]
            contracts = [one.agent.verdict for one in agents if one is not None]
            known[test.producers] = {
                value for one in contracts if one is not None for value in one.values
            }
        declared = known[test.producers]
        for place, value in test.unwritten:
            if isinstance(value, str) and value not in declared:
                ref = min(test.producers, default="")
                yield Finding(
                    place,
                    f"the guard skips on {value!r}, which no agent declares",
                    did_you_mean(value, declared) or "declare it in a verdict contract",
                    element=Element("Step", ref) if ref else None,
                )


@lint("suspicious", Level.WARN, "SkipOnLint")
def skip_on_pattern_conflicts_with_halt_on(view: View) -> Iterator[Finding]:
    """One verdict of one agent skips work in one place and halts the flow in another.

    It skips by `in` or `eq` before an empty arm, and halts by `in` or `eq` in a branch
    before an arm that does something. It can't mean both.
    """
    halts: dict[tuple[str, str], str] = {}
    for test in view.tests:
        for ref in test.producers if test.halts else ():
            for text in test.comparison.texts:
                halts.setdefault((ref, text), test.comparison.place)
    for test in view.tests:
        for ref in sorted(test.producers) if test.skips else ():
            for place, value in test.comparison.literals:
                halt = halts.get((ref, value)) if isinstance(value, str) else None
                if halt is not None:
                    yield Finding(
                        place,
                        f"{value!r} of {ref!r} skips here and halts at {halt}",
                        "let it do one of the two",
                        element=Element("Agent", ref),
                    )


def _contracts_of(view: View, test: VerdictTest) -> Mapping[str, VerdictContract]:
    """Return the contracts of the agents that may have answered, sorted by agent.

    The result is empty if one of them has no contract: it may answer anything.
    """
    found: dict[str, VerdictContract] = {}
    for ref in sorted(test.producers):
        one = view.agents.get(ref)
        if one is None or one.agent.verdict is None:
            return {}
        found[ref] = one.agent.verdict
    return found


def _contract_agents(view: View) -> Iterator[tuple[BoundAgent, VerdictContract]]:
    """Yield the agents of steps that have a contract, sorted by name."""
    for name in sorted({spot.node["ref"] for spot in view.steps} & view.agents.keys()):
        one = view.agents[name]
        if one.agent.verdict is not None:
            yield one, one.agent.verdict
