"""The command of an attempt, from the spec of its agent: arguments, stdin, environment."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from blueprints.child_programs import asks_for_python, find_program, program_word
from blueprints.spawner import Limit
from engine.blueprint.schema.placeholders import fill, placeholders_in
from engine.flow.json_text import dump_compact
from engine.ports import StepCall
from workers.process.job import ChildLimits, environment

STALE_S: Final = 24 * 3600.0


LIMITS: Final[Mapping[str, Limit]] = {
    "cpu_s": Limit("SWARM_CHILD_CPU", "SWARM_CHILD_CPU_MAX"),
    "memory_bytes": Limit("SWARM_CHILD_MEMORY", "SWARM_CHILD_MEMORY_MAX"),
    "open_files": Limit("SWARM_CHILD_OPEN_FILES", "SWARM_CHILD_OPEN_FILES_MAX"),
    "file_bytes": Limit("SWARM_CHILD_FILE_SIZE", "SWARM_CHILD_FILE_SIZE_MAX"),
    "output_bytes": Limit("SWARM_OUTPUT_LIMIT", "SWARM_OUTPUT_LIMIT_MAX"),
}


class SourceAbsent(Exception):
    """A placeholder has no value; the text is for the author."""


@dataclass(frozen=True, slots=True)
class ChildCommand:
    """The process of one attempt, and the most it may print (bytes)."""

    argv: list[str]
    stdin: bytes | None
    env: dict[str, str]
    cwd: str | None
    limits: ChildLimits
    max_output: int


@contextlib.contextmanager
def command_for(call: StepCall) -> Iterator[ChildCommand]:
    """Yield the command of an attempt; remove its files afterwards.

    Raises SourceAbsent and LimitRefused.
    """
    spec = call.agent.spec
    templates = [spec.get("cwd"), *spec.get("env", {}).values()]
    templates += [*spec.get("argv", []), spec.get("stdin")]
    wanted = {name for text in templates if text for name in placeholders_in(text)}
    with contextlib.ExitStack() as undo:
        values = {name: _value(name, call, undo) for name in sorted(wanted)}
        program = _program(call)
        if "argv" in spec:
            argv = [fill(word, values) for word in spec["argv"][1:]]
            given = None
            if spec.get("stdin") is not None:
                given = _encoded(fill(spec["stdin"], values))
        else:
            argv, text = [*map(str, spec.get("args", []))], prompt(call)
            if spec.get("use_stdin", True):
                given = _encoded(text)
            else:
                argv, given = [*argv, text], None
        if asks_for_python(spec):
            # Otherwise modules in its folder would be imported instead of Python's own.
            argv.insert(0, "-P")
        env = {name: fill(text, values) for name, text in spec.get("env", {}).items()}
        cwd = spec.get("cwd")
        folder = None if cwd is None else fill(cwd, values)
        if cwd is None and "argv" in spec:
            folder = _work_dir(call)
        yield ChildCommand(
            [program, *argv],
            given,
            environment(settings.SWARM_CHILD_ENV, {**env, **_about(call)}),
            folder,
            *_limits(spec.get("limits") or {}),
        )


def prompt(call: StepCall) -> str:
    """Return the input as the child gets it: text unchanged, anything else as JSON."""
    return call.input if isinstance(call.input, str) else dump_compact(call.input)


def _program(call: StepCall) -> str:
    """Return the file to start, which no input can choose; raises SourceAbsent."""
    spec, folder = call.agent.spec, call.agent.work_dir
    word = program_word(spec)
    named = "argv" in spec and "work_dir" in placeholders_in(word)
    relative = os.sep in word and not os.path.isabs(word)
    if folder is None and (named or relative):
        raise SourceAbsent(_NO_FOLDER.format(call.agent.name, word))
    if "argv" in spec:
        word = fill(word, {"work_dir": folder or ""})
    if os.sep in word:
        return os.path.join(folder or "", word)
    return find_program(word)


_NO_FOLDER: Final = (
    "agent {!r} names its program {!r} relative to the run's folder, and the run has"
    " none: launch it with a text at 'work_dir' in its Ctx (--set work_dir=PATH), or name"
    " the program by an absolute path or by a word that PATH knows"
)


def _encoded(text: str) -> bytes:
    # A text of the flow has no lone surrogates, so nothing is lost.
    return text.encode("utf-8", "replace")


NEEDED: Final = {
    "model": "set profile.model, or overrides.model of the runner",
    "system": "set profile.system_prompt",
    "system_file": "set profile.system_prompt",
    "work_dir": "launch the run with a text at 'work_dir' in its Ctx, or give the step"
    " an input with a text in 'work_dir'",
}


def _value(name: str, call: StepCall, undo: contextlib.ExitStack) -> str:
    """Return the value of a placeholder; raises SourceAbsent."""
    spec, profile = call.agent.spec, call.agent.profile or {}
    found: Any
    match name:
        case "prompt":
            return prompt(call)
        case "task_id":
            return call.step_id
        case "attempt":
            return str(call.attempt)
        case "tools_csv":
            return ",".join(spec.get("tools") or profile.get("tools") or [])
        case "model":
            found = spec.get("model") or profile.get("model")
        case "work_dir":
            found = _work_dir(call)
        case "system" | "system_file":
            found = profile.get("system_prompt")
        case _:
            # The compiler knows the set; a program of a later version may know more.
            raise SourceAbsent(f"this worker does not know the placeholder {{{name}}}")
    if not isinstance(found, str) or not found:
        raise SourceAbsent(
            f"agent {call.agent.name!r} has nothing to fill {{{name}}} with;"
            f" {NEEDED[name]}"
        )
    if name == "system_file":
        return undo.enter_context(_system_file(found, call))
    return found


def _work_dir(call: StepCall) -> str | None:
    """Return the folder of the run, otherwise the one that the input names."""
    if call.agent.work_dir is not None:
        return call.agent.work_dir
    found = call.input.get("work_dir") if isinstance(call.input, dict) else None
    return found if isinstance(found, str) and found else None


@contextlib.contextmanager
def _system_file(text: str, call: StepCall) -> Iterator[str]:
    """Write a system prompt to a file that lasts as long as the attempt."""
    folder = Path(settings.VAR_DIR) / "system"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_stale(folder)
    path = folder / f"{call.step_id}-{call.attempt}.md"
    # An earlier try at this attempt may have been killed: its file is replaced.
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        yield str(path)
    finally:
        path.unlink(missing_ok=True)


def _remove_stale(folder: Path) -> None:
    """Remove the files of attempts whose worker was killed, a day later."""
    before = time.time() - STALE_S
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):
            if entry.stat().st_mtime < before:
                os.unlink(entry.path)


def _about(call: StepCall) -> dict[str, str]:
    """Return the ids of the step, never a token; the MSE names are the reference's."""
    return {
        "SWARM_RUN_ID": call.run,
        "SWARM_STEP_ID": call.step_id,
        "SWARM_PLACE": call.place,
        "SWARM_ATTEMPT": str(call.attempt),
        "SWARM_AGENT": call.agent.name,
        "MSE_TASK_ID": call.step_id,
        "MSE_ATTEMPT": str(call.attempt),
        "MSE_CTX_AGENT": call.agent.name,
    }


def _limits(own: Mapping[str, Any]) -> tuple[ChildLimits, int]:
    """Return the limits of an agent, from the settings where its spec has none."""
    got = {name: int(one.of(name, own.get(name))) for name, one in LIMITS.items()}
    limits = ChildLimits(
        cpu_s=got["cpu_s"],
        memory=got["memory_bytes"],
        open_files=got["open_files"],
        file_size=got["file_bytes"],
    )
    return limits, got["output_bytes"]
