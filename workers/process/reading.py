"""From how a child ended and what it printed to the outcome of the attempt."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from engine.flow.json_text import JsonTextError, load_json
from engine.run.outcomes import Outcome, timed_out
from engine.run.outputs import (
    FormatRefused,
    Log,
    OutputEvent,
    SubmitFormat,
    fold_text,
)
from workers.process.command import Command
from workers.process.frames import EventReader
from workers.process.pointer import MISSING, at_pointer
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


def outcome_of(
    finished: Finished,
    command: Command,
    spec: Mapping[str, Any],
    reader: EventReader | None,
    timeout_s: float,
) -> Outcome:
    """Return the outcome of an attempt whose process has ended.

    `reader` has read the whole stream, None for a child that prints its result. What
    the work cost is told however it ended, if its output has it.
    """
    outcome = _outcome_of(finished, command, spec, reader, timeout_s)
    pointers = (spec.get("output") or {}).get("stats")
    if reader is not None or pointers is None:
        return outcome
    try:
        document = load_json(finished.stdout.strip())
    except JsonTextError:
        return outcome
    return replace(outcome, stats=_stats(document, pointers, finished))


def _outcome_of(
    finished: Finished,
    command: Command,
    spec: Mapping[str, Any],
    reader: EventReader | None,
    timeout_s: float,
) -> Outcome:
    errors = finished.stderr.decode(errors="replace").strip()
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
    broken = _broken(finished, command, reader, errors)
    if broken is not None:
        return broken
    if reader is not None:
        return _of_stream(finished, reader, errors, spec.get("submit_format"))
    if finished.exit_code:
        return _bad_exit(finished, errors)
    return _of_document(finished, spec, errors)


def _broken(
    finished: Finished, command: Command, reader: EventReader | None, errors: str
) -> Outcome | None:
    """Return the outcome of a process that did not come to its own end, or whole."""
    lost = ""
    if reader is not None and reader.lost:
        lost = f"the stream on standard output can't be read: {reader.lost}"
    if finished.cancelled:
        if reader is not None and lost and not reader.cut_off:
            # It was ended for that very reason.
            return Outcome("failed", text=lost + _tail(errors), error_type="Output")
        return Outcome("failed", text="cancelled", permanent=True)
    # How it ended comes first: a frame that was cut off is seldom more than the trace.
    more = f"; {lost}" if lost else ""
    if finished.error is not None:
        # A program that can't be run stays so; a launcher that died does not.
        never = finished.error.startswith("cannot run ")
        text = finished.error + more
        return Outcome("failed", text=text, permanent=never, error_type="Launch")
    if finished.signal is not None:
        text = _signal_text(finished, command) + more + _tail(errors)
        return Outcome("failed", text=text, error_type="Signal")
    if lost:
        if finished.exit_code:
            text = f"exited with {finished.exit_code}{more}"
            return Outcome("failed", text=text + _tail(errors), error_type="ExitCode")
        return Outcome("failed", text=lost + _tail(errors), error_type="Output")
    return None


def last_words(
    finished: Finished, reader: EventReader | None, outcome: Outcome
) -> Iterator[OutputEvent]:
    """Yield what is told of a process after its end.

    That is the end of its standard error, where nothing else has it, and the finals of
    its stream if its result counts, the last one as what it became.
    """
    errors = finished.stderr.decode(errors="replace").strip()
    if errors and not _has_errors(outcome, errors):
        yield from map(Log, shown_errors(errors))
    if outcome.kind in ("passed", "blocked") and reader is not None and reader.finals:
        *earlier, last = reader.finals
        yield from earlier
        yield replace(last, content=outcome.value)


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


def _bad_exit(finished: Finished, errors: str) -> Outcome:
    last = errors.splitlines()[-1][:LAST_LINE] if errors else ""
    text = f"exited with {finished.exit_code}" + (f": {last}" if last else "")
    more = _tail(errors) if "\n" in errors or len(errors) > LAST_LINE else ""
    return Outcome("failed", text=text + more, error_type="ExitCode")


def _tail(errors: str) -> str:
    """Return the end of standard error as further lines of a failure's text."""
    if not errors:
        return ""
    tail = "\n".join(errors.splitlines()[-TAIL_LINES:])[-TAIL_CHARS:]
    return f"\nstandard error ended with:\n{tail}"


def _signal_text(finished: Finished, command: Command) -> str:
    number = finished.signal
    text = f"killed by signal {number}"
    limits = command.limits
    # Who catches the first signal gets the second, which says nothing of its reason.
    spent = limits.cpu_s is not None and finished.cpu_s >= limits.cpu_s
    if limits.cpu_s is not None and (
        number == signal.SIGXCPU or (number == signal.SIGKILL and spent)
    ):
        return f"{text}: used more than {_named('cpu_s', limits.cpu_s)}"
    if number == signal.SIGXFSZ and limits.file_size is not None:
        return f"{text}: wrote a file of more than {_named('file_bytes', limits.file_size)}"
    return text


SETTINGS: Final = {
    "output_bytes": ("SWARM_OUTPUT_LIMIT", "bytes"),
    "cpu_s": ("SWARM_CHILD_CPU", "s of CPU time"),
    "file_bytes": ("SWARM_CHILD_FILE_SIZE", "bytes"),
}


def _named(limit: str, value: int) -> str:
    """Return a limit in words: its value and the two places where it is set."""
    setting, unit = SETTINGS[limit]
    return f"{value} {unit} (limits.{limit} of the agent, else {setting})"


def _of_text(
    kind: Literal["passed", "blocked"], text: str, submit_format: SubmitFormat
) -> Outcome:
    """Return the outcome that a text means; another attempt would say no better."""
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
        return Outcome(
            "failed", text=reader.refused, permanent=True, error_type="Output"
        )
    if final is not None:
        kind: Literal["passed", "blocked"] = "passed" if final.ok else "blocked"
        if isinstance(final.content, str):
            return _of_text(kind, final.content, submit_format)
        return Outcome(kind, final.content)
    text = f"ended without a final event; events read: {reader.events}"
    if reader.skipped:
        text += f", skipped: {reader.skipped} ({reader.broken[0]})"
    return Outcome("failed", text=text + _tail(errors), error_type="Output")


def _of_document(finished: Finished, spec: Mapping[str, Any], errors: str) -> Outcome:
    output: Mapping[str, Any] | None = spec.get("output")
    submit_format: SubmitFormat = spec.get("submit_format")
    if submit_format is not None:
        printed = finished.stdout.decode(errors="replace").rstrip()
        return _of_text("passed", printed, submit_format)
    try:
        document = load_json(finished.stdout.strip())
    except JsonTextError as error:
        printed = finished.stdout.decode(errors="replace").rstrip()
        if not _needs_json(output):
            return Outcome("passed", {"raw": printed, "stderr": errors})
        begun = printed[:SHOWN_OUTPUT] + ("…" if len(printed) > SHOWN_OUTPUT else "")
        text = f"the output is not the JSON that was declared: {error}; "
        text += f"it began with: {begun}" if begun.strip() else "it was empty"
        return Outcome("failed", text=text + _tail(errors), error_type="Output")
    output = output or {}
    ok_from = output.get("ok_from") or "exit_code"
    ok = ok_from == "exit_code" or at_pointer(document, ok_from) is True
    pointer = output.get("result_ptr")
    value = document if pointer is None else at_pointer(document, pointer)
    if value is MISSING:
        if ok:
            text = f"the output has nothing at {pointer} (output.result_ptr)"
            return Outcome("failed", text=text + _tail(errors), error_type="Output")
        # Who says no seldom has the result; the whole tells why.
        value = document
    return Outcome("passed" if ok else "blocked", value)


def _needs_json(output: Mapping[str, Any] | None) -> bool:
    if output is None:
        return False
    pointers = (output.get("result_ptr"), output.get("format"), output.get("stats"))
    return any(pointers) or output.get("ok_from", "exit_code") != "exit_code"


def _stats(
    document: Any, pointers: Mapping[str, Any], finished: Finished
) -> dict[str, Any]:
    """Return what the work cost as far as the output tells."""

    def found(name: str) -> Any:
        return at_pointer(document, pointers[name]) if pointers.get(name) else MISSING

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
        # What is there is taken: some tools tell only a total.
        stats["usage"] = {name: n for name, n in counts.items() if n is not None}
    stats["adapter_data"] = {
        "exit_code": finished.exit_code,
        "seconds": round(finished.seconds, 3),
    }
    return stats


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
