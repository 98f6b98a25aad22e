"""The kind subprocess: a program per attempt, through this process's launcher."""

from __future__ import annotations

from blueprints.agent_limits import Limits
from engine.ports import StepCall
from engine.run.outcomes import Outcome
from workers.process import ProcessRunner
from workers.process.command import LIMITS, Command, SourceAbsent, command_for
from workers.process.frames import EventReader
from workers.process.reading import last_words, outcome_of


class SubprocessSpawner:
    """Runs a program per attempt, without a shell and without the worker's secrets.

    What it prints is its result, one JSON document or else text; with a `stream_mode`
    it prints output events, which are emitted as they come, and the last final counts:
    finals are emitted once the exit code has said that they do.
    """

    in_process = False
    limits: Limits = LIMITS

    def __init__(self) -> None:
        """Start nothing; the launcher starts with the first program."""
        self._runner = ProcessRunner()

    def close(self) -> None:
        """End the launcher; a later attempt starts another."""
        self._runner.close()

    def run(self, call: StepCall) -> Outcome:
        """Run the agent's program once; never raises for what the agent does wrong."""
        try:
            with command_for(call) as command:
                return self._run(call, command)
        except SourceAbsent as error:
            text = str(error)
            return Outcome("failed", text=text, permanent=True, error_type="Template")
        # What can't be given to a process, such as a NUL in an argument.
        except ValueError as error:
            return Outcome("failed", text=str(error), permanent=True)

    def _run(self, call: StepCall, command: Command) -> Outcome:
        mode = call.agent.spec.get("stream_mode")
        reader = EventReader(mode, call.emit) if mode else None

        def in_vain() -> bool:
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
            should_stop=in_vain,
        )
        if reader is not None:
            reader.end()
        outcome = outcome_of(finished, command, call.agent.spec, reader, call.timeout_s)
        for event in last_words(finished, reader, outcome):
            call.emit(event)
        return outcome
