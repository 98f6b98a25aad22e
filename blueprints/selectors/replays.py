"""Read a run as it was at one entry of its journal, from a replay."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from blueprints.conf import output_store
from blueprints.models import Run
from blueprints.models.readable_json import readable
from blueprints.selectors.expanded import Expanded, expanded
from blueprints.selectors.journal import run_entries
from blueprints.selectors.programs import run_program
from blueprints.selectors.replayed_entries import chain_entries, step_address
from blueprints.selectors.run_journals import run_origin, run_snapshot
from engine.output_store import OutputMissing, OutputsAway
from engine.run.replay import Replay, ReplayError
from engine.run.states import FINAL_RUN, RunStatus
from engine.store.base import JournalEntry

UNARCHIVED: Final = "its journal is not archived yet"
EARLIER: Final = (
    "the step had ended before this run was forked from another, which was deleted"
)


@dataclass(frozen=True, slots=True)
class ReplayedStep:
    """The input of a step and the Ctx before and after it, from a replay."""

    input: Expanded
    before: Expanded
    after: Expanded


def run_replay(run: Run, upto: int | None = None) -> dict[str, Any]:
    """Return a run as it was after an entry, or after its last one, as a JSON object.

    `difference` is None, or where the replay has stopped: the number and the place, what
    the journal has there and what the program gives. Raises ValueError for a program or
    an initial Ctx that can't be read.
    """
    begun = run_snapshot(run, run.generation)
    replay = Replay(
        run_program(run), readable(run.ctx), snapshot=begun, outputs=output_store()
    )
    difference = None
    try:
        for entry in run_entries(run.pk, run.generation):
            if upto is not None and entry.number > upto:
                break
            replay.apply(entry)
    except (OutputMissing, OutputsAway) as error:
        raise ValueError(str(error)) from None
    except ReplayError as error:
        difference = {
            "number": error.number,
            "place": error.place,
            "journal": error.journal,
            "program": error.program,
            "text": str(error),
        }
    report: dict[str, Any] = {
        "run": run.pk, "generation": run.generation, "number": 0, "status": "pending",
        "ctx": None, "ctx_missing": "", "error": None, "usage": {}, "chains": [],
    }  # fmt: skip
    if replay.has_begun:
        kept, ctx = replay.state.kept, _expanded(replay, replay.ctx())
        report |= {
            "number": kept.number, "status": kept.status, "ctx": ctx.value,
            "ctx_missing": ctx.why, "error": kept.error, "usage": kept.usage,
            "chains": [
                {"addr": addr, "place": live.pending.place, "state": live.state.name.lower()}
                for addr, live in replay.state.chains.items()
            ],
        }  # fmt: skip
        if difference is None and upto is None:
            difference = _other_end(run, report)
    return report | {"difference": difference}


def _other_end(run: Run, report: dict[str, Any]) -> dict[str, Any] | None:
    """Return how the end of a replay differs from the end that the run's row has."""
    for name, recorded, replayed in (
        ("status", run.status, report["status"]),
        ("final Ctx", run.result, report["ctx"]),
    ):
        if run.status not in FINAL_RUN or recorded == replayed:
            continue
        if name == "final Ctx" and (
            run.status != RunStatus.DONE or recorded is None or report["ctx_missing"]
        ):
            continue
        return {
            "number": report["number"],
            "place": "",
            "journal": f"the {name} that the run's row has",
            "program": "another one",
            "text": f"the replay of run {run.pk} ends with another {name} than its row has",
        }
    return None


def step_home(run: Run, place: str, times: Collection[datetime]) -> Run:
    """Return the run in the generation in which its step has ended, as `run_at` does.

    A generation that began with a part of another has kept the steps of that. `times` are
    those at which the attempts of the step have started and ended.
    """
    home = run
    while times and step_address(home, place, times) is None:
        origin = run_origin(home)
        if origin is None:
            break
        home = origin
    return home


def step_replay(run: Run, place: str, times: Iterable[datetime]) -> ReplayedStep:
    """Return the step at a place from the replay of its chain; ValueError says why not.

    The run is that of `step_home`, and so are the `times`.
    """
    # Nothing names the chain of a step without an attempt, so that all is replayed.
    chain = step_address(run, place, times)
    begun = run_snapshot(run, run.generation)
    replay = Replay(
        run_program(run),
        readable(run.ctx),
        snapshot=begun,
        watch=place,
        in_parts=True,
        outputs=output_store(),
    )
    try:
        for entry in _entries(run, chain):
            replay.apply(entry)
            if replay.visit is not None:
                break
    except (ReplayError, OutputMissing, OutputsAway) as error:
        raise ValueError(str(error)) from None
    if (visit := replay.visit) is not None:
        return ReplayedStep(
            _expanded(replay, visit.input),
            _expanded(replay, visit.before),
            _expanded(replay, visit.after),
        )
    if (asked := replay.request(place) if replay.has_begun else None) is None:
        raise ValueError(UNARCHIVED if begun is None else EARLIER)
    addr, request = asked
    before = _expanded(replay, replay.ctx(addr))
    return ReplayedStep(
        _expanded(replay, request.input), before, Expanded(why="the step has not ended")
    )


def _entries(run: Run, chain: str | None) -> Iterable[JournalEntry]:
    if chain is None:
        return run_entries(run.pk, run.generation)
    return chain_entries(run, chain)


def _expanded(replay: Replay, value: Any) -> Expanded:
    return expanded(value, replay.state.kept.input_bytes)
