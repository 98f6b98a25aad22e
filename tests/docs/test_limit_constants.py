"""docs/limits.md: every number in the code that bounds something is on the page.

Each constant is in one of the two tables below: on the page, by the begin of its row, or
left out with a reason. A new one fails the test until somebody has decided.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "limits.md"

Number = int | float

ON_PAGE = {
    "blueprints/agent_inputs.py:SHOWN": "faults of an input that are told",
    "blueprints/authoring/explain.py:LONGEST": "`blueprint explain`",
    "blueprints/authoring/flow_text.py:MOST": "`blueprint explain`",
    "blueprints/loaders/cascade.py:MOST_INCLUDES": "folders of `blueprint_ref_includes`",
    "blueprints/loaders/documents.py:LONGEST_TEXT": "the text of a file's refusal",
    "blueprints/loaders/files.py:MAX_BYTES": "a Blueprint's file",
    "blueprints/loaders/references.py:MOST_FILES": "files that a document mentions",
    "blueprints/loaders/yaml_text.py:MAX_NODES": "values in a YAML file",
    "blueprints/lua_scripts.py:CACHE_BYTES": "registered scripts that a process keeps",
    "blueprints/lua_scripts.py:LONGEST_NAME": "`fn_id` of a function or script",
    "blueprints/lua_scripts.py:LARGEST": "a registered script",
    "engine/blueprint/asked_paths.py:_MOST_CONCERNED": "steps whose answers may reach",
    "engine/blueprint/dataflow.py:MOST_ORIGINS": "steps whose answers may reach",
    "engine/blueprint/program.py:MOST_ATTEMPTS": "attempts of a step",
    "engine/blueprint/diagnostics.py:MOST": "findings of one kind",
    "engine/blueprint/schema_errors.py:_LONGEST_SHOWN": "fields listed in a message",
    "engine/blueprint/schema_errors.py:_MOST_LISTED": "fields listed in a message",
    "engine/blueprint/strict.py:A_YEAR_S": "a time in a Blueprint",
    "engine/blueprint/subprocess_spec.py:_A_YEAR_S": "a time in a Blueprint",
    "engine/flow/decode.py:LARGEST_INTEGER": "iterations of a loop",
    "engine/flow/expr.py:MOST_ELEMENTS": "elements that one expression looks at",
    "engine/flow/json_text.py:MAX_DEPTH": "containers inside each other, in JSON",
    "engine/flow/path.py:_LONGEST_INDEX": "an index in a path",
    "engine/run/chords.py:FULL_MS": "the wait of a fanout for room",
    "engine/run/chords.py:MOST_FULL_MS": "the wait of a fanout for room",
    "engine/run/entry_shape.py:LARGEST_ENTRY": "an entry of the journal",
    "engine/run/entry_shape.py:LARGEST_NUMBER": "an entry of the journal",
    "engine/run/emitter.py:EVERY_S": "how often events are written",
    "engine/run/emitter.py:MOST_PARTS": "parts of a step |",
    "engine/run/emitter.py:SHOWN_BYTES": "a content repeated in the journal",
    "engine/run/machine.py:FUEL_NODES": "flow without an agent",
    "engine/run/machine.py:FUEL_S": "flow without an agent",
    "engine/run/machine.py:MOST_BYTES": "what a chain writes out at once",
    "engine/run/outcomes.py:MAX_TEXT": "a failure's text",
    "engine/run/outputs.py:LONGEST_LINE": "stage, note, log line",
    "engine/run/outputs.py:LONGEST_NAME": "the name of a part",
    "engine/run/outputs.py:LONGEST_NOTE": "stage, note, log line",
    "engine/run/outputs.py:LONGEST_STAGE": "stage, note, log line",
    "engine/run/outputs.py:SHOWN": "the begin of a text that is not the JSON",
    "engine/run/looks.py:EIGHTH": "looks of a worker at its queues",
    "engine/run/turn.py:ENGINE_TIMEOUT_MS": "a transition without an agent",
    "engine/run/turn.py:LONGEST_MS": "the longest timeout",
    "engine/run/turn.py:TIME_LIMIT_NET_S": "a delivery as a whole",
    "engine/store/dead_letters.py:MOST_BYTES": "dead letters that are kept",
    "engine/store/dead_letters.py:MOST_KEPT": "dead letters that are kept",
    "engine/store/memory_core.py:ENGINE_TIMEOUT_MS": "a transition without an agent",
    "workers/orphans.py:COURTESY_S": "what a worker has left",
    "workers/fleets_child.py:WARM_S": "what runs when a worker is asked to stop",
    "workers/keeper.py:GRACE_S": "an attempt that can't be interrupted",
    "workers/live.py:GROUP_EVERY_S": "`run`: notes of one stage",
    "workers/live_text.py:SHOWN_CONTENT": "a content in `run`",
    "workers/live_lanes.py:SHOWN_LANES": "`run`: lanes of a fanout",
    "workers/live.py:SHOWN_ROWS": "`run`: lanes of a fanout",
    "workers/live_rows.py:SHOWN_TURNS": "`run`: lanes of a fanout",
    "workers/lua/host.py:MAX_CALLS": "scripts in one sandbox",
    "workers/lua/host.py:MAX_FUNCTION_TEXT": "the text of a host function's error",
    "workers/lua/host.py:MAX_MODULES": "modules that a script asks for",
    "workers/lua/link.py:START_S": "the start of a sandbox",
    "workers/management/commands/run.py:MAX_CONCURRENCY": "processes of `run`",
    "workers/management/commands/runs.py:JSON_LINES": "`runs show`",
    "workers/management/commands/runs.py:NEWEST": "`runs list`",
    "workers/management/commands/runs.py:SHOWN_LINES": "`runs show`",
    "workers/management/commands/runs.py:SHOWN_PARTS": "`runs show`",
    "workers/management/commands/runs.py:SHOWN_STEPS": "`runs show`",
    "workers/malformed.py:MOST_BYTES": "a message in a queue",
    "workers/malformed.py:LONGEST_S": "a message in a queue",
    "workers/malformed.py:SHORTEST_S": "a message in a queue",
    "workers/malformed.py:LARGEST": "a message in a queue",
    "workers/malformed.py:SHOWN": "dead letters that are kept",
    "workers/open_files.py:ALONE": "files that a worker may have open",
    "workers/open_files.py:A_CHILD": "files that a worker may have open",
    "workers/page.py:ADDR_BYTES": "nested fanouts",
    "workers/page.py:SLOTS": "children of one worker",
    "workers/process/frames.py:MAX_FRAME": "a frame of a `length_prefixed` stream",
    "workers/process/frames.py:MOST_BROKEN": "frames that are no event",
    "workers/process/frames.py:MOST_FINALS": "finals of a stream",
    "workers/process/reading.py:LAST_LINE": "the last line of standard error",
    "workers/process/reading.py:SHOWN_OUTPUT": "the last line of standard error",
    "workers/process/reading.py:TAIL_CHARS": "standard error that is shown",
    "workers/process/reading.py:TAIL_LINES": "standard error that is shown",
    "workers/process/runner.py:STDERR_TAIL": "standard error that is kept",
    "workers/process/runner.py:_GRACE": "the end of a child that is killed",
    "workers/spawners/python_fn.py:ASYNC_GRACE_S": "an async function after its timeout",
    "workers/spawners/python_fn.py:MAX_TEXT": "an error's text",
}

NO_LIMIT = {
    "how much goes at once; all of it goes": (
        "engine/run/chords.py:UPLOAD_ABOVE", "engine/run/lanes.py:BYTES",
        "engine/run/lanes.py:RESULTS",
        "engine/run/lanes.py:SECONDS", "engine/store/base.py:ITEM_PAGE",
        "engine/store/memory_core.py:PAGE", "engine/store/memory_steward.py:OLDEST",
        "engine/store/redis.py:EVENT_PAGE", "engine/store/redis_reads.py:IN_PIPELINE",
        "engine/run/load.py:FIRST_LANES", "engine/run/load.py:LANES_BYTES",
        "engine/store/redis_reads.py:READ_BYTES",
        "engine/run/turn.py:MOST_DROPPED", "engine/store/redis_reads.py:REMOVED_FIELDS", "engine/store/redis_reads.py:READ_ENTRIES",
        "workers/archive.py:BATCH", "workers/archive.py:PAGE_BYTES",
        "workers/archive.py:TURN_S",
        "workers/archive_page.py:IN_PAGE", "workers/bookkeeper.py:PAGE",
        "workers/bookkeeper.py:STARTS", "workers/bookkeeper.py:TURN_S",
        "workers/live.py:NESTED_STEPS",
        "workers/lua/sandbox_process.py:CHUNK", "workers/lua/sandbox_process.py:FIRST",
        "workers/lua/sandbox_process.py:SMALL", "workers/process/runner.py:_CHUNK",
        "engine/run/entry_shape.py:LAST_MS",
        "workers/session.py:PAGE", "workers/doctor_dead_letters.py:SHOWN_DEAD",
    ),
    "how often somebody looks or tries again": (
        "engine/run/machine.py:CLOCK_EVERY", "engine/run/turn.py:TAKES_ON_S",
        "engine/store/memory_steward.py:DOUBLINGS", "engine/store/wire.py:RESENDS",
        "workers/bookkeeper.py:ARCHIVE_S", "workers/bookkeeper.py:LOOK_S",
        "workers/bookkeeper.py:LOST_S", "workers/duties.py:MAX_WAIT_S",
        "workers/fleets.py:HEALTHY_S", "workers/fleets_child.py:LOOK_S",
        "workers/bookkeeper.py:MOST_REFUSALS",
        "workers/bookkeeper.py:MAX_PAUSE_S", "workers/bookkeeper.py:NEVER_STARTED_S",
        "workers/keeper.py:TICK_S", "workers/lua/link.py:LOOK_S",
        "workers/passed_time.py:BEAT_MS", "workers/passed_time.py:HURRY_MS",
        "workers/passed_time.py:JUMP_MS",
        "workers/lua/link.py:READ_S",
        "workers/management/commands/up.py:EVERY_S",
        "workers/process/runner.py:_STOP_POLL",
        "workers/server_supervisor.py:_BACKOFF_MAX",
        "workers/server_supervisor.py:_STEADY", "workers/session.py:LOOK_MS",
        "workers/spawners/python_fn.py:MOST_WAITS",
        "workers/spawners/python_fn.py:RING_AGAIN_S",
        "workers/spawners/python_fn.py:WAIT_S", "workers/steward.py:ELECT_S", "workers/steward.py:FIRE_S",
        "workers/steward.py:LOST_MESSAGE_MS", "workers/steward.py:TICK_S",
        "workers/transport.py:GIVE_UP_S", "workers/doctor_dead_letters.py:A_DAY_MS",
        "workers/unserved.py:AGAIN_S", "workers/unserved.py:SILENCE_S",
    ),
    "patience of our own processes with each other; what fails says so": (
        "blueprints/checks.py:SHORT_LEASE_S", "engine/store/address.py:SENTINEL_WAIT_S",
        "engine/store/memory_core.py:GRACE_MS",
        "workers/boot.py:KEEPER_TIMEOUT_S", "workers/doctor.py:PING_S",
        "workers/doctor_processes.py:PATIENCE_S", "workers/fleets.py:STEWARD_S",
        "workers/fleets.py:TRIES", "workers/fleets.py:WATCH_S",
        "workers/fleets_child.py:SWEEP_S",
        "workers/fleets_child.py:TOO_SHORT_S", "workers/lua/link.py:END_S",
        "workers/process/launcher.py:_GUARD_PATIENCE",
        "workers/kin.py:_ROUNDS", "workers/process/runner.py:_SWEEP",
        "workers/process/runner.py:_SEND_TIMEOUT", "workers/room.py:GRACE_S",
        "workers/room.py:PROBE_S", "workers/runtime.py:PATIENCE_S",
        "workers/server.py:IDLE", "workers/server.py:START_TIMEOUT",
        "workers/server.py:_STOP_TIMEOUT",
        "workers/server_supervisor.py:_STOP_PATIENCE",
        "workers/session.py:ARCHIVE_PATIENCE_S", "workers/session.py:PATIENCE_S",
        "workers/steward.py:LAST_LOOK_S", "workers/steward.py:GAP_S", "workers/steward.py:LOCK_TTL_MS",
        "workers/unserved.py:ANSWER_S",
    ),
    "how long what nobody needs any more is kept": (
        "engine/run/chords.py:MOST_WAITS",
        "engine/store/memory_core.py:TOMBSTONE_MS", "engine/store/redis.py:TOMBSTONE_MS",
        "engine/store/redis_reads.py:REMOVED_MS", "workers/archive.py:KEEP_MS",
        "workers/deaths.py:MOST_KEPT", "workers/fleets.py:LOGS_KEPT", "workers/process/command.py:STALE_S",
        "workers/server.py:_LOG_MAX",
    ),
    "a number of a format, of an algorithm or of the system": (
        "blueprints/lua_scripts.py:ENTRY", "blueprints/lua_scripts.py:MOST_KNOWN",
        "engine/blueprint/asked_paths.py:_STEPS",
        "engine/blueprint/conditions.py:ELEMENT",
        "engine/blueprint/lints/path_never_written.py:_MOST_COMPARED",
        "engine/blueprint/lints/path_never_written.py:_MOST_SEARCHED",
        "engine/blueprint/lints/path_never_written.py:_NEAR",
        "blueprints/preflight.py:COMPILED_BYTES", "engine/blueprint/program.py:FORMAT", "engine/blueprint/reading.py:_QUOTED",
        "engine/blueprint/schema_errors.py:_MOST_COMPARED",
        "engine/ids.py:_VARIANT", "engine/ids.py:_VERSION_7",
        "engine/run/ctx.py:FOLD_AT", "engine/store/address.py:SENTINEL_PORT",
        "engine/store/memory.py:ENTRY_COST",
        "engine/store/record.py:FIXED", "workers/bookkeeper.py:NICE", "workers/doctor.py:DEEP",
        "workers/doctor.py:LEAST_MAJOR", "workers/doctor_processes.py:MIB",
        "workers/lua/host.py:MIB", "workers/lua/selftest.py:MIB",
        "workers/page.py:HEADER", "workers/page.py:RUN_BYTES", "workers/page.py:SLOT",
        "workers/process/launcher.py:_CAPABILITY_VERSION",
        "workers/server_files.py:PRIVATE", "workers/server_files.py:ROOT",
        "workers/server_files.py:RECORD_MAX",
        "workers/server_files.py:SOCKET_PATH_MAX",
    ),
    "what an entry of a cache counts besides its text": (
        "engine/run/cache.py:ENTRY_BYTES",
        "engine/run/load.py:LANE_BYTES",
    ),
    "the default of an argument that a setting gives": (
        "engine/run/load.py:CACHE_BYTES",
    ),
    "where exact measuring begins": (
        "engine/flow/json_text.py:_FEW_CONTAINERS",
        "engine/flow/json_text.py:_FEW_LAYERS",
    ),
    "the 64 bits of integers, which are on the page as bits": (
        "blueprints/loaders/yaml_text.py:_LARGEST_INT",
        "blueprints/loaders/yaml_text.py:_LONGEST_INT",
        "blueprints/loaders/yaml_text.py:_SMALLEST_INT",
        "engine/flow/json_text.py:_LARGEST_INT",
        "engine/flow/json_text.py:_LONGEST_INT_TEXT",
        "engine/flow/json_text.py:_SMALLEST_INT",
    ),
    "beyond what another limit lets through": (
        "engine/blueprint/subprocess_spec.py:_MOST_BYTES",
        "engine/run/ctx.py:DEEPEST", "engine/store/record.py:MOST",
        "workers/lua/host.py:_ROOM", "workers/lua/sandbox_process.py:SLACK",
        "workers/lua/sandbox_process.py:MOST",
    ),
    "an exit code": (
        "blueprints/authoring/answer.py:FINE", "blueprints/authoring/answer.py:INVALID",
        "blueprints/authoring/answer.py:REFUSED", "blueprints/command_line.py:USAGE",
        "workers/boot.py:REFUSED",
        "workers/fleets_child.py:GAVE_UP", "workers/session.py:DONE",
        "workers/session.py:FAILED", "workers/session.py:INTERRUPTED",
        "workers/session.py:REFUSED", "workers/session.py:TIMED_OUT",
    ),
    "of tests or samples": (
        "blueprints/samples/functions.py:LARGEST_FILE", "engine/testing.py:DEEPEST",
        "engine/testing.py:REPEAT_MS",
    ),
}  # fmt: skip


def constants() -> dict[str, Number]:
    """Return the numeric constants of the three floors: `file:NAME` and value."""
    found: dict[str, Number] = {}
    for floor in ("engine", "blueprints", "workers"):
        for path in sorted((ROOT / floor).rglob("*.py")):
            if "migrations" in path.parts:
                continue
            for node in ast.parse(path.read_text()).body:
                name, value = _assigned(node)
                # The options of prctl are the kernel's.
                if name.lstrip("_").isupper() and not name.startswith("PR_"):
                    number = _number(value)
                    if number is not None:
                        found[f"{path.relative_to(ROOT)}:{name}"] = number
    return found


def _assigned(node: ast.stmt) -> tuple[str, ast.expr | None]:
    target: ast.expr | None = None
    if isinstance(node, ast.AnnAssign):
        target = node.target
    elif isinstance(node, ast.Assign):
        target = node.targets[0]
    else:
        return "", None
    return (target.id, node.value) if isinstance(target, ast.Name) else ("", None)


def _number(node: ast.expr | None) -> Number | None:
    """Return the value of an expression that is made of numbers alone."""
    if node is None or any(
        isinstance(part, ast.Name | ast.Call | ast.Attribute) for part in ast.walk(node)
    ):
        return None
    value = eval(compile(ast.Expression(node), "", "eval"), {})
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else None


FOUND = constants()


def test_every_number_is_on_the_page_or_left_out_with_a_reason() -> None:
    left_out = [name for names in NO_LIMIT.values() for name in names]
    assert len(FOUND) > 150
    assert sorted([*ON_PAGE, *left_out]) == sorted(FOUND)


def spellings(value: Number) -> set[str]:
    """Return how a number may stand on the page."""
    words = {f"{value:,}".replace(",", " "), f"{value:,.3f}".replace(",", " ")}
    words |= {f"{value:g}", str(value), f"{value / 24 / 3600:g} days"}
    words |= {f"{value / 1024:g} KiB", f"{value / 1024**2:g} MiB"}
    words |= {f"{value * 1000:g} ms", f"{value / 1000:g} s"}
    words.add(f"{value / 1000:,.3f} s".replace(",", " "))
    return words | ({"one a second"} if value == 1 else set())


@pytest.mark.parametrize("name", ON_PAGE)
def test_the_page_tells_a_number_as_the_code_has_it(name: str) -> None:
    begin = f"| {ON_PAGE[name]}"
    rows = [row for row in PAGE.read_text().splitlines() if row.startswith(begin)]
    assert rows, "no such row"
    words = spellings(FOUND[name])
    assert any(stands_in(word, row) for row in rows for word in words), (
        f"{FOUND[name]} is in none of {rows}"
    )


def stands_in(word: str, row: str) -> bool:
    """Tell whether a row has a word that is no part of a larger number."""
    return bool(re.search(rf"(?<![0-9.]){re.escape(word)}(?![0-9])", row))
