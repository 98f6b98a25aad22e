"""The kind subprocess, plain form: a program, its arguments, the input on stdin."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from engine.flow.json_text import JsonTextError, dump_compact, load_json
from engine.ports import StepCall
from engine.run.outcomes import Outcome, timed_out
from workers.process import Finished, Limits, ProcessRunner, environment

LAST_LINE = 300


class SubprocessSpawner:
    """Runs a program per attempt through this process's launcher.

    The child gets the input as stdin (a text as it is, anything else as JSON) or as its
    last argument, and an environment without the worker's secrets. What it prints is
    its result: JSON where it is JSON, else `{"raw", "stderr"}`.
    """

    in_process = False

    def __init__(self) -> None:
        """Start nothing; the launcher starts with the first program."""
        self._runner = ProcessRunner()

    def close(self) -> None:
        """End the launcher; a later attempt starts another."""
        self._runner.close()

    def run(self, call: StepCall) -> Outcome:
        """Run the agent's program once; never raises."""
        spec = call.agent.spec
        given = call.input if isinstance(call.input, str) else dump_compact(call.input)
        argv = [str(spec["program"]), *map(str, spec.get("args", []))]
        stdin: bytes | None = None
        if spec.get("use_stdin", True):
            stdin = given.encode()
        else:
            argv.append(given)
        try:
            finished = self._runner.run(
                argv,
                stdin=stdin,
                env=environment(extra=_about(call)),
                cwd=None,
                timeout=call.timeout_s,
                max_output=settings.SWARM_OUTPUT_LIMIT,
                limits=Limits(),
                should_stop=call.cancelled,
            )
        except ValueError as error:
            return Outcome("failed", text=str(error), permanent=True)
        return _outcome(finished, call)


def _about(call: StepCall) -> dict[str, str]:
    return {
        "SWARM_RUN_ID": call.run,
        "SWARM_STEP_ID": call.step_id,
        "SWARM_PLACE": call.place,
        "SWARM_ATTEMPT": str(call.attempt),
        "SWARM_AGENT": call.agent.name,
    }


def _outcome(finished: Finished, call: StepCall) -> Outcome:
    if finished.timed_out:
        return timed_out(round(call.timeout_s * 1000))
    if finished.cancelled:
        return Outcome("failed", text="cancelled", permanent=True)
    if finished.output_exceeded:
        return Outcome(
            "failed",
            text=f"printed more than SWARM_OUTPUT_LIMIT ({settings.SWARM_OUTPUT_LIMIT}"
            " bytes): write large results to a file and print its path",
            permanent=True,
        )
    if finished.error is not None:
        # A program that can't be run stays so; a launcher that died does not.
        never = finished.error.startswith("cannot run ")
        text = finished.error
        return Outcome("failed", text=text, permanent=never, error_type="Launch")
    errors = finished.stderr.decode(errors="replace").strip()
    if finished.signal is not None:
        text = f"killed by signal {finished.signal}"
        return Outcome("failed", text=text, error_type="Signal")
    if finished.exit_code:
        last = errors.splitlines()[-1][:LAST_LINE] if errors else ""
        text = f"exited with {finished.exit_code}" + (f": {last}" if last else "")
        return Outcome("failed", text=text, error_type="ExitCode")
    return Outcome("passed", _value(finished.stdout, errors))


def _value(stdout: bytes, errors: str) -> Any:
    try:
        return load_json(stdout.strip())
    except JsonTextError:
        return {"raw": stdout.decode(errors="replace").rstrip(), "stderr": errors}
