"""`blueprint lint FILE...`: all findings about Blueprints."""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from blueprints.authoring.answer import (
    FINE,
    INVALID,
    REFUSED,
    Answer,
    counted,
    finding_lines,
    lines,
    summary,
    unread_lines,
)
from blueprints.authoring.source import (
    add_levels,
    add_source,
    lint_loaded,
    lint_options,
    load,
)
from blueprints.command_line import counted_as
from blueprints.loaders.agent_md import AgentMdInvalid, load_agents
from blueprints.loaders.documents import DocumentInvalid
from blueprints.loaders.files import FileUnreadable, read_text
from blueprints.loaders.positions import diagnostic_of
from blueprints.parameters import ArgumentRefused
from engine.blueprint import Level, LintOptions, LintReport
from engine.flow import JsonTextError, load_json
from engine.flow.json_text import Json

HELP: Final = (
    "List all findings. Exit 0 without errors, 1 with errors (under --strict also with"
    " warnings), 2 if a file can't be read."
)
MCP: Final = "mcp__"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add_source(parser, many=True)
    add_levels(parser)
    parser.add_argument(
        "--wrappers",
        metavar="DIR",
        help="a folder of *.md files, one for each variant, with the tools it grants",
    )
    parser.add_argument(
        "--mcp-tools",
        metavar="FILE",
        help="a JSON file with the names of the live tools: mcp__SERVER__TOOL",
    )
    parser.add_argument(
        "--strict", action="store_true", help="warnings count like errors"
    )


@dataclass(frozen=True, slots=True)
class FileReport:
    """The report about one file; `error` if the file can't be read."""

    file: str
    report: LintReport
    log: tuple[str, ...] = ()
    error: DocumentInvalid | None = None

    def rows(self) -> Iterator[str]:
        """Yield the lines for people."""
        if self.error is not None:
            yield from unread_lines(self.error)
            return
        for one in self.report.diagnostics:
            yield from finding_lines(self.file, one)

    def to_json(self) -> dict[str, Json]:
        """Return the report as JSON."""
        return {
            "file": self.file,
            "verdict": None if self.error else self.report.verdict,
            "diagnostics": [one.to_json() for one in self.report.diagnostics],
            "suppressed": [one.to_json() for one in self.report.suppressed],
            "log": list(self.log),
            "error": None if self.error is None else self.error.code,
        }


def answer(options: Mapping[str, Any]) -> Answer:
    """Return the findings of every file; raises ArgumentRefused."""
    known: dict[str, Any] = {}
    if options["wrappers"] is not None:
        known["wrappers"] = _read_wrappers(options["wrappers"])
    if options["mcp_tools"] is not None:
        known["mcp_tools"] = _read_tools(options["mcp_tools"])
    settings = lint_options(options, **known)
    reports = [_lint(path, options, settings) for path in options["files"]]
    levels = counted(found for one in reports for found in one.report.diagnostics)
    unread = sum(one.error is not None for one in reports)
    code = FINE
    if levels[Level.ERROR] or (levels[Level.WARN] and options["strict"]):
        code = INVALID
    if unread:
        code = REFUSED
    allowed = sum(len(one.report.suppressed) for one in reports)
    note = f"{counted_as(len(reports), 'file')}: {summary(levels, allowed)}"
    if unread:
        note += f", {unread} can't be read"
    return Answer(
        code,
        {
            "ok": code == FINE,
            "errors": levels[Level.ERROR],
            "warnings": levels[Level.WARN],
            "files": [one.to_json() for one in reports],
        },
        lines(*(row for one in reports for row in one.rows())),
        (
            *(line for one in reports for line in one.log),
            f"{note}; `blueprint doctor FILE` checks the functions, too",
        ),
    )


def _lint(path: str, options: Mapping[str, Any], settings: LintOptions) -> FileReport:
    try:
        loaded = load(path, options)
    except DocumentInvalid as error:
        return FileReport(error.file, LintReport((diagnostic_of(error),)), error=error)
    return FileReport(str(loaded.path), lint_loaded(loaded, settings), loaded.log)


def _read_wrappers(folder: str) -> dict[str, list[str]]:
    """Return the tools that the wrapper files of a folder grant; raises ArgumentRefused."""
    if not Path(folder).is_dir():
        raise ArgumentRefused(f"--wrappers {folder}: there is no such folder")
    try:
        agents = load_agents(folder)
    except AgentMdInvalid as error:
        raise ArgumentRefused(f"--wrappers: {error}") from None
    return {agent["name"]: agent["profile"].get("tools", []) for agent in agents}


def _read_tools(file: str) -> dict[str, set[str]]:
    """Return the tools that a JSON file lists, by server; raises ArgumentRefused."""
    try:
        names = load_json(read_text(file))
    except FileUnreadable as error:
        raise ArgumentRefused(f"--mcp-tools {file}: {error}") from None
    except JsonTextError as error:
        raise ArgumentRefused(
            f"--mcp-tools {file}: the file is no JSON: {error}"
        ) from None
    if not isinstance(names, list):
        raise ArgumentRefused(f"--mcp-tools {file}: expected an array of names")
    servers: dict[str, set[str]] = {}
    for number, name in enumerate(names):
        text = name if isinstance(name, str) else ""
        server, _, tool = text.removeprefix(MCP).partition("__")
        if not (text.startswith(MCP) and server and tool):
            form = f"{MCP}SERVER__TOOL"
            raise ArgumentRefused(f"--mcp-tools {file}: $[{number}]: expected {form}")
        servers.setdefault(server, set()).add(tool)
    return servers
