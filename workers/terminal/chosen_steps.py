"""The generation and the steps of a run that the command line names."""

from __future__ import annotations

from argparse import ArgumentParser

from blueprints.command_line import typed
from blueprints.models import Run, Step
from blueprints.selectors.run_generations import run_at, run_generations
from blueprints.selectors.runs import run_steps
from blueprints.selectors.steps import run_names, step_list
from engine.flow.spelling import hint_at, listed
from engine.run.states import FINAL_RUN
from workers.fleet.prerequisites import SetupFailed

STEP_HELP = "a step's name, place, id or agent"


def add_generation(parser: ArgumentParser) -> None:
    """Declare the generation that a command reads."""
    parser.add_argument(
        "--generation",
        type=int,
        metavar="N",
        help="as it was in an earlier generation, not the newest",
    )


def chosen_generation(run: Run, number: int) -> Run:
    """Return a run as it was in a generation; raise SetupFailed for an unknown one."""
    if (found := run_at(run.pk, number)) is not None:
        return found
    known = listed([str(one.generation) for one in run_generations(run)])
    raise SetupFailed(f"run {run.pk} has no generation {number}; it has {known}")


def chosen_steps(run: Run, text: str) -> list[Step]:
    """Return the steps that a text names, the most urgent first; raise SetupFailed."""
    if not text.strip():
        raise SetupFailed(f"no step is named: expected {STEP_HELP}")
    if steps := step_list(run, text, run_names(run)):
        return steps
    raise SetupFailed(
        f"run {run.pk} has no step {text!r} that has begun{_hint(run, text)}; list its"
        f" steps with: {typed(f'runs show {run.pk}')}"
    )


def chosen_place(run: Run, text: str) -> str:
    """Return the place of the one step that a text names; raise SetupFailed."""
    steps = chosen_steps(run, text)
    if len(steps) == 1:
        return steps[0].place
    names = run_names(run)
    found = listed([names.name(step.place) for step in steps[:5]])
    raise SetupFailed(
        f"{len(steps)} steps of run {run.pk} match {text!r}, such as {found}: name one"
    )


def _hint(run: Run, text: str) -> str:
    """Return what is wrong with a text that names no step that has begun, if known."""
    names, name = run_names(run), text.partition("[")[0]
    if name in names.places:
        yet = "" if run.status in FINAL_RUN else " yet"
        return "" if name == text else f"; the step {name!r} has no such visit{yet}"
    agents = {step.agent for step in run_steps(run).only("agent")}
    hint = hint_at(name, {*names.places, *agents})
    return f"; {hint}" if hint else ""
