"""Print how a run ended, or why it was not started: for people or as JSON."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from shutil import get_terminal_size
from typing import Any

import redis
from django.db import DatabaseError
from redis.exceptions import NoPermissionError

from blueprints.authoring.answer import finding_lines, unread_lines
from blueprints.command_line import (
    DONE,
    FAILED,
    INTERRUPTED,
    REFUSED,
    TIMED_OUT,
    counted_as,
    first_line,
    typed,
)
from blueprints.loaders.documents import DocumentInvalid
from blueprints.loaders.positions import diagnostic_of
from blueprints.models import Run
from blueprints.selectors.runs import run_end, run_get, run_report
from blueprints.terminal import Output
from engine.blueprint import Diagnostic
from engine.run.states import FAILED_STEP, RunStatus
from engine.visible import visible
from workers.broker.redis_permissions import missing_right
from workers.terminal.run_pages import (
    PIPE_WIDTH,
    ctx_lines,
    error_lines,
    output_lines,
    whole_lines,
)


class Reporter:
    """Print how a run ended or why there is none; each method returns the exit code."""

    def __init__(
        self,
        out: Any,
        err: Any,
        *,
        as_json: bool,
        output: Path | None = None,
        quiet: bool = False,
    ) -> None:
        """Print results to `out` or write them to the file `output`, messages to `err`."""
        self.out, self.err, self.as_json = Output.of(out), Output.of(err), as_json
        self.file, self.quiet = output, quiet
        self.run_id = ""
        """The id of the run to launch; an interrupted launch may have written its row."""
        self.began = False
        self._run: Run | None = None

    def ended(self, run: Run, count: str) -> int:
        """Print how a run ended; `count` is the number of its steps in words."""
        report = run_report(run)
        self._run = run
        if self.as_json:
            self._print_result(report)
        elif report["ctx"] is not None:
            self._print_ctx(report["ctx"])
        elif report["ctx_output"]:
            self.err.print(*output_lines(run.pk, report["ctx_output"]))
        if not self.as_json:
            self.err.print(*error_lines(report["error"], self._width()))
        self.note(f"run {run.pk} {run.status}: {count}")
        if run.status == RunStatus.INTERRUPTED:
            self.err.print("Redis lost the state of this run, so it can't be resumed.")
        show = ["runs show", run.pk]
        failed = [one for one in report["steps"] if one["status"] in FAILED_STEP]
        name = (report["error"] or (failed or [{}])[0]).get("name")
        show += [quote(name) for step in report["steps"] if step["name"] == name]
        code, more = exit_code(run), f"More about it: {typed(' '.join(show))}"
        if code == DONE:
            self.note(more)
        else:
            # The only line with the run's id that --quiet leaves.
            self.err.print(more)
        return code

    def note(self, text: str) -> None:
        """Print a message that --quiet leaves out."""
        if not self.quiet:
            self.err.print(text)

    def _width(self) -> int:
        return get_terminal_size().columns if self.err.isatty() else PIPE_WIDTH

    def _print_ctx(self, ctx: Any) -> None:
        """Print a final Ctx: on a terminal its long parts are shortened."""
        lines = ctx_lines(ctx)
        if self.file is not None or not self.out.isatty() or lines == whole_lines(ctx):
            self._print_result(ctx, indent=2)
            return
        self.out.print(*lines)
        self.note("The Ctx is shortened here: `-o FILE` or a pipe gets all of it.")

    def settled(self, run: Run, text: str) -> int:
        """Print the status of a run that can't be resumed."""
        self._answer(run.pk, text)
        return exit_code(run)

    def interrupted(self, more: str) -> int:
        """Print the command that resumes the run; `more` is about its running steps."""
        run = self._known()
        if run is None:
            self.refuse("Interrupted", "Interrupted. No run was started.")
            return INTERRUPTED
        line = resume_line(run.pk)
        text = f"Interrupted.{more} The run stays open. Resume it with:\n  {line}"
        short = f"Interrupted. Resume the run with: {line}"
        self._answer(run.pk, text, {"kind": "Interrupted", "text": short})
        return INTERRUPTED

    def left_to(self, who: str) -> int:
        """Print who goes on with the run, and the command that follows it."""
        run = self._known()
        if run is None:
            self.refuse("Interrupted", "Interrupted. No run was started.")
            return INTERRUPTED
        line = typed(f"runs watch {run.pk}")
        text = f"Interrupted. The run goes on with {who}. Follow it with:\n  {line}"
        self._answer(run.pk, text, {"kind": "Interrupted", "text": text})
        return INTERRUPTED

    def overdue(self, full: str) -> int:
        """Print that the run is past its deadline, although Redis can't record it."""
        text = (
            f"The run is past its deadline, but Redis can't record that: {full}. When there"
            f" is space again, end the run with: {resume_line(self.run_id)}"
        )
        self._answer(self.run_id, text, {"kind": "RunDeadline", "text": text})
        return TIMED_OUT

    def failed(self, error: Exception) -> int:
        """Print which part failed, and the command that resumes the run."""
        run, advice = self._known(), "When it answers again, resume the run with"
        match error:
            case NoPermissionError():
                kind, text = (
                    "NoPermission",
                    f"{missing_right(error)}: grant it that right.",
                )
                advice = "Then resume the run with"
            case redis.RedisError():
                kind = "RedisUnreachable"
                text = f"Redis does not answer any more ({error})."
            case DatabaseError():
                kind = "DatabaseFailed"
                text = f"The database failed ({first_line(error)})."
            case _:
                kind, text = "SetupFailed", str(error)
                advice = "The run stays open. Resume it with"
                # A launch that was refused may have left the row of an unstarted run.
                run = run if self.began else None
        if run is not None:
            text += f"\n{advice}: {resume_line(run.pk)}"
        return self.refuse(kind, text)

    def refuse_blueprint(self, what: str, found: Sequence[Diagnostic]) -> int:
        """Print why a Blueprint can't run: each finding with its place."""
        lines = [f"{what} can't run; {counted_as(len(found), 'finding')}:"]
        for one in found:
            rows = finding_lines(what, one) if one.position else [str(one)]
            lines += [f"  {row}" for row in rows]
        text = "\n".join([*lines, "Nothing was started."])
        diagnostics = [one.to_json() for one in found]
        return self.refuse("BlueprintInvalid", text, diagnostics=diagnostics)

    def refuse_file(self, error: DocumentInvalid) -> int:
        """Print why a file can't be read as a Blueprint: its line and a caret."""
        diagnostics = [diagnostic_of(error).to_json()]
        return self.refuse(
            "Usage", "\n".join(unread_lines(error)), diagnostics=diagnostics
        )

    def refuse(self, kind: str, text: str, **more: Any) -> int:
        """Print why there is no run."""
        if self.as_json:
            run = self._known()
            self._print_result(
                {
                    "run": run.pk if run else None,
                    "status": "refused",
                    "ctx": None,
                    "error": {"kind": kind, "text": text, **more},
                    "steps": [],
                }
            )
        self.err.print(text)
        return REFUSED

    def _known(self) -> Run | None:
        """Return the run if it has a row, also after an interrupted launch."""
        if self._run is None and self.run_id:
            with contextlib.suppress(DatabaseError, Run.DoesNotExist):
                self._run = run_get(self.run_id)
        return self._run

    def _answer(
        self, run_id: str, text: str, error: dict[str, Any] | None = None
    ) -> None:
        """Print a text; as JSON, also the run, with `error` in place of its own."""
        if self.as_json:
            report = run_report(run_get(run_id))
            self._print_result({**report, "error": error} if error else report)
        self.err.print(text)

    def _print_result(self, value: Any, indent: int | None = None) -> None:
        """Print JSON; if that fails, print the command that shows the stored result."""
        text, fault, where = (
            json.dumps(value, indent=indent, ensure_ascii=False),
            "",
            "",
        )
        if self.file is not None:
            try:
                self.file.write_text(f"{visible(text)}\n")
            except OSError as error:
                fault, where = error.strerror or str(error), str(self.file)
        else:
            self.out.print(text)
            fault, where = self.out.fault, "standard output"
            self.out.reported = bool(fault)
        if fault and (run := self._known()) is not None:
            show = typed(f"runs show {run.pk}")
            self.err.print(
                f"The result can't be written to {where} ({fault}). See it with: {show}"
            )


def exit_code(run: Run) -> int:
    """Return the exit code for a run; one whose result can't be shown has failed."""
    if run.status == RunStatus.DONE and run_end(run)[1] is None:
        return DONE
    if (run.error or {}).get("kind") == "RunDeadline":
        return TIMED_OUT
    return FAILED


def resume_line(run: str) -> str:
    """Return the command that resumes a run."""
    return typed(f"runs resume {run}")
