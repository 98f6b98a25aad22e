"""The kind subprocess: a program per attempt, through this process's launcher."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from blueprints.child_programs import NO_PROGRAM, find_program, program_word
from blueprints.conf import output_store
from blueprints.spawner import KindSpawner, need
from engine.blueprint import Agent, Diagnostic
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from workers.process.command import LIMITS, ChildCommand, SourceAbsent, command_for
from workers.process.frames import EventReader
from workers.process.given_files import GivenFiles
from workers.process.reading import last_words, outcome_of
from workers.process.runner import ProcessRunner


class SubprocessSpawner(KindSpawner):
    """Runs a program per attempt, without a shell and without the worker's secrets.

    The output is the result, one JSON document or else text. With a `stream_mode` it is a
    stream of output events, which are emitted as they come; the last final is the result,
    so finals are emitted only after a good exit code.
    """

    limits = LIMITS

    def __init__(self) -> None:
        """Start nothing; the launcher starts with the first program."""
        self._runner = ProcessRunner()

    @classmethod
    def missing(cls, agents: Iterable[tuple[str, Agent]]) -> Iterator[Diagnostic]:
        """Yield the programs that cannot be started here."""
        for place, agent in agents:
            name = program_word(agent.spec)
            # A program in the launch's folder is known only in the run.
            if not name or "{" in name or ("/" in name and name[0] != "/"):
                continue
            if shutil.which(find_program(name)) is None:
                text = f"no program {name!r} can be started here"
                hint = "install it, or add its folder to PATH"
                if "/" in name:
                    hint = "is it there, and may it be executed?"
                where = place if agent.runner else f"{place}.spec.{_field(agent.spec)}"
                yield need(where, NO_PROGRAM, text, hint, agent)

    def close(self) -> None:
        """End the launcher; a later attempt starts another."""
        self._runner.close()

    def run(self, call: StepCall) -> Outcome:
        """Run the agent's program once; never raises for the agent's errors."""
        try:
            with command_for(call) as command:
                return self._run(call, command)
        except SourceAbsent as error:
            text = str(error)
            return Outcome("failed", text=text, permanent=True, error_type="Template")
        # An argument that no process can receive, such as one with a NUL.
        except ValueError as error:
            return Outcome("failed", text=str(error), permanent=True)

    def _run(self, call: StepCall, command: ChildCommand) -> Outcome:
        mode = call.agent.spec.get("stream_mode")
        files = GivenFiles(command.cwd, command.max_output, _put)
        reader = EventReader(mode, call.emit, files) if mode else None

        def must_stop() -> bool:
            return (reader is not None and bool(reader.lost)) or call.cancelled()

        finished = self._runner.run(
            command.argv,
            stdin=command.stdin,
            env=command.env,
            cwd=command.cwd,
            timeout=call.timeout_s,
            max_output=command.max_output,
            limits=command.limits,
            on_stdout=reader.feed if reader else None,
            should_stop=must_stop,
        )
        if reader is not None:
            reader.end()
        outcome = outcome_of(finished, command, call.agent.spec, reader, call.timeout_s)
        for event in last_words(finished, reader, outcome):
            call.emit(event)
        return outcome


def _put(content: bytes) -> str:
    # Only a process that gives a file needs the store.
    return output_store().put(content)


def _field(spec: Mapping[str, Any]) -> str:
    return "argv[0]" if spec.get("argv") else "program"
