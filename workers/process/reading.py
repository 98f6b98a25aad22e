"""The outcome of an attempt, from the end of its child process and from its output."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from engine.flow.json_text import JsonTextError, load_json
from engine.run.attempt.outcomes import Outcome, timed_out
from engine.run.journal.outputs import (
    FileContent,
    FormatRefused,
    Log,
    OutputEvent,
    SubmitFormat,
    as_value,
    fold_text,
)
from workers.process.command import LIMITS, ChildCommand
from workers.process.frames import EventReader
from workers.process.runner import Finished

LAST_LINE: Final = 300
TAIL_LINES: Final = 20
TAIL_CHARS: Final = 2000
SHOWN_OUTPUT: Final = 200
USAGE: Final = {
    "input": ("input", "input_tokens", "prompt_tokens"),
    "output": ("output", "output_tokens", "completion_tokens"),
    "total": ("total", "total_tokens"),
}
MISSING: Final = object()


def outcome_of(
    finished: Finished,
    command: ChildCommand,
    spec: Mapping[str, Any],
    reader: EventReader | None,
    timeout_s: float,
) -> Outcome:
    """Return the outcome of an attempt whose process has ended.

    `reader` has read the whole stream, None for a child that prints its result. The
    outcome has the statistics in that result, also where the attempt has failed.
    """
    errors = finished.stderr.decode(errors="replace").strip()
    outcome = _unfinished(finished, command, reader, errors, timeout_s)
    if reader is not None:
        submit_format: SubmitFormat = spec.get("submit_format")
        return outcome or _of_stream(finished, reader, errors, submit_format)
    pointers = (spec.get("output") or {}).get("stats")
    is_read = (
        outcome is None and not finished.exit_code and not spec.get("submit_format")
    )
    document: Any = None
    if is_read or pointers is not None:
        try:
            document = load_json(finished.stdout.strip())
        except JsonTextError as error:
            document = error
    if outcome is None:
        outcome = _of_document(finished, document, spec, errors)
    if pointers is None or isinstance(document, JsonTextError):
        return outcome
    return replace(outcome, stats=_stats(document, pointers, finished))


def _unfinished(
    finished: Finished,
    command: ChildCommand,
    reader: EventReader | None,
    errors: str,
    timeout_s: float,
) -> Outcome | None:
    """Return the outcome of a process that was ended, or whose stream is incomplete."""
    if finished.timed_out:
        ended = timed_out(round(timeout_s * 1000))
        return Outcome("timed_out", text=ended.text + _tail(errors))
    if finished.output_exceeded:
        return Outcome(
            "failed",
            text=f"printed more than {_named('output_bytes', command.max_output)}:"
            " write large results to a file and print its path",
            permanent=True,
        )
    lost = ""
    if reader is not None and reader.lost:
        lost = f"the stream on standard output can't be read: {reader.lost}"
    if finished.cancelled:
        if reader is not None and lost and not reader.cut_off:
            # The process was ended because its stream was lost.
            return _failed(lost, "Output", errors)
        return Outcome("failed", text="cancelled", permanent=True)
    # The end of the process comes first: a frame that was cut off is mostly its result.
    more = f"; {lost}" if lost else ""
    if finished.error is not None:
        # A retry can't help where the program can't be run; it can where a launcher died.
        permanent = finished.error.startswith("cannot run ")
        text = finished.error + more
        return Outcome("failed", text=text, permanent=permanent, error_type="Launch")
    if finished.signal is not None:
        return _failed(_signal_text(finished, command) + more, "Signal", errors)
    if lost and finished.exit_code:
        return _failed(f"exited with {finished.exit_code}{more}", "ExitCode", errors)
    return _failed(lost, "Output", errors) if lost else None


def last_words(
    finished: Finished, reader: EventReader | None, outcome: Outcome
) -> Iterator[OutputEvent]:
    """Yield the output events that an attempt emits after the end of its process.

    They are the end of standard error, unless the outcome contains it, and the finals of
    the stream if its result counts: the last one with the content of the outcome.
    """
    errors = finished.stderr.decode(errors="replace").strip()
    if errors and not _has_errors(outcome, errors):
        yield from map(Log, shown_errors(errors))
    if outcome.kind in ("passed", "blocked") and reader is not None and reader.finals:
        *earlier, last = reader.finals
        yield from earlier
        is_file = isinstance(last.content, FileContent)
        yield last if is_file else replace(last, content=outcome.value)


def _has_errors(outcome: Outcome, errors: str) -> bool:
    if isinstance(outcome.value, dict) and outcome.value.get("stderr") == errors:
        return True
    return errors.splitlines()[-1][:LAST_LINE] in outcome.text


def shown_errors(errors: str) -> list[str]:
    """Return the last lines of standard error, and a line for those left out."""
    lines = [line for line in errors.splitlines() if line.strip()]
    kept = "\n".join(lines[-TAIL_LINES:])[-TAIL_CHARS:].splitlines()
    if len(kept) < len(lines):
        kept.insert(0, f"(standard error: {len(lines) - len(kept)} earlier lines)")
    return kept


def _failed(text: str, error_type: str, errors: str) -> Outcome:
    """Return a failure whose text ends with the end of standard error."""
    return Outcome("failed", text=text + _tail(errors), error_type=error_type)


def _bad_exit(finished: Finished, errors: str) -> Outcome:
    last = errors.splitlines()[-1][:LAST_LINE] if errors else ""
    text = f"exited with {finished.exit_code}" + (f": {last}" if last else "")
    more = errors if "\n" in errors or len(errors) > LAST_LINE else ""
    return _failed(text, "ExitCode", more)


def _tail(errors: str) -> str:
    """Return the end of standard error as further lines of a failure's text."""
    if not errors:
        return ""
    tail = "\n".join(errors.splitlines()[-TAIL_LINES:])[-TAIL_CHARS:]
    return f"\nstandard error ended with:\n{tail}"


def _signal_text(finished: Finished, command: ChildCommand) -> str:
    number = finished.signal
    text = f"killed by signal {number}"
    limits = command.limits
    cpu_s = limits.cpu_s
    # A program that catches SIGXCPU is killed a second later, by SIGKILL.
    if cpu_s is not None and (
        number == signal.SIGXCPU
        or (number == signal.SIGKILL and finished.cpu_s >= cpu_s)
    ):
        return f"{text}: used more than {_named('cpu_s', cpu_s, 's of CPU time')}"
    if number == signal.SIGXFSZ and limits.file_size is not None:
        return f"{text}: wrote a file of more than {_named('file_bytes', limits.file_size)}"
    return text


def _named(limit: str, value: int, unit: str = "bytes") -> str:
    """Return a limit in words: its value and the two places where it is set."""
    return f"{value} {unit} (limits.{limit} of the agent, else {LIMITS[limit].usual})"


def _of_text(
    kind: Literal["passed", "blocked"], text: str, submit_format: SubmitFormat
) -> Outcome:
    """Return the outcome of a text; a retry can't correct its format."""
    try:
        return Outcome(kind, fold_text(text, submit_format))
    except FormatRefused as error:
        return Outcome("failed", text=str(error), permanent=True, error_type="Output")


def _of_stream(
    finished: Finished, reader: EventReader, errors: str, submit_format: SubmitFormat
) -> Outcome:
    final = reader.finals[-1] if reader.finals else None
    if finished.exit_code and (final is None or final.ok):
        return _bad_exit(finished, errors)
    if reader.refused:
        text = reader.refused
        return Outcome("failed", text=text, permanent=True, error_type="Output")
    if final is not None:
        kind: Literal["passed", "blocked"] = "passed" if final.ok else "blocked"
        if isinstance(final.content, str):
            return _of_text(kind, final.content, submit_format)
        return Outcome(kind, as_value(final.content))
    text = f"ended without a final event; events read: {reader.events}"
    if reader.skipped:
        text += f", skipped: {reader.skipped} ({reader.broken[0]})"
    return _failed(text, "Output", errors)


def _of_document(
    finished: Finished, document: Any, spec: Mapping[str, Any], errors: str
) -> Outcome:
    """Return the outcome of a child that prints its result, a JSON document or text."""
    if finished.exit_code:
        return _bad_exit(finished, errors)
    output: Mapping[str, Any] = spec.get("output") or {}
    submit_format: SubmitFormat = spec.get("submit_format")
    printed = finished.stdout.decode(errors="replace").rstrip()
    if submit_format is not None:
        return _of_text("passed", printed, submit_format)
    pointer, ok_from = output.get("result_ptr"), output.get("ok_from") or "exit_code"
    if isinstance(document, JsonTextError):
        declared = pointer or output.get("format") or output.get("stats")
        if not declared and ok_from == "exit_code":
            return Outcome("passed", {"raw": printed, "stderr": errors})
        begun = printed[:SHOWN_OUTPUT] + ("…" if len(printed) > SHOWN_OUTPUT else "")
        text = f"the output is not the JSON that was declared: {document}; "
        text += f"it began with: {begun}" if begun.strip() else "it was empty"
        return _failed(text, "Output", errors)
    ok = ok_from == "exit_code" or value_at(document, ok_from) is True
    value = document if pointer is None else value_at(document, pointer)
    if value is MISSING and ok:
        text = f"the output has nothing at {pointer} (output.result_ptr)"
        return _failed(text, "Output", errors)
    # A refusal seldom has the result; the whole document says why.
    value = document if value is MISSING else value
    return Outcome("passed" if ok else "blocked", value)


def value_at(value: Any, pointer: str) -> Any:
    """Return the part at a JSON pointer (RFC 6901), MISSING where there is none."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            # No sign, no leading zero, and no digits of other scripts.
            index = int(key) if re.fullmatch("0|[1-9][0-9]{0,8}", key) else len(value)
            value = value[index] if index < len(value) else MISSING
        else:
            value = value.get(key, MISSING) if isinstance(value, dict) else MISSING
    return value


def _stats(
    document: Any, pointers: Mapping[str, Any], finished: Finished
) -> dict[str, Any]:
    """Return the cost of the work, as far as the output has it."""

    def found(name: str) -> Any:
        return value_at(document, pointers[name]) if pointers.get(name) else MISSING

    stats: dict[str, Any] = {"worker_kind": "subprocess"}
    model, turns, usage = (
        found("model_ptr"), found("num_turns_ptr"), found("usage_ptr")
    )  # fmt: skip
    if isinstance(model, str):
        stats["model"] = model[:LAST_LINE]
    if _is_count(turns):
        stats["num_turns"] = turns
    if isinstance(usage, dict):
        counts = {
            name: next((usage[key] for key in keys if _is_count(usage.get(key))), None)
            for name, keys in USAGE.items()
        }
        # Some tools print only a total.
        stats["usage"] = {name: n for name, n in counts.items() if n is not None}
    stats["adapter_data"] = {
        "exit_code": finished.exit_code,
        "seconds": round(finished.seconds, 3),
    }
    return stats


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
