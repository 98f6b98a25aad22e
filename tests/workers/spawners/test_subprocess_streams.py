"""Streams: events as they come, the last final, the exit code, and broken frames."""

import json
import os
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from blueprints.conf import output_store
from engine.output_store import name_of
from engine.run.journal.outputs import (
    Artifact,
    FileContent,
    Final,
    Log,
    Partial,
    Progress,
)

FINAL = {"type": "final", "content": {"kind": "inline", "value": "end"}, "ok": True}
NO = {"type": "final", "content": {"kind": "inline", "value": "no"}, "ok": False}
UP = {"type": "progress", "stage": "up"}


def lines(*events: Any) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def sse(*events: Any) -> bytes:
    return b"".join(
        b"data: " + json.dumps(event).encode() + b"\n\n" for event in events
    )


def prefixed(*events: Any) -> bytes:
    texts = [json.dumps(event).encode() for event in events]
    return b"".join(struct.pack("!I", len(text)) + text for text in texts)


FORMS = {"ndjson_lines": lines, "sse_events": sse, "length_prefixed": prefixed}
every_mode = pytest.mark.parametrize("mode", FORMS)


def printing(data: bytes, then: str = "") -> str:
    return f"import os, sys; os.write(1, {data!r}); {then}"


@every_mode
def test_events_come_in_order_and_the_last_final_counts(
    child: Any, mode: str, tmp_path: Path
) -> None:
    first = {"type": "final", "content": {"kind": "inline", "value": "early"}}
    (tmp_path / "x").write_bytes(b"\xff a log")
    file = {"kind": "file_ref", "path": f"{tmp_path}/x", "mime": "text/plain"}
    data = FORMS[mode](
        {"type": "progress", "stage": "parse", "note": "1/2"},
        {"type": "progress", "stage": "parse", "note": None},
        {"type": "partial", "chunk": {"kind": "inline", "value": [1]}},
        first,
        {"type": "artifact", "name": "log", "content": file},
        FINAL,
        {"type": "log", "text": "bye"},
    )
    outcome = child(printing(data), stream_mode=mode)
    assert (outcome.kind, outcome.value) == ("passed", "end")
    assert child.events == [
        Progress("parse", "1/2"),
        Progress("parse"),
        Partial([1]),
        Artifact("log", kept_file(tmp_path / "x", "text/plain")),
        Log("bye"),
        Final("early"),
        Final("end"),
    ]


def kept_file(path: Path, mime: str | None = None) -> FileContent:
    """Return the content of a file, which the store has."""
    content = path.read_bytes()
    assert output_store().get(name_of(content)) == content
    return FileContent(str(path), name_of(content), len(content), mime)


def giving(path: object, kind: str = "final") -> str:
    content = {"kind": "file_ref", "path": str(path)}
    event = {"type": kind, "content": content}
    return printing(lines(event | ({"name": "log"} if kind == "artifact" else {})))


def test_a_final_that_is_a_file_is_kept_and_named(child: Any, tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("# A page")

    outcome = child(giving(file), stream_mode="ndjson_lines")

    kept = kept_file(file)
    assert (outcome.kind, outcome.value) == ("passed", kept.to_json())
    assert outcome.value["file_ref"] == str(file)
    assert child.events == [Final(kept)]


def test_a_relative_file_is_in_the_folder_of_the_process(
    child: Any, tmp_path: Path
) -> None:
    (tmp_path / "page.md").write_text("# A page")

    spec = {"stream_mode": "ndjson_lines", "cwd": str(tmp_path)}
    outcome = child(giving("page.md"), **spec)

    assert outcome.value["sha256"] == name_of(b"# A page")
    spec.pop("cwd")
    assert "the process has no folder of its own" in child(giving("a"), **spec).text


@pytest.mark.parametrize("kind", ["final", "artifact"])
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/proc/self/environ", "is outside of "),
        ("/etc/passwd", "is outside of "),
        ("{tmp}/../../../../../../etc/passwd", "is outside of "),
        ("{tmp}/link", "is outside of "),
        ("{tmp}/absent", "can't be read: No such file or directory"),
        ("{tmp}", "not a regular file"),
        ("{tmp}/pipe", "not a regular file"),
        ("{tmp}/large", "is larger than what is left of limits.output_bytes: 5000 bytes"),
        ("{tmp}/a\0b", "has a null character in its name"),
    ],
)  # fmt: skip
def test_a_file_that_can_not_be_a_content_fails_the_step(
    child: Any, tmp_path: Path, path: str, why: str, kind: str
) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "large").write_bytes(b"x" * 5001)
    os.mkfifo(tmp_path / "pipe")

    given = giving(path.format(tmp=tmp_path), kind)
    more = printing(lines(FINAL)) if kind == "artifact" else ""
    limits = {"output_bytes": 5000}
    outcome = child(f"{given}\n{more}", stream_mode="ndjson_lines", limits=limits)

    assert outcome.kind == "failed"
    assert "frame 1: the file " in outcome.text or "line 1: the file " in outcome.text
    assert why in outcome.text


def test_all_files_of_an_attempt_share_its_limit(child: Any, tmp_path: Path) -> None:
    (tmp_path / "page").write_bytes(b"x" * 3000)
    twice = f"{giving(tmp_path / 'page')}\n{giving(tmp_path / 'page')}"

    limits = {"output_bytes": 5000}
    outcome = child(twice, stream_mode="ndjson_lines", limits=limits)

    assert "left of limits.output_bytes: 2000 bytes" in outcome.text


def test_a_file_is_not_taken_while_the_outputs_are_away(
    child: Any, tmp_path: Path, settings: Any
) -> None:
    settings.SWARM_OUTPUTS = str(tmp_path / "page")
    (tmp_path / "page").write_text("no folder")

    outcome = child(giving(tmp_path / "page"), stream_mode="ndjson_lines")

    assert "can't be kept: the outputs in" in outcome.text


@every_mode
def test_events_are_live(child: Any, mode: str, tmp_path: Path) -> None:
    # The child ends only once its first event has come.
    data, end = FORMS[mode](UP), FORMS[mode](FINAL)
    code = (
        f"import os, sys, time; os.write(1, {data!r})\n"
        "while not os.path.exists(sys.argv[1]): time.sleep(0.01)\n"
        f"os.write(1, {end!r})"
    )
    seen = tmp_path / "seen"
    call = {"emit": lambda event: seen.touch()}
    outcome = child(code, None, str(seen), stream_mode=mode, call=call)
    assert outcome.value == "end"


@every_mode
def test_a_final_that_is_not_ok_blocks(child: Any, mode: str) -> None:
    outcome = child(printing(FORMS[mode](FINAL, NO)), stream_mode=mode)
    assert (outcome.kind, outcome.value) == ("blocked", "no")


@every_mode
def test_a_bad_exit_outranks_an_ok_final(child: Any, mode: str) -> None:
    then = "sys.stderr.write('disk full'); sys.exit(9)"
    outcome = child(printing(FORMS[mode](FINAL), then), stream_mode=mode)
    assert (outcome.kind, outcome.text) == ("failed", "exited with 9: disk full")


def test_a_bad_exit_after_a_no_is_still_the_no(child: Any) -> None:
    code = printing(lines(NO), "sys.exit(1)")
    outcome = child(code, stream_mode="ndjson_lines")
    assert (outcome.kind, outcome.value) == ("blocked", "no")


def test_a_signal_outranks_a_no(child: Any) -> None:
    code = printing(lines(NO), "os.kill(os.getpid(), 9)")
    outcome = child(code, stream_mode="ndjson_lines")
    assert (outcome.kind, outcome.text) == ("failed", "killed by signal 9")


@every_mode
def test_a_stream_without_a_final_fails(child: Any, mode: str) -> None:
    code = printing(FORMS[mode](UP), "sys.stderr.write('gave up')")
    outcome = child(code, stream_mode=mode)
    assert outcome.kind == "failed"
    assert outcome.text == (
        "ended without a final event; events read: 1\nstandard error ended with:\n"
        "gave up"
    )


BROKEN = [
    (b"Welcome!", "not JSON: line 1 column 1: Expecting value"),
    (b'{"type":"progress","stage":"a"', "not JSON: line 1 column 31"),
    (b'{"type":"done"}', "type is 'done'; it must be progress, partial, artifact"),
    (b"[1]", "expected an object with 'type'"),
    (b'{"type":"progress"}', "missing field 'stage'"),
    (b'{"type":"progress","stage":1}', "'stage' must be a string"),
    (b'{"type":"progress","stage":"a","nte":1}', "unknown field 'nte'; known: stage"),
    (b'{"type":"final","content":{"value":1}}', '\'content\' must be {"kind":"inline"'),
    (b'{"type":"final","content":3}', "'content' must be an object"),
    (
        b'{"type":"final","content":{"kind":"inline","value":1},"ok":"yes"}',
        "'ok' must be true or false",
    ),
    (b'{"type":"log","text":"\xff"}', "not JSON: "),
    (b'{"type":"log","type":"log","text":""}', "not JSON: at $"),
    (b"[" * 5000, "not JSON: "),
]


@pytest.mark.parametrize(("frame", "why"), BROKEN)
@every_mode
def test_a_frame_that_is_no_event_is_skipped_and_named(
    child: Any, mode: str, frame: bytes, why: str
) -> None:
    good, end = FORMS[mode](UP), FORMS[mode](FINAL)
    bad = {
        "ndjson_lines": frame + b"\n",
        "sse_events": b"data:" + frame + b"\n\n",
        "length_prefixed": struct.pack("!I", len(frame)) + frame,
    }[mode]
    outcome = child(printing(good + bad + end), stream_mode=mode)
    assert (outcome.kind, outcome.value) == ("passed", "end")
    word = {"ndjson_lines": "line", "sse_events": "event"}.get(mode, "frame")
    assert child.events[0] == Progress("up")
    assert isinstance(child.events[1], Log)
    assert child.events[1].text.startswith(
        f"{word} 2 is no output event and was skipped: {why}"
    )
    assert child.events[2:] == [Final("end")]


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 129])
@pytest.mark.parametrize("last", [FINAL, NO])
@every_mode
def test_a_part_whose_name_can_not_be_fails_the_step_for_good(
    child: Any, mode: str, last: Any, name: str
) -> None:
    part = {"type": "artifact", "name": name, "content": FINAL["content"]}
    outcome = child(printing(FORMS[mode](UP, part, last)), stream_mode=mode)
    assert (outcome.kind, outcome.permanent) == ("failed", True)
    assert re.match(r"(line|event|frame) 2: the name of a part ", outcome.text)
    assert [type(event) for event in child.events] == [Progress, Log]


def test_what_was_skipped_is_reported_where_no_final_came(child: Any) -> None:
    outcome = child("print('hello')", stream_mode="ndjson_lines")
    assert outcome.text == (
        "ended without a final event; events read: 0, skipped: 1 (line 1 is no output"
        " event and was skipped: not JSON: line 1 column 1: Expecting value)"
    )


def test_many_broken_lines_are_reported_only_at_first(child: Any) -> None:
    code = printing(b"nonsense\n" * 1000 + lines(FINAL))
    assert child(code, stream_mode="ndjson_lines").value == "end"
    assert sum(isinstance(event, Log) for event in child.events) == 20


def test_of_many_finals_the_last_ones_are_reported(child: Any) -> None:
    finals = [{**FINAL, "content": {"kind": "inline", "value": n}} for n in range(50)]
    assert child(printing(lines(*finals)), stream_mode="ndjson_lines").value == 49
    assert child.events == [Final(n) for n in range(30, 50)]


def test_a_final_names_its_author_and_the_exit_code_decides_whether_it_counts(
    child: Any,
) -> None:
    data = lines({**NO, "by": "critic"}, {**FINAL, "by": "author", "ok": None})
    assert child(printing(data), stream_mode="ndjson_lines").value == "end"
    assert child.events == [Final("no", False, "critic"), Final("end", True, "author")]
    child.events.clear()
    code = printing(data, "sys.exit(3)")
    assert child(code, stream_mode="ndjson_lines").text == "exited with 3"
    assert child.events == []


@every_mode
def test_standard_error_of_a_stream_that_passed_is_in_the_log(
    child: Any, mode: str
) -> None:
    code = printing(FORMS[mode](NO), "sys.stderr.write('one\\n\\ntwo\\n')")
    assert child(code, stream_mode=mode).kind == "blocked"
    assert child.events == [Log("one"), Log("two"), Final("no", False)]


@pytest.mark.parametrize(
    ("then", "text", "kind"),
    [
        ("os.kill(os.getpid(), 9)", "killed by signal 9; {lost}", "Signal"),
        (
            "\nwhile True: pass",
            "killed by signal 24: used more than 1 s of CPU time (limits.cpu_s of the"
            " agent, else SWARM_CHILD_CPU); {lost}",
            "Signal",
        ),
        ("sys.exit(3)", "exited with 3; {lost}", "ExitCode"),
    ],
)
def test_how_the_child_ended_comes_before_the_frame_it_cut_off(
    child: Any, then: str, text: str, kind: str
) -> None:
    outcome = child(
        printing(b"\0\0\0\x09abc", then),
        stream_mode="length_prefixed",
        limits={"cpu_s": 1},
    )
    lost = (
        "the stream on standard output can't be read: frame 1 at byte 0 was cut off:"
        " the output ended after 7 bytes of it"
    )
    assert (outcome.kind, outcome.error_type) == ("failed", kind)
    assert outcome.text == text.format(lost=lost)


@pytest.mark.parametrize("data", [b"", b"\0\0\0\x09abc"])
def test_a_cancelled_stream_is_cancelled_whatever_was_cut_off(
    child: Any, data: bytes
) -> None:
    code = printing(data, "import time; time.sleep(60)")
    call = {"cancelled": lambda: True}
    outcome = child(code, stream_mode="length_prefixed", call=call)
    assert (outcome.kind, outcome.text) == ("failed", "cancelled")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\0\0\0\0", "frame 2 at byte {at} has a length of 0 bytes"),
        (b"\x7fELF....", "frame 2 at byte {at} has a length of 2135247942 bytes"),
        (b"\x01\0\0\1x", "has a length of 16777217 bytes, which must be 1 to 16777216"),
        (
            b"\0\0\0\x09abc",
            "frame 2 at byte {at} was cut off: the output ended after 7",
        ),
        (b"\0\0", "frame 2 at byte {at} was cut off: the output ended after 2 bytes"),
    ],
)
def test_a_lost_framing_fails_the_step_whatever_came_before(
    child: Any, data: bytes, text: str
) -> None:
    start = prefixed(FINAL)
    outcome = child(printing(start + data), stream_mode="length_prefixed")
    assert outcome.kind == "failed"
    assert "the stream on standard output can't be read: " in outcome.text
    assert text.format(at=len(start)) in outcome.text


def test_a_lost_framing_ends_the_child(child: Any) -> None:
    code = printing(b"\0\0\0\0", "import time; time.sleep(60)")
    outcome = child(code, stream_mode="length_prefixed", call={"timeout_s": 30.0})
    assert outcome.kind == "failed"
    assert "has a length of 0 bytes" in outcome.text


def test_lines_may_end_as_they_like(child: Any) -> None:
    data = b"\n\r\n" + lines(UP).replace(b"\n", b"\r\n") + lines(FINAL)[:-1]
    assert child(printing(data), stream_mode="ndjson_lines").value == "end"
    assert child.events == [Progress("up"), Final("end")]


def test_sse_joins_data_lines_and_passes_over_the_rest(child: Any) -> None:
    text = json.dumps(FINAL, indent=1)
    data = ": hello\n\nevent: message\nid: 7\nretry: 5\n\n"
    data += "\r\n".join("data: " + line for line in text.splitlines())
    assert child(printing(data.encode()), stream_mode="sse_events").value == "end"
    assert child.events == [Final("end")]


@every_mode
def test_frames_may_come_in_pieces(child: Any, mode: str) -> None:
    data = FORMS[mode](UP, {**UP, "note": "é"}, FINAL)
    code = (
        "import os, time\n"
        f"data = {data!r}\n"
        "for at in range(len(data)): os.write(1, data[at:at + 1])"
    )
    assert child(code, stream_mode=mode).value == "end"
    assert child.events == [Progress("up"), Progress("up", "é"), Final("end")]


@every_mode
def test_a_flood_on_stderr_does_not_stop_a_stream(child: Any, mode: str) -> None:
    code = (
        "import os\n"
        "for _ in range(100): os.write(2, b'e' * 65536)\n"
        f"os.write(1, {FORMS[mode](FINAL)!r})"
    )
    assert child(code, stream_mode=mode).value == "end"


def test_a_stream_is_bounded_as_a_whole(child: Any) -> None:
    data = lines(UP)
    code = f"import os\nwhile True: os.write(1, {data!r} * 100)"
    outcome = child(code, stream_mode="ndjson_lines", limits={"output_bytes": 100_000})
    assert outcome.permanent
    assert outcome.text.startswith("printed more than 100000 bytes (limits.output_byte")
    assert 0 < len(child.events) <= 100_000 // len(data) + 1


def test_a_timeout_after_a_final_is_a_timeout(child: Any) -> None:
    code = printing(lines(FINAL), "import time; time.sleep(60)")
    outcome = child(code, stream_mode="ndjson_lines", call={"timeout_s": 1.0})
    assert (outcome.kind, outcome.text) == ("timed_out", "timed out after 1 s")


def test_a_large_stdin_and_a_flood_of_events_pass_each_other(child: Any) -> None:
    code = (
        "import os, sys\n"
        f"up = {lines(UP)!r} * 1000\n"
        "for _ in range(50): os.write(1, up)\n"
        "size = len(sys.stdin.read())\n"
        f"os.write(1, {lines(FINAL)!r})"
    )
    outcome = child(code, "x" * (4 << 20), stdin="{prompt}", stream_mode="ndjson_lines")
    assert outcome.value == "end"
    assert len(child.events) == 50_000 + 1
