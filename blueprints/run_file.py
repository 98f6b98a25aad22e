"""A run as one file: JSON lines with the run, its program and its journal, and hashes.

The first line is the run with its generations, then a line for each entry, whose bytes are
base64; the last line counts the entries and has the SHA-256 of all lines before it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, BinaryIO, Final

import orjson

from blueprints.models import Run, RunGeneration
from blueprints.models.events import stored_bytes
from blueprints.models.readable_json import readable
from blueprints.selectors.journal import JournalReport, stored_entries
from blueprints.selectors.programs import run_program
from blueprints.selectors.run_generations import run_generations
from blueprints.selectors.run_journals import run_snapshot
from engine.blueprint import Program
from engine.run.journal.hashes import (
    BEFORE_FIRST,
    CHANGED,
    MISSING,
    ArchivedEntry,
    JournalCheck,
    JournalFault,
)

FORMAT: Final = 1
LARGEST_LINE: Final = 256 << 20
"""Bytes of a line that a check reads; four times those of the largest entry."""
TIMES: Final = ("started_at", "finished_at", "deadline_at")


class NoRunFile(ValueError):
    """A file is no run that was exported; the text says why."""


def run_lines(run: Run) -> Iterator[bytes]:
    """Yield the lines of a run's file; raise ValueError if its program can't be read."""
    total, entries = sha256(), 0
    for line in _lines(run):
        entries += 1
        total.update(line)
        yield line
    end = {"entries": entries - 1, "sha256": total.hexdigest()}
    yield orjson.dumps({"end": end}) + b"\n"


def _lines(run: Run) -> Iterator[bytes]:
    rows = run_generations(run)
    yield orjson.dumps(_head(run, rows)) + b"\n"
    for row in rows:
        for entry in stored_entries(run.pk, row.generation):
            # Entries that were archived since the first line was written.
            if entry.number > row.journal_number:
                break
            line = {
                "generation": row.generation,
                "number": entry.number,
                "at_us": entry.at_us,
                "data": b64encode(entry.data).decode(),
                "hash": entry.hash.hex(),
            }
            yield orjson.dumps(line) + b"\n"


def _head(run: Run, rows: Sequence[Run | RunGeneration]) -> dict[str, Any]:
    task = run.task
    return {
        "swarm_run": FORMAT,
        "run": run.pk,
        "task": {"id": task.pk, "title": task.title, "blueprint": task.blueprint_id},
        "created_at": _iso(run.created_at),
        "programs": {row.program_id: run_program(row).to_json() for row in rows},
        "generations": [_generation(run, row) for row in rows],
    }


def _generation(run: Run, row: Run | RunGeneration) -> dict[str, Any]:
    begun = run_snapshot(run, row.generation)
    return {
        "generation": row.generation,
        "reason": row.reason,
        "status": row.status,
        "program_id": row.program_id,
        "version": row.version.version if row.version else None,
        **{name: _iso(getattr(row, name)) for name in TIMES},
        "ctx": readable(row.ctx),
        "snapshot": None if begun is None else orjson.loads(begun.to_json()),
        "result": readable(row.result),
        "error": readable(row.error),
        "unreplayable": row.unreplayable,
        "converted_number": row.converted_number,
        "journal_number": row.journal_number,
        "journal_hash": stored_bytes(row.journal_hash).hex(),
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def run_file_check(file: BinaryIO) -> JournalReport:
    """Check a run's file, a line at a time; raise NoRunFile for another file."""
    total = sha256()
    first = _next_line(file)
    head = _object(first, 1)
    if head.get("swarm_run") != FORMAT:
        raise NoRunFile(
            f"its first line has no `swarm_run` {FORMAT}: expected a file of `runs export`"
        )
    total.update(first)
    report, ends = _report(head)
    checks: dict[int, JournalCheck] = {
        generation: JournalCheck(report.run, generation) for generation in ends
    }
    end = None
    for at, line in enumerate(iter(lambda: _next_line(file), b""), start=2):
        row = _object(line, at)
        if "end" in row:
            end = row["end"]
            break
        total.update(line)
        generation, entry = _entry(row, at)
        if generation not in checks:
            raise NoRunFile(f"line {at}: the run has no generation {generation}")
        report.note(checks[generation].add(entry))
    for generation, check in checks.items():
        report.note(check.end(*ends[generation]))
        report.close(check)
    report.note(_end_faults(report, check, end, total.hexdigest()))
    return report


def _report(head: dict[str, Any]) -> tuple[JournalReport, dict[int, tuple[int, bytes]]]:
    """Return the report of a file, and number and hash of each generation's last entry."""
    try:
        newest = head["generations"][-1]
        report = JournalReport(
            head["run"],
            converted=int(newest["converted_number"]),
            unreplayable=str(newest["unreplayable"]),
        )
        ends = {
            int(one["generation"]): (
                int(one["journal_number"]),
                bytes.fromhex(one["journal_hash"]) or BEFORE_FIRST,
            )
            for one in head["generations"]
        }
        for one in head["generations"]:
            program = Program.from_json(head["programs"][one["program_id"]])
            if program.program_id != one["program_id"]:
                text = "the program is not the one whose hash the run has"
                at = head["run"], int(one["generation"])
                report.note([JournalFault(*at, 0, CHANGED, text)])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise NoRunFile(f"line 1: a field is missing or malformed: {error!r}") from None
    return report, ends


def _next_line(file: BinaryIO) -> bytes:
    line = file.readline(LARGEST_LINE + 1)
    if len(line) > LARGEST_LINE:
        raise NoRunFile(f"a line is longer than {LARGEST_LINE} bytes")
    return line


def _object(line: bytes, at: int) -> dict[str, Any]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise NoRunFile(f"line {at}: not JSON: {ascii(str(error))[1:80]}") from None
    if not isinstance(found, dict):
        raise NoRunFile(f"line {at}: not an object")
    return found


def _entry(row: dict[str, Any], at: int) -> tuple[int, ArchivedEntry]:
    try:
        data = b64decode(row["data"], validate=True)
        digest = bytes.fromhex(row["hash"])
        number, at_us = int(row["number"]), int(row["at_us"])
        return int(row["generation"]), ArchivedEntry(number, at_us, data, digest)
    except (KeyError, TypeError, ValueError, Error) as error:
        raise NoRunFile(f"line {at}: not an entry of a journal: {error!r}") from None


def _end_faults(
    report: JournalReport, check: JournalCheck, end: Any, total: str
) -> Iterator[JournalFault]:
    number, run = check.number, (report.run, check.gen)
    if not isinstance(end, dict):
        text = "the file has no last line: a part of it is missing"
        yield JournalFault(*run, number + 1, MISSING, text)
    elif end.get("entries") != report.entries:
        text = f"the file had {end.get('entries')} entries, and has {report.entries}"
        yield JournalFault(*run, number, MISSING, text)
    elif end.get("sha256") != total and not report.faulty:
        text = "the file is not the one that was exported: its SHA-256 is another"
        yield JournalFault(*run, 0, CHANGED, text)
