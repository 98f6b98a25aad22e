"""Every kind of finding has a Blueprint that shows it and one that doesn't."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.blueprint import (
    BlueprintInvalid,
    Level,
    LintOptions,
    LintReport,
    compile_blueprint,
    lint_blueprint,
)
from engine.blueprint.analysis.shapes import TYPES
from engine.blueprint.analysis.signatures import Signature, Taken
from engine.blueprint.findings.diagnostics import resolve_place
from engine.blueprint.lints import OUTSIDE, REGISTRY

CASES = Path(__file__).resolve().parents[2] / "cases" / "blueprints"
DOCUMENTS = sorted(
    path for path in CASES.rglob("*.json") if not path.stem.endswith(".expected")
)
# The kinds that the reference has too, but removed-spawner-hint, whose key is known here,
# and those that are ours.
PROMISED = [
    "bound-agent-resolution",
    "unknown-agent-kind",
    "invalid-agent-spec",
    "worker-binding-missing",
    "unresolved-agent-ref",
    "duplicate-agent-name",
    "unresolved-operator-ref",
    "unresolved-meta-ref",
    "step-naming-collision",
    "invalid-projection-placement",
    "unresolved-audit-agent",
    "verdict-channel-mismatch",
    "verdict-value-not-in-contract",
    "verdict-value-unhandled",
    "verdict-contract-never-read",
    "halted-at-missing",
    "agent-md-size",
    "tool-unknown-mcp-ref",
    "output-contract-missing",
    "binding-requirements-info",
    "strict-binding-without-runners",
    "legacy-worker-binding",
    "binding-resolution-error",
    "skip-on-missing-for-skip-like-verdict-value",
    "skip-on-declared-but-no-matching-verdict-value",
    "skip-on-pattern-conflicts-with-halt-on",
    "wrapper-only-drift",
    "context-policy-strips-projection-roots",
    "projection-root-seed-missing",
    "unknown-lint-kind",
    "non-suppressible-lint",
]
OURS = [
    "unreachable-node",
    "loop-without-exit",
    "path-never-written",
    "fanout-unbounded",
    "fanout-collects-documents",
    "missing-timeout",
]
# It stands beside every other kind, and each release reports less of it: its own cases
# show it, and the others leave it out.
NOT_YET = "not-in-effect-yet"
# The error variants of the compiler in the reference, with a case of each.
VARIANTS = {
    "BoundAgent(UnknownRunnerRef)": "bound-agent-resolution/fail-unknown-runner-ref",
    "BoundAgent(UnknownDefaultRunner)": (
        "bound-agent-resolution/fail-unknown-default-runner"
    ),
    "BoundAgent(LegacyWorkerBindingDisabled)": (
        "bound-agent-resolution/fail-legacy-disabled"
    ),
    "UnknownKind": "unknown-agent-kind/fail",
    "InvalidSpec": "invalid-agent-spec/fail",
    "InvalidSpec(worker binding)": "worker-binding-missing/fail-strict",
    "UnresolvedRef": "unresolved-agent-ref/fail",
    "DuplicateAgent": "duplicate-agent-name/fail",
    "UnresolvedOperatorRef": "unresolved-operator-ref/fail",
    "RemovedSpawnerHint": "unknown-spawner-hint/fail",
    "UnresolvedMetaRef": "unresolved-meta-ref/fail",
    "UnresolvedMetaRef(step)": "unresolved-meta-ref/fail-step",
    "StepNamingCollision(both)": "step-naming-collision/fail-both",
    "StepNamingCollision(first)": "step-naming-collision/fail-first",
    "StepNamingCollision(second)": "step-naming-collision/fail-second",
    "InvalidProjectionPlacement(InvalidRoot)": "invalid-projection-placement/fail-root",
    "InvalidProjectionPlacement(EmptyDirTemplate)": (
        "invalid-projection-placement/fail-empty"
    ),
    "InvalidProjectionPlacement(AbsolutePath)": (
        "invalid-projection-placement/fail-absolute"
    ),
    "InvalidProjectionPlacement(ParentDirComponent)": (
        "invalid-projection-placement/fail-parent"
    ),
    "InvalidProjectionPlacement(MissingTaskIdPlaceholder)": (
        "invalid-projection-placement/fail-task-id"
    ),
    "UnresolvedAuditAgent": "unresolved-audit-agent/fail",
    "VerdictChannelMismatch": "verdict-channel-mismatch/fail",
    "VerdictValueNotInContract": "verdict-value-not-in-contract/fail",
    "VerdictValueUnhandled": "verdict-value-unhandled/fail-strict",
}


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def expected_of(path: Path) -> Mapping[str, Any]:
    expected: Mapping[str, Any] = read(path.with_suffix(".expected.json"))
    return expected


def installation(options: Mapping[str, Any]) -> dict[str, Any]:
    named = ("kinds", "legacy_bindings")
    return {name: options[name] for name in named if name in options}


def signature(
    keys: Mapping[str, list[str]] | None = None, gives: Collection[str] = TYPES
) -> Signature:
    taken = {key: Taken(frozenset(types)) for key, types in (keys or {}).items()}
    return Signature(keys=taken, gives=frozenset(gives), has_parts=False)


def report_of(path: Path) -> LintReport:
    options = dict(expected_of(path).get("options", {}))
    where = installation(options)
    rest = {name: value for name, value in options.items() if name not in where}
    if "signatures" in rest:
        rest["signatures"] = {
            agent: signature(**written) for agent, written in rest["signatures"].items()
        }
    return lint_blueprint(read(path), options=LintOptions(**rest), **where)


def test_every_case_is_reported_as_expected(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for path in DOCUMENTS:
        expected, report, kind = expected_of(path), report_of(path), path.parent.name
        reported = [
            f"{found.level} {found}"
            for found in report.diagnostics
            if kind == NOT_YET or found.kind != NOT_YET
        ]
        assert reported == expected["diagnostics"], path
        kept = [
            f"{one.source}: {one.diagnostic}"
            for one in report.suppressed
            if kind == NOT_YET or one.diagnostic.kind != NOT_YET
        ]
        assert kept == expected.get("suppressed", []), path
        shown = any(found.kind == kind for found in report.diagnostics)
        assert shown is path.stem.startswith("fail"), path
        document = read(path)
        for found in report.diagnostics:
            resolve_place(document, found.place)
            assert str(found).startswith(f"{found.place}: "), path
            assert found.to_json()["span"]["json_path"] == found.place
            counts["places"] += 1
        counts["failing" if shown else "passing"] += 1
        counts[path.stem.partition("-")[0] + " " + kind] += 1
    told_there = {one.name for one in OUTSIDE}
    for kind in {*REGISTRY, *PROMISED, *OURS} - told_there:
        assert counts[f"fail {kind}"], f"no failing Blueprint for {kind}"
        assert counts[f"pass {kind}"], f"no passing Blueprint for {kind}"
    with capsys.disabled():
        print(
            f"\n{len(REGISTRY)} kinds of findings: {counts['failing']} failing and"
            f" {counts['passing']} passing Blueprints, {counts['places']} places"
        )


def test_every_kind_that_was_promised_is_in_the_table() -> None:
    assert (len(PROMISED), len(OURS)) == (31, 6)
    assert {*PROMISED, *OURS} <= REGISTRY.keys()


def test_every_variant_of_a_compile_error_is_an_error_in_its_case() -> None:
    for variant, name in VARIANTS.items():
        path = CASES / f"{name}.json"
        where = installation(expected_of(path).get("options", {}))
        with pytest.raises(BlueprintInvalid) as caught:
            compile_blueprint(read(path), **where)
        kinds = {found.kind for found in caught.value.diagnostics}
        assert path.parent.name in kinds, variant


@pytest.mark.parametrize(
    "path", DOCUMENTS, ids=[f"{p.parent.name}-{p.stem}" for p in DOCUMENTS]
)
def test_a_case_compiles_unless_the_compiler_finds_an_error(path: Path) -> None:
    where = installation(expected_of(path).get("options", {}))
    errors = [
        found
        for found in report_of(path).diagnostics
        if found.level is Level.ERROR and not found.family
    ]
    if errors:
        with pytest.raises(BlueprintInvalid) as caught:
            compile_blueprint(read(path), **where)
        assert list(caught.value.diagnostics) == errors
    else:
        assert compile_blueprint(read(path), **where).program_id
