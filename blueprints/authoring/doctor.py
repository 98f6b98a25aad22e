"""`blueprint doctor FILE`: examine a Blueprint and the parts it lacks to run here."""

from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from blueprints.authoring.answer import (
    FINE,
    INVALID,
    WORDS,
    Answer,
    counted,
    finding_lines,
    lines,
    summary,
)
from blueprints.authoring.build import document_hash
from blueprints.authoring.source import (
    add_levels,
    add_source,
    lint_loaded,
    lint_options,
    load,
)
from blueprints.command_line import whole_number
from blueprints.preflight import (
    compile_here,
    known_kinds,
    legacy_bindings,
    missing_parts,
)
from engine.blueprint import (
    BlueprintInvalid,
    Diagnostic,
    LintOptions,
    LintReport,
    Program,
)
from engine.blueprint.analysis.binding import BoundAgent, bind_requests
from engine.blueprint.analysis.view import View
from engine.blueprint.reading import read_blueprint
from engine.flow.json_text import Json

HELP: Final = (
    "Examine a Blueprint: sizes of prompts, bindings, lints, and what this installation"
    " lacks to run it. Exit 1 with errors, or if something is missing."
)
LIMITS: Final = ("warn_bytes", "warn_lines", "block_bytes", "block_lines")
SIZE: Final = "agent-md-size"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add_source(parser)
    add_levels(parser)
    usual = LintOptions()
    for name in LIMITS:
        what, of = name.split("_")
        effect = "a warning" if what == "warn" else "an error under --block"
        parser.add_argument(
            f"--{what}-{of}",
            type=whole_number(1),
            default=getattr(usual, name),
            metavar="N",
            help=f"{of} of a prompt that are {effect} ({getattr(usual, name)})",
        )
    parser.add_argument(
        "--block", action="store_true", help="a prompt far too long is an error"
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Return the examination; raises DocumentInvalid or ArgumentRefused."""
    limits = {name: options[name] for name in (*LIMITS, "block")}
    settings = lint_options(options, **limits)
    loaded = load(options["file"], options)
    view, program, found = _compile(loaded.document, settings)
    report = lint_loaded(loaded, settings, program)
    missing = list(loaded.placed(found))
    bound = () if view is None else view.bound
    agents = [_agent(one, report) for one in bound]
    ok = report.verdict != "BLOCK" and program is not None and not missing
    data: dict[str, Json] = {
        "file": str(loaded.path),
        "ok": ok,
        "blueprint": None if view is None else view.blueprint.id,
        "document_hash": document_hash(loaded.document),
        "program_id": None if program is None else program.program_id,
        "verdict": report.verdict,
        "runs_here": program is not None and not missing,
        "agent_count": len(agents),
        "over_threshold_count": sum(one["severity"] != "OK" for one in agents),
        "thresholds": limits,
        "families": _families(report),
        "agents": agents,
        "bind_requests": [one.to_json() for one in bind_requests(bound)],
        "missing": [one.to_json() for one in missing],
        "diagnostics": [one.to_json() for one in report.diagnostics],
        "suppressed": [one.to_json() for one in report.suppressed],
    }
    text = lines(*_rows(data, report, missing))
    return Answer(FINE if ok else INVALID, data, text, loaded.log)


def _compile(
    document: Json, options: LintOptions
) -> tuple[View | None, Program | None, list[Diagnostic]]:
    """Return view and program, None if invalid, and the parts missing here."""
    try:
        view = read_blueprint(
            document,
            kinds=known_kinds(),
            legacy_bindings=legacy_bindings(),
            options=options,
        )
    except BlueprintInvalid:
        return None, None, []
    # A kind whose agents the strategy drops is not missing.
    anywhere = view.blueprint.strategy.strict_kind
    try:
        program = compile_here(document, anywhere=anywhere)
    except BlueprintInvalid:
        return view, None, []
    return view, program, list(missing_parts(program, document))


def _agent(one: BoundAgent, report: LintReport) -> dict[str, Json]:
    profile = one.agent.profile
    prompt = "" if profile is None else profile.system_prompt
    sizes = [
        found.level
        for found in report.diagnostics
        if found.kind == SIZE and found.element == one.element
    ]
    severity = sizes[0].value.upper() if sizes else "OK"
    return {
        "name": one.agent.name,
        "kind": one.kind,
        "has_profile": profile is not None,
        "bytes": len(prompt.encode()),
        "lines": len(prompt.splitlines()),
        "severity": "BLOCK" if severity == "ERROR" else severity,
        "runner": None if one.runner is None else one.runner.backend,
        "runner_source": one.source,
        "tools": one.tools,
    }


def _families(report: LintReport) -> dict[str, Json]:
    """Return the number of findings of each level in each family."""
    families: dict[str, list[Diagnostic]] = defaultdict(list)
    for one in report.diagnostics:
        families[one.family or "Compile"].append(one)
    return {
        name: {WORDS[level]: number for level, number in counted(found).items()}
        for name, found in sorted(families.items())
    }


def _rows(
    data: Mapping[str, Any], report: LintReport, missing: list[Diagnostic]
) -> Iterator[str]:
    file = data["file"]
    # The lints may find nothing wrong with a Blueprint that can't run here.
    yield f"{data['blueprint'] or file}: {report.verdict if data['ok'] else 'BLOCK'}"
    yield from _agent_rows(data)
    yield ""
    yield "findings" if report.diagnostics else "no findings"
    for found in report.diagnostics:
        yield from (f"  {row}" for row in finding_lines(file, found))
    if report.diagnostics or report.suppressed:
        yield f"  {summary(counted(report.diagnostics), len(report.suppressed))}"
    yield ""
    if data["program_id"] is None:
        yield "it can't run before its errors are fixed"
        return
    yield "missing here" if missing else "nothing is missing to run it here"
    for found in missing:
        yield from (f"  {row}" for row in finding_lines(file, found))


def _agent_rows(data: Mapping[str, Any]) -> Iterator[str]:
    if not data["agents"]:
        return
    yield ""
    yield "agents"
    width = max(len(one["name"]) for one in data["agents"])
    for one in data["agents"]:
        prompt = f"prompt {one['bytes']} bytes in {one['lines']} lines"
        if not one["bytes"]:
            prompt = "no prompt"
        runner = ""
        if one["runner"] is not None:
            runner = f", runner {one['runner']} ({one['runner_source']})"
        kind = one["kind"] or "no kind"
        yield f"  {one['name']:<{width}}  {kind}, {prompt}{runner}"
    for request in data["bind_requests"]:
        parts = [request["backend"]]
        for key in ("launch_variant", "binding_target", "requested_model"):
            if request[key] is not None:
                parts.append(f"{key.partition('_')[2]} {request[key]}")
        yield f"  {request['agent']} has to be bound: {', '.join(parts)}"
