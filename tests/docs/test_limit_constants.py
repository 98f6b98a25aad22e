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
    "engine/agent_inputs.py:SHOWN": "faults of an input that a failure lists",
    "blueprints/agent_modules.py:LISTED": "fields listed in a message",
    "blueprints/api/lists.py:MOST": "items on a page of a list",
    "blueprints/api/versions.py:MOST_READ": "versions that a blame reads",
    "blueprints/services/api_keys.py:LONGEST_NAME": "the name of an API key",
    "blueprints/login_links.py:LASTS_S": "the life of the link that logs in once",
    "blueprints/management/commands/apikey.py:MOST_DAYS": "the life of an API key",
    "blueprints/authoring/flow_text.py:MOST": "`blueprint explain`",
    "blueprints/loaders/cascade.py:MOST_INCLUDES": "folders of `blueprint_ref_includes`",
    "blueprints/loaders/documents.py:LONGEST_TEXT": "the text of a file's refusal",
    "blueprints/loaders/files.py:MAX_BYTES": "a Blueprint's file",
    "blueprints/loaders/origin.py:LONGEST_ROW": "the line of a file in the error of a run",
    "blueprints/loaders/origin.py:MOST_SEARCHED": "a YAML or JSON file that is searched",
    "blueprints/loaders/references.py:MOST_FILES": "files that a document mentions",
    "blueprints/loaders/yaml_text.py:MAX_NODES": "values in a YAML file",
    "blueprints/stores/git/refs.py:LOCK_WAIT_S": "a writer's wait for `git gc`",
    "blueprints/stores/git/holding.py:WAIT_S": "a writer's wait for another writer of a Blueprint",
    "engine/blueprint_store.py:LONGEST_MESSAGE": "the message of a commit",
    "engine/blueprint_store.py:LONGEST_NAME": "an author's name or address",
    "blueprints/lua_scripts.py:CACHE_BYTES": "registered scripts that a process keeps",
    "blueprints/lua_scripts.py:LONGEST_NAME": "`fn_id` of a function or script",
    "blueprints/lua_scripts.py:LARGEST": "a registered script",
    "engine/blueprint/analysis/verdict_tests.py:MOST_CANDIDATES": "steps whose answers may reach",
    "engine/blueprint/analysis/verdict_tests.py:MOST_PAIRS": "steps whose answers may reach",
    "engine/blueprint/program.py:MOST_ATTEMPTS": "attempts of a step",
    "engine/blueprint/findings/diagnostics.py:MOST": "findings of one kind",
    "engine/blueprint/findings/schema_errors.py:_LONGEST_SHOWN": "fields listed in a message",
    "engine/flow/spelling.py:_MOST_LISTED": "fields listed in a message",
    "engine/blueprint/schema/strict.py:A_YEAR_S": "a time in a Blueprint",
    "engine/blueprint/kinds/subprocess.py:_LONGEST": "`blueprint explain`",
    "engine/flow/grammar.py:LONGEST_NAME": "the name of a step",
    "engine/flow/parser.py:LARGEST_INTEGER": "iterations of a loop",
    "engine/flow/values.py:_SHOWN": "a string in a function's error",
    "engine/flow/allowance.py:MOST_ELEMENTS": "elements that one expression visits",
    "engine/flow/allowance.py:MOST_TEXT": "text that the functions of one expression make",
    "engine/flow/json_text.py:_LARGEST_SHOWN": "a value in the text of an error of the flow",
    "engine/flow/json_text.py:MAX_DEPTH": "containers inside each other, in JSON",
    "engine/flow/text_scanner.py:MOST_LEVELS": "an expression as text",
    "engine/flow/text_scanner.py:MOST_TEXT": "an expression as text",
    "engine/flow/path.py:_LONGEST_INDEX": "an index in a path",
    "engine/run/drive/chords.py:FULL_MS": "the wait of a fanout for room",
    "engine/run/drive/chords.py:MOST_FULL_MS": "the wait of a fanout for room",
    "workers/archive/archiver.py:LARGEST": "a final Ctx, and the lanes",
    "workers/archive/archiver.py:MOST_TRIES": "turns of the archive that wait",
    "engine/run/drive/lanes.py:AWAY_S": "the wait of lanes for outputs",
    "engine/run/journal/entries.py:LARGEST_ENTRY": "an entry of the journal",
    "engine/run/journal/entries.py:LARGEST_NUMBER": "an entry of the journal",
    "engine/run/journal/entries.py:LONGEST_ADDRESS": "the address in an entry of the journal",
    "blueprints/selectors/journal.py:MOST_SHOWN": "faults and gaps of a run",
    "blueprints/run_file.py:LARGEST_LINE": "a line of a run's file",
    "engine/run/attempt/emitter.py:EVERY_S": "how often events are written",
    "engine/run/attempt/emitter.py:MOST_PARTS": "parts of a step |",
    "engine/run/attempt/emitter.py:SHOWN_BYTES": "a content repeated in the journal",
    "engine/run/chain/machine.py:FUEL_NODES": "flow without an agent",
    "engine/run/chain/machine.py:FUEL_S": "flow without an agent",
    "engine/run/chain/machine.py:MOST_BYTES": "values that a chain serialises at once",
    "engine/run/attempt/outcomes.py:MAX_TEXT": "a failure's text",
    "engine/run/attempt/outcomes.py:MAX_FAULT": "the text about a result that is not JSON",
    "engine/run/chain/outputs.py:PREVIEW": "the preview of a value",
    "engine/run/chain/failure.py:MOST_PATHS": "the values of the Ctx that an error",
    "engine/run/chain/failure.py:MOST_TEXT": "the values of the Ctx that an error",
    "engine/run/journal/sentences.py:MOST": "a value in an event of the admin",
    "engine/run/journal/entries.py:MOST_INPUT": "the input that a failed attempt keeps",
    "workers/spawners/tracebacks.py:MOST": "the traceback that a failed function keeps",
    "engine/run/journal/outputs.py:LONGEST_LINE": "stage, note, log line",
    "engine/run/journal/outputs.py:LONGEST_NAME": "the name of a part",
    "engine/run/journal/outputs.py:LONGEST_NOTE": "stage, note, log line",
    "engine/run/journal/outputs.py:LONGEST_STAGE": "stage, note, log line",
    "engine/run/journal/outputs.py:SHOWN": "the begin of a text that is not the JSON",
    "engine/run/drive/queue_order.py:EIGHTH": "times that a worker takes from its queues",
    "engine/store/base.py:ENGINE_TIMEOUT_MS": "a transition without an agent",
    "engine/store/record.py:LONGEST_MS": "the longest timeout",
    "engine/store/base.py:TIME_LIMIT_NET_S": "a delivery as a whole",
    "engine/store/dead_letters.py:MOST_BYTES": "dead letters that are kept",
    "engine/store/dead_letters.py:MOST_KEPT": "dead letters that are kept",
    "workers/process/orphans.py:COURTESY_S": "processes that a worker leaves behind",
    "workers/fleet/worker_guard.py:WARM_S": "attempts that run when a worker is asked to stop",
    "workers/celery_worker/keeper.py:GRACE_S": "an attempt that can't be interrupted",
    "workers/terminal/run_view.py:REPEAT_S": "`run`: notes of one stage",
    "workers/terminal/texts.py:SHOWN_CONTENT": "a content in `run`",
    "blueprints/selectors/runs.py:MOST_FOUND": "runs whose ids begin alike",
    "workers/terminal/run_progress.py:SHOWN_LANES": "`run`: lanes of a fanout",
    "workers/terminal/run_view.py:SHOWN_ROWS": "`run`: lanes of a fanout",
    "workers/terminal/run_progress.py:SHOWN_TURNS": "`run`: lanes of a fanout",
    "workers/terminal/run_progress.py:SHOWN_FAILED": "`run`: failed lanes",
    "workers/terminal/run_progress.py:LEAST_S": "`run`: failed lanes",
    "workers/lua/host.py:MAX_CALLS": "scripts in one sandbox",
    "workers/lua/host.py:MAX_FUNCTION_TEXT": "the text of a host function's error",
    "workers/lua/host.py:MAX_MODULES": "modules that a script requires",
    "workers/lua/link.py:START_S": "the start of a sandbox",
    "workers/terminal/session.py:MAX_CONCURRENCY": "processes of `run`",
    "workers/management/commands/runs.py:JSON_LINES": "`runs show`",
    "workers/management/commands/runs.py:NEWEST": "`runs list`",
    "workers/terminal/run_pages.py:PIPE_WIDTH": "a line of `runs show`",
    "workers/runs/full_storage.py:MOST_NEEDED": "the room of the outputs' file system",
    "workers/terminal/failed_page.py:SHOWN": "`runs show --failed`",
    "blueprints/selectors/failed_steps.py:LOG_LINES": "`runs show --failed`",
    "workers/terminal/run_pages.py:SHOWN_FAILED": "`runs show`",
    "workers/terminal/run_pages.py:SHOWN_LINES": "`runs show`",
    "workers/terminal/run_pages.py:SHOWN_OUTPUT": "a final Ctx",
    "workers/terminal/run_pages.py:SHOWN_PARTS": "`runs show`",
    "workers/terminal/run_pages.py:SHOWN_STEPS": "`runs show`",
    "workers/terminal/run_rows.py:SHOWN_VISITS": "`runs show`",
    "workers/broker/message_checks.py:MOST_BYTES": "a message in a queue",
    "workers/broker/message_checks.py:LONGEST_S": "a message in a queue",
    "workers/broker/message_checks.py:SHORTEST_S": "a message in a queue",
    "workers/broker/message_checks.py:LARGEST": "a message in a queue",
    "workers/broker/message_checks.py:SHOWN": "dead letters that are kept",
    "workers/celery_worker/open_files.py:ALONE": "files that a worker may have open",
    "workers/celery_worker/open_files.py:A_CHILD": "files that a worker may have open",
    "workers/celery_worker/claim_table.py:ADDR_BYTES": "nested fanouts",
    "workers/celery_worker/claim_table.py:SLOTS": "children of one worker",
    "workers/process/frames.py:MAX_FRAME": "a frame of a `length_prefixed` stream",
    "workers/process/frames.py:MOST_BROKEN": "frames that are not events",
    "workers/process/frames.py:MOST_FINALS": "finals of a stream",
    "workers/process/reading.py:LAST_LINE": "the last line of standard error",
    "workers/process/reading.py:SHOWN_OUTPUT": "the last line of standard error",
    "workers/process/reading.py:TAIL_CHARS": "standard error that is shown",
    "workers/process/reading.py:TAIL_LINES": "standard error that is shown",
    "workers/process/runner.py:STDERR_TAIL": "standard error that is kept",
    "workers/process/runner.py:_GRACE": "the end of a child that is killed",
    "workers/spawners/python_fn.py:ASYNC_GRACE_S": "an async function after its timeout",
    "engine/agents.py:MAX_TEXT": "an error's text",
}

NO_LIMIT = {
    "how much goes at once; all of it goes": (
        "engine/run/drive/chords.py:UPLOAD_ABOVE", "engine/run/drive/lanes.py:BYTES",
        "engine/run/drive/lanes.py:RESULTS",
        "engine/run/drive/lanes.py:SECONDS", "engine/store/base.py:ITEM_PAGE",
        "engine/store/redis.py:PER_CALL", "engine/store/redis_reads.py:RELEASED", "engine/store/redis_reads.py:IN_PIPELINE",
        "engine/run/drive/joins.py:FIRST_LANES", "engine/run/drive/joins.py:LANES_BYTES",
        "engine/store/redis_reads.py:READ_BYTES",
        "engine/run/drive/turn.py:MOST_DROPPED", "engine/store/removals.py:REMOVED_FIELDS", "engine/store/redis_reads.py:READ_ENTRIES",
        "blueprints/selectors/journal.py:PAGE", "blueprints/services/retention.py:ROWS",
        "blueprints/stores/outputs/database.py:PAGE",
        "workers/runs/retention.py:PAGE", "workers/archive/archiver.py:BATCH", "workers/archive/archiver.py:PAGE_BYTES",
        "workers/archive/archiver.py:TURN_S", "engine/store/redis_reads.py:SEARCH_S",
        "workers/archive/rows.py:IN_PAGE", "blueprints/services/run_generations.py:IN_PAGE",
        "engine/run/replay/install.py:PART_BYTES", "engine/run/replay/install.py:PAGES",
        "workers/steward/database_duties.py:PAGE", "workers/runs/reconciling.py:PAGE",
        "workers/steward/database_duties.py:STARTS", "workers/steward/database_duties.py:TURN_S",
        "workers/terminal/run_view.py:NESTED_STEPS",
        "workers/lua/sandbox_process.py:CHUNK", "workers/lua/sandbox_process.py:FIRST",
        "workers/lua/sandbox_process.py:SMALL", "workers/process/runner.py:_CHUNK",
        "engine/run/journal/entries.py:LAST_MS",
        "workers/terminal/session.py:JOURNAL_BATCH", "workers/doctor/dead_letters.py:SHOWN_DEAD",
    ),
    "how often a process checks or retries": (
        "blueprints/index/intents.py:LEFT_S", "blueprints/stores/outputs/s3.py:MOST_READS",
        "blueprints/stores/git/holding.py:_FIRST_PAUSE_S", "blueprints/stores/git/holding.py:_LONGEST_PAUSE_S",
        "blueprints/stores/git/refs.py:_LOCK_PAUSE_S",
        "engine/run/chain/machine.py:CLOCK_EVERY", "engine/run/drive/turn.py:NEXT_MESSAGE_S",
        "engine/store/wire.py:RESENDS",
        "workers/steward/database_duties.py:ARCHIVE_S", "workers/steward/database_duties.py:RECONCILE_S", "workers/steward/database_duties.py:SYNC_S", "workers/steward/recoverer.py:POLL_S", "workers/steward/database_duties.py:PRUNE_S", "workers/steward/database_duties.py:POLL_S",
        "workers/steward/database_duties.py:LOST_S", "workers/steward/periodic.py:MAX_WAIT_S",
        "workers/fleet/fleet.py:HEALTHY_S", "workers/fleet/worker_guard.py:TIDY_S",
        "workers/steward/database_duties.py:MOST_REFUSALS",
        "workers/steward/output_sweep.py:SWEEP_S", "workers/steward/output_sweep.py:LOOK_S",
        "workers/steward/database_duties.py:NEVER_STARTED_S",
        "workers/celery_worker/consumer.py:PAUSE_S", "workers/celery_worker/startup.py:AGAIN_S",
        "workers/celery_worker/keeper.py:STAND_IN_S", "workers/celery_worker/keeper.py:TICK_S",
        "workers/celery_worker/in_process.py:POLL_S",
        "workers/celery_worker/in_process.py:AWAY_S",
        "workers/fleet/in_process_lock.py:ENDING_S", "workers/lua/link.py:CANCEL_POLL_S",
        "workers/steward/script_clock.py:BEAT_MS", "workers/steward/script_clock.py:HURRY_MS",
        "workers/steward/script_clock.py:JUMP_MS",
        "workers/lua/link.py:READ_S",
        "workers/management/commands/up.py:CHECK_INTERVAL_S",
        "workers/management/commands/runs.py:FOLLOW_S",
        "workers/process/runner.py:_STOP_POLL",
        "workers/embedded_server/supervisor.py:_BACKOFF_MAX",
        "workers/embedded_server/supervisor.py:_STEADY", "workers/terminal/session.py:JOURNAL_WAIT_MS",
        "workers/process/alarm.py:MOST_WAITS",
        "workers/process/alarm.py:RING_AGAIN_S",
        "workers/process/alarm.py:WAIT_S", "workers/steward/process.py:ELECT_S", "workers/steward/process.py:FIRE_S",
        "workers/steward/process.py:LOST_MESSAGE_MS", "workers/steward/process.py:TICK_S",
        "workers/broker/transport.py:TIMEOUT_S", "workers/doctor/dead_letters.py:A_DAY_MS",
        "workers/fleet/unserved_queues.py:AGAIN_S", "workers/fleet/unserved_queues.py:SILENCE_S",
    ),
    "patience of our own processes with each other; what fails says so": (
        "workers/fleet/web_server.py:AWAIT_S", "workers/fleet/web_server.py:GRACE_S",
        "blueprints/api/problems.py:RETRY_AFTER_S",
        "blueprints/checks.py:SHORT_LEASE_S", "engine/store/server_url.py:SENTINEL_WAIT_S",
        "engine/store/redis.py:GRACE_MS",
        "workers/celery_worker/startup.py:KEEPER_TIMEOUT_S", "workers/doctor/checks.py:PING_S",
        "workers/doctor/journal.py:COUNT_S", "workers/steward/output_sweep.py:LAG_MS", "workers/doctor/journal.py:LATE_S",
        "workers/doctor/processes.py:PATIENCE_S", "workers/fleet/fleet.py:STEWARD_S",
        "workers/fleet/running_sources.py:ENTER_S",
        "workers/fleet/fleet.py:TRIES", "workers/fleet/prerequisites.py:WATCH_S",
        "workers/fleet/worker_guard.py:SWEEP_S",
        "workers/fleet/worker_guard.py:TOO_SHORT_S", "workers/lua/link.py:END_S",
        "workers/process/launcher.py:_GUARD_PATIENCE",
        "workers/process/posix.py:_ROUNDS", "workers/process/orphans.py:OFFSPRING_S",
        "workers/fleet/prerequisites.py:MIGRATE_S", "workers/fleet/records.py:RECORD_S", "workers/process/runner.py:_SWEEP",
        "workers/process/runner.py:_SEND_TIMEOUT", "workers/runs/full_storage.py:GRACE_S",
        "workers/runs/full_storage.py:PROBE_S", "workers/wiring.py:PATIENCE_S",
        "workers/embedded_server/server.py:IDLE", "workers/embedded_server/server.py:START_TIMEOUT",
        "workers/embedded_server/server.py:_STOP_TIMEOUT",
        "workers/embedded_server/supervisor.py:_STOP_PATIENCE",
        "workers/terminal/session.py:ARCHIVE_WAIT_S", "workers/terminal/session.py:REDIS_PATIENCE_S",
        "workers/steward/process.py:LAST_ARCHIVING_S", "workers/steward/process.py:GAP_S", "workers/steward/process.py:LOCK_TTL_MS",
        "workers/fleet/unserved_queues.py:ANSWER_S",
    ),
    "how long what nobody needs any more is kept": (
        "engine/run/drive/chords.py:MOST_WAITS", "workers/archive/archiver.py:MOST_REASONS", "workers/archive/rows.py:MOST_REASONS",
        "engine/store/redis.py:TOMBSTONE_MS", "engine/store/redis.py:TOOK_MS",
        "engine/store/removals.py:REMOVED_MS", "workers/archive/archiver.py:KEEP_MS",
        "workers/celery_worker/child_deaths.py:MOST_KEPT", "workers/fleet/fleet.py:LOGS_KEPT", "workers/process/command.py:STALE_S",
        "workers/embedded_server/server.py:_LOG_MAX",
    ),
    "a number of a format, of an algorithm or of the system": (
        "workers/terminal/run_outputs.py:SHOWN", "workers/process/given_files.py:SHOWN_PATH",
        "blueprints/services/api_keys.py:PREFIX_BYTES", "workers/fleet/web_server.py:BACKLOG",
        "blueprints/services/api_keys.py:SECRET_BYTES", "blueprints/api/lists.py:LARGEST",
        "blueprints/selectors/version_selector.py:MOST_SHOWN",
        "blueprints/index/reindex.py:MOST_TOLD",
        "blueprints/authoring/history.py:USUAL", "blueprints/authoring/show.py:MOST_EVENTS",
        "blueprints/loaders/bundle.py:_ENCRYPTED",
        "blueprints/selectors/version_selector.py:SHORTEST_PREFIX",
        "blueprints/stores/git/agent_files.py:LONGEST_STEM", "blueprints/models/outputs.py:SHA256",
        "blueprints/stores/outputs/files.py:_OURS",
        "workers/broker/messages.py:MOST_OWN_BYTES",
        "blueprints/lua_scripts.py:ENTRY", "blueprints/lua_scripts.py:MOST_KNOWN",
        "engine/blueprint/comparison/agents.py:_MOST_CANDIDATES",
        "engine/blueprint/comparison/agents.py:_NEAR",
        "engine/blueprint/comparison/identity.py:_DIGITS",
        "engine/blueprint/comparison/matching.py:_EQUAL",
        "engine/blueprint/comparison/matching.py:_LIKE",
        "engine/blueprint/comparison/matching.py:_MOST_CANDIDATES",
        "engine/blueprint/comparison/matching.py:_MOST_CELLS",
        "engine/blueprint/comparison/matching.py:_SOME",
        "engine/blueprint/comparison/outline.py:_LONGEST_PATH",
        "engine/blueprint/comparison/readable.py:_CONTEXT",
        "engine/blueprint/comparison/sequences.py:_MOST_PAIRS",
        "engine/blueprint/comparison/shown.py:_BEFORE",
        "engine/blueprint/comparison/shown.py:_LONGEST",
        "engine/blueprint/comparison/shown.py:_MOST",
        "engine/blueprint/analysis/verdict_tests.py:MOST_FOLLOWED",
        "engine/blueprint/analysis/shapes.py:_MOST_PARTS",
        "engine/blueprint/analysis/conditions.py:ELEMENT",
        "engine/flow/spelling.py:MOST_SEARCHED",
        "engine/flow/spelling.py:_LONGER", "engine/flow/spelling.py:_SWAPPED",
        "engine/flow/path.py:LONGEST_CACHED",
        "engine/flow/allowance.py:COPIED", "engine/flow/allowance.py:_CHARACTERS", "engine/flow/functions.py:_LARGEST_EXACT",
        "engine/flow/values.py:_EXPONENT", "engine/blueprint/upgrade_texts.py:_MOST_TEXT",
        "engine/flow/grammar.py:AND_LEVEL", "engine/flow/grammar.py:COMPARISON_LEVEL",
        "engine/flow/grammar.py:NOT_LEVEL", "engine/flow/grammar.py:OR_LEVEL",
        "engine/flow/grammar.py:PRODUCT_LEVEL", "engine/flow/grammar.py:SUM_LEVEL",
        "blueprints/authoring/answer.py:_ROW", "engine/flow/text_scanner.py:LONGEST_SHOWN", "engine/flow/text_printer.py:_MOST_LEVELS",
        "workers/spawners/lua.py:COMPILED_BYTES", "engine/blueprint/program.py:FORMAT", "blueprints/run_file.py:FORMAT", "engine/blueprint/reading.py:_QUOTED",
        "engine/flow/spelling.py:_MOST_COMPARED",
        "engine/ids.py:_VARIANT", "engine/ids.py:_VERSION_7",
        "engine/run/chain/ctx.py:FOLD_AT", "engine/run/chain/outputs.py:LEVELS", "engine/run/chain/outputs.py:NEVER", "engine/run/replay/snapshot.py:FORMAT", "engine/run/replay/tape.py:MOST", "engine/store/server_url.py:SENTINEL_PORT",
        "engine/store/record.py:FIXED", "engine/store/spec.py:NONCE_BYTES", "workers/steward/database_duties.py:NICE", "workers/doctor/checks.py:LONG_QUEUE",
        "workers/doctor/checks.py:LEAST_MAJOR", "workers/doctor/processes.py:MIB",
        "workers/lua/host.py:MIB", "workers/lua/selftest.py:MIB",
        "workers/celery_worker/claim_table.py:HEADER", "workers/celery_worker/claim_table.py:SLOT",
        "workers/process/posix.py:_NOTE_BYTES",
        "workers/process/launcher.py:_CAPABILITY_VERSION",
        "workers/embedded_server/files.py:PRIVATE", "workers/embedded_server/files.py:ROOT",
        "workers/embedded_server/files.py:RECORD_MAX",
        "workers/embedded_server/files.py:SOCKET_PATH_MAX",
    ),
    "what an entry of a cache counts besides its text": (
        "engine/run/drive/cache.py:ENTRY_BYTES",
        "engine/run/drive/joins.py:LANE_BYTES", "engine/run/chain/outputs.py:ENTRY_BYTES",
    ),
    "the default of an argument that a setting gives": (
        "engine/run/drive/load.py:CACHE_BYTES", "engine/run/replay/recorded.py:KEPT_BYTES",
    ),
    "shorter secrets are not masked, since words would be": (
        "blueprints/secrecy.py:SHORTEST",
    ),
    "where exact measuring begins": (
        "engine/flow/json_text.py:_FEW_CONTAINERS",
        "engine/flow/json_text.py:_FEW_LAYERS",
    ),
    "the 64 bits of integers, which are on the page as bits": (
        "engine/flow/text_scanner.py:_FEW_DIGITS",
        "blueprints/loaders/yaml_text.py:_LARGEST_INT",
        "blueprints/loaders/yaml_text.py:_LONGEST_INT",
        "blueprints/loaders/yaml_text.py:_SMALLEST_INT",
        "engine/flow/json_text.py:_LARGEST_INT",
        "engine/flow/json_text.py:_LONGEST_INT_TEXT",
        "engine/flow/json_text.py:_SMALLEST_INT",
    ),
    "beyond what another limit lets through": (
        "blueprints/api/openapi.py:LONGEST_WORD", "blueprints/services/api_keys.py:LONGEST",
        "engine/blueprint/schema/subprocess_template.py:_MOST_BYTES",
        "engine/run/chain/ctx.py:DEEPEST", "engine/store/record.py:MAX_COUNT",
        "workers/lua/host.py:_ROOM", "workers/lua/sandbox_process.py:SLACK",
        "workers/lua/sandbox_process.py:MOST",
    ),
    "an exit code": (
        "blueprints/authoring/answer.py:FINE", "blueprints/authoring/answer.py:INVALID",
        "blueprints/authoring/answer.py:REFUSED", "blueprints/command_line.py:DONE",
        "blueprints/command_line.py:FAILED", "blueprints/command_line.py:INTERRUPTED",
        "blueprints/command_line.py:REFUSED", "blueprints/command_line.py:TIMED_OUT",
        "workers/fleet/worker_guard.py:GAVE_UP",
    ),
    "of tests or samples": (
        "blueprints/samples/functions.py:LARGEST_FILE", "engine/testing/simulator.py:MAX_BUSY",
        "engine/testing/simulator.py:REPEAT_MS", "engine/testing/simulator.py:LONG_MS",
        "engine/testing/simulator.py:START_MS", "engine/testing/simulator.py:FAR_BACK_MS", "workers/pytest_plugin.py:START_S",
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
def test_the_page_has_the_number_of_the_code(name: str) -> None:
    begin = f"| {ON_PAGE[name]}"
    rows = [row for row in PAGE.read_text().splitlines() if row.startswith(begin)]
    assert rows, "no such row"
    words = spellings(FOUND[name])
    assert any(stands_in(word, row) for row in rows for word in words), (
        f"{FOUND[name]} is in none of {rows}"
    )


def stands_in(word: str, row: str) -> bool:
    """Return whether a row has a word that is not part of a larger number."""
    return bool(re.search(rf"(?<![0-9.]){re.escape(word)}(?![0-9])", row))
