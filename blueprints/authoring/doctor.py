"""`blueprint doctor FILE`: how a Blueprint is, and what it lacks to run here."""

from argparse import ArgumentParser, ArgumentTypeError
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from blueprints.authoring.answer import FINE, INVALID, Answer, lines
from blueprints.authoring.build import document_hash
from blueprints.authoring.findings import WORDS, counted, finding_lines, summary
from blueprints.authoring.source import (
    add_levels,
    add_source,
    lint_loaded,
    lint_options,
    load,
)
from blueprints.loaders.blueprint import Loaded
from blueprints.preflight import (
    compile_here,
    known_kinds,
    legacy_bindings,
    missing_parts,
)
from engine.blueprint import (
    BlueprintInvalid,
    Diagnostic,
    Level,
    LintOptions,
    LintReport,
    Program,
)
from engine.blueprint.binding import BoundAgent, bind_requests
from engine.blueprint.reading import read_blueprint
from engine.blueprint.view import View
from engine.flow.json_text import Json

HELP: Final = (
    "Examine a Blueprint: sizes of prompts, bindings, lints, and what this installation"
    " lacks to run it. Exit 1 with errors, or if something is missing."
)
LIMITS: Final = ("warn_bytes", "warn_lines", "block_bytes", "block_lines")
SIZE: Final = "agent-md-size"


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the arguments."""
    add_source(parser)
    add_levels(parser)
    usual = LintOptions()
    for name in LIMITS:
        what, of = name.split("_")
        effect = "a warning" if what == "warn" else "an error under --block"
        parser.add_argument(
            f"--{what}-{of}",
            type=_size,
            default=getattr(usual, name),
            metavar="N",
            help=f"{of} of a prompt that are {effect} ({getattr(usual, name)})",
        )
    parser.add_argument(
        "--block", action="store_true", help="a prompt far too long is an error"
    )


def _size(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < len(text) < 12 and int(text)):
        raise ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found; `view` and `program` are None for what can't be read so far."""

    document: Json
    options: LintOptions
    report: LintReport
    view: View | None
    program: Program | None
    missing: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        """Tells whether it would run here."""
        return self.report.verdict != "BLOCK" and not self.missing

    def to_json(self) -> dict[str, Json]:
        """Writes the examination as JSON (reference-language 5.4)."""
        bound = () if self.view is None else self.view.bound
        agents = [_agent(one, self.report) for one in bound]
        limits: dict[str, Json] = {
            name: getattr(self.options, name) for name in (*LIMITS, "block")
        }
        requests = [one.to_json() for one in bind_requests(tuple(bound))]
        return {
            "ok": self.ok,
            "blueprint": None if self.view is None else self.view.blueprint.id,
            "document_hash": document_hash(self.document),
            "program_id": None if self.program is None else self.program.program_id,
            "verdict": self.report.verdict,
            "runs_here": self.program is not None and not self.missing,
            "agent_count": len(agents),
            "over_threshold_count": sum(one["severity"] != "OK" for one in agents),
            "thresholds": limits,
            "families": _families(self.report),
            "agents": agents,
            "bind_requests": requests,
            "missing": [one.to_json() for one in self.missing],
            "diagnostics": [one.to_json() for one in self.report.diagnostics],
            "suppressed": [one.to_json() for one in self.report.suppressed],
        }


def answer(options: Mapping[str, Any]) -> Answer:
    """Returns the examination; raises DocumentInvalid or Refused."""
    limits = {name: options[name] for name in LIMITS}
    how = lint_options(options, block=options["block"], **limits)
    loaded = load(options["file"], options)
    done = examine(loaded, how)
    data: dict[str, Json] = {"file": str(loaded.path), **done.to_json()}
    text = lines(*_rows(str(loaded.path), done, data))
    return Answer(FINE if done.ok else INVALID, data, text, loaded.log)


def examine(loaded: Loaded, options: LintOptions) -> Examined:
    """Examines a complete document; never raises for what is wrong with it."""
    document, report = loaded.document, lint_loaded(loaded, options)
    try:
        view = read_blueprint(
            document,
            kinds=known_kinds(),
            legacy_bindings=legacy_bindings(),
            options=options,
        )
    except BlueprintInvalid:
        return Examined(document, options, report, None, None, ())
    # What the strategy lets be dropped is not missing.
    anywhere = view.blueprint.strategy.strict_kind
    try:
        program = compile_here(document, anywhere=anywhere)
    except BlueprintInvalid:
        return Examined(document, options, report, view, None, ())
    missing = tuple(missing_parts(program, document))
    return Examined(document, options, report, view, program, missing)


def _agent(one: BoundAgent, report: LintReport) -> dict[str, Json]:
    profile = one.agent.profile
    prompt = "" if profile is None else profile.system_prompt
    sizes = [
        found.level
        for found in report.diagnostics
        if found.kind == SIZE and found.element == one.element
    ]
    words = {Level.ERROR: "BLOCK", Level.WARN: "WARN", Level.INFO: "INFO"}
    return {
        "name": one.agent.name,
        "kind": one.kind,
        "has_profile": profile is not None,
        "bytes": len(prompt.encode()),
        "lines": len(prompt.splitlines()),
        "severity": words[sizes[0]] if sizes else "OK",
        "runner": None if one.runner is None else one.runner.backend,
        "runner_source": one.source,
        "tools": one.tools,
    }


def _families(report: LintReport) -> dict[str, Json]:
    """Returns how many findings of each level the families have."""
    families: dict[str, list[Diagnostic]] = defaultdict(list)
    for one in report.diagnostics:
        families[one.family or "Compile"].append(one)
    return {
        name: {WORDS[level]: number for level, number in counted(found).items()}
        for name, found in sorted(families.items())
    }


def _rows(file: str, done: Examined, data: Mapping[str, Any]) -> Iterator[str]:
    yield f"{data['blueprint'] or file}: {done.report.verdict}"
    yield from _agent_rows(data)
    yield ""
    yield "findings" if done.report.diagnostics else "no findings"
    for found in done.report.diagnostics:
        yield from (f"  {row}" for row in finding_lines(file, found))
    levels = counted(done.report.diagnostics)
    allowed = len(done.report.suppressed)
    order = (Level.ERROR, Level.WARN, Level.INFO)
    if levels or allowed:
        yield f"  {summary(*(levels[level] for level in order), allowed)}"
    yield ""
    if done.program is None:
        yield "it can't run before its errors are mended"
        return
    yield "missing here" if done.missing else "nothing is missing to run it here"
    for found in done.missing:
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
    for wanted in data["bind_requests"]:
        asked = [wanted["backend"]]
        for key in ("launch_variant", "binding_target", "requested_model"):
            if wanted[key] is not None:
                asked.append(f"{key.partition('_')[2]} {wanted[key]}")
        yield f"  {wanted['agent']} has to be bound: {', '.join(asked)}"
