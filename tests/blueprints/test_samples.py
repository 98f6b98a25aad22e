"""Every sample compiles, and the sequential evaluator takes it to its end."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blueprints.conf import spawner_class, spawner_kinds
from blueprints.loaders.documents import load_document
from engine.blueprint import (
    Program,
    compile_blueprint,
    lint_blueprint,
    merge_init_ctx,
)
from engine.flow import FlowError, evaluate
from engine.ports import StepCall
from engine.run.outcomes import retry_delay
from engine.run.outputs import Artifact, Log, OutputEvent, Progress
from engine.testing import Simulator

REPO = Path(__file__).resolve().parents[2]
SAMPLES = REPO / "blueprints" / "samples"
NAMES = sorted(path.stem for path in SAMPLES.glob("*.json"))


def compiled(name: str) -> Program:
    """Return a sample's program."""
    document = load_document(SAMPLES / f"{name}.json")
    return compile_blueprint(document, kinds=spawner_kinds())


class Dispatcher:
    """Answers steps with the real spawners, retrying as a run would, without waiting."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.spawners: dict[str, Any] = {}
        self.attempts: list[tuple[str, int]] = []
        self.events: list[OutputEvent] = []

    def close(self) -> None:
        """End what the spawners keep running."""
        for spawner in self.spawners.values():
            if hasattr(spawner, "close"):
                spawner.close()

    def __call__(self, ref: str, value: Any) -> Any:
        agent = self.program.agents[ref]
        if agent.kind not in self.spawners:
            self.spawners[agent.kind] = spawner_class(agent.kind)()
        attempt = 0
        while True:
            attempt += 1
            self.attempts.append((ref, attempt))
            call = StepCall(
                "R-t", 1, "/x", "ST-t", agent, attempt, value, 30.0,
                emit=self.events.append,
            )  # fmt: skip
            outcome = self.spawners[agent.kind].run(call)
            if outcome.kind == "passed":
                return outcome.value
            if retry_delay(agent.retry, outcome, attempt, "seed") is None:
                raise RuntimeError(outcome.flow_text)


def end_of(
    name: str, ctx: Any = None, program: Program | None = None
) -> tuple[Any, Dispatcher]:
    """Return the final Ctx of a sample and the dispatcher that served it."""
    program = program or compiled(name)
    dispatch = Dispatcher(program)
    first = merge_init_ctx(program.default_init_ctx, ctx)
    try:
        return evaluate(program.flow, first, dispatch), dispatch
    finally:
        dispatch.close()


def test_the_samples_are_these() -> None:
    assert sorted(path.stem for path in SAMPLES.glob("*.json")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_says_what_it_shows(name: str) -> None:
    document = json.loads((SAMPLES / f"{name}.json").read_text())
    assert document["id"] == name
    assert document["metadata"]["description"]
    assert "default_init_ctx" in document


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_lints_clean(name: str) -> None:
    report = lint_blueprint(load_document(SAMPLES / f"{name}.json"))
    assert report.verdict == "OK", [str(found) for found in report.diagnostics]


def test_repo_digest_writes_a_report_on_a_real_directory(
    tmp_path: Path, settings: Any
) -> None:
    settings.VAR_DIR = tmp_path / "var"
    root = tmp_path / "tree"
    root.mkdir()
    (root / "large.txt").write_text("line\n" * 899 + "TODO\n")
    for n in range(6):
        (root / f"small{n}.txt").write_text("a b\n" * (n + 1))
    (root / "binary").write_bytes(b"\0\1\2")
    (root / "latin").write_bytes("Grüße".encode("latin-1"))
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("hidden\n")
    os.mkfifo(root / "pipe")
    (root / "link.txt").symlink_to("large.txt")
    (root / os.fsdecode(b"\xff.txt")).write_text("no name in JSON\n")
    end, _ = end_of("repo-digest", {"root": str(root)})
    assert set(end) == {"root", "files", "measured", "digest", "picked", "report"}
    assert end["files"] is end["measured"] is end["digest"] is None
    assert end["report"]["files"] == 7
    assert end["picked"] == 1
    text = Path(end["report"]["path"]).read_text()
    assert "7 text files, 921 lines" in text
    assert "1 to do;" in text
    assert "| large.txt | 900 |" in text


def simulated(name: str, ctx: Any) -> Any:
    """Return the final Ctx of a sample on the machine, with the real spawners."""
    program = compiled(name)
    made = {kind: spawner_class(kind)() for kind in ("python_fn", "subprocess")}
    simulator = Simulator.over_memory(made)
    try:
        simulator.launch(program, merge_init_ctx(program.default_init_ctx, ctx))
        assert simulator.run().status == "done"
    finally:
        made["subprocess"].close()
    return simulator.final()


@pytest.mark.parametrize("how", ["evaluated", "simulated"])
@pytest.mark.parametrize(("files", "outliers"), [(0, 0), (1, 0), (40, 5)])
def test_repo_digest_gives_the_same_report_in_both_dialects(
    tmp_path: Path, settings: Any, how: str, files: int, outliers: int
) -> None:
    settings.VAR_DIR = tmp_path / "var"
    root = tmp_path / "tree"
    root.mkdir()
    for n in range(files):
        lines = 900 + n if n % 6 == 0 else n
        (root / f"file{n:02}.txt").write_text("some words TODO\n" * lines)
    ends, texts = [], []
    for name in ("repo-digest", "repo-digest-swarm"):
        given = {"root": str(root)}
        end = end_of(name, given)[0] if how == "evaluated" else simulated(name, given)
        ends.append({key: end[key] for key in ("report", "picked", "files", "digest")})
        texts.append(Path(end["report"]["path"]).read_text())
        Path(end["report"]["path"]).unlink()
    assert ends[0] == ends[1]
    assert texts[0] == texts[1]
    assert texts[0].count("| file") == outliers


def test_repo_digest_is_shorter_in_the_dialect(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ("repo-digest", "repo-digest-swarm")
    texts = [(SAMPLES / f"{name}.json").read_text() for name in names]
    # Both are laid out alike, so that lines can be compared.
    assert [json.dumps(json.loads(t), indent=2, ensure_ascii=False) for t in texts] == [
        text.rstrip("\n") for text in texts
    ]
    plain, swarm = (text.count("\n") for text in texts)
    with capsys.disabled():
        print(f"\nrepo-digest: {plain} lines in flow.ir, {swarm} in swarm")
    assert swarm < plain


def test_repo_digest_runs_without_arguments_in_any_directory(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.VAR_DIR = tmp_path / "var"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").write_text("raise SystemExit('not this one')\n")
    assert end_of("repo-digest")[0]["report"]["files"] == 1


def test_repo_digest_of_no_directory_says_so(tmp_path: Path) -> None:
    with pytest.raises(FlowError, match=r"exited with 1: .*/none is not a directory"):
        end_of("repo-digest", {"root": str(tmp_path / "none")})


def test_repo_digest_of_a_directory_without_outliers_says_so(
    tmp_path: Path, settings: Any
) -> None:
    settings.VAR_DIR = tmp_path / "var"
    root = tmp_path / "tree"
    root.mkdir()
    (root / "only.txt").write_text("one\n")
    end, _ = end_of("repo-digest", {"root": str(root)})
    assert end["picked"] == 0
    assert end["report"]["lines"] == 1


def test_lua_words_ranks_the_words_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("über über über a b\n\nvalue ok value\n\n \n\nokay value über\n")
    end, dispatch = end_of("lua-words", {"file": str(file), "top": 2})
    assert end["result"] == {
        "words": 11,
        "different": 3,
        "top": [{"word": "über", "count": 4}, {"word": "value", "count": 3}],
    }
    assert end["paragraphs"] is end["counted"] is None
    assert [ref for ref, _ in dispatch.attempts] == [
        "paragraphs", "count", "count", "count", "rank",
    ]  # fmt: skip


def test_lua_words_runs_without_arguments_and_on_an_empty_file(tmp_path: Path) -> None:
    assert len(end_of("lua-words")[0]["result"]["top"]) == 10
    (tmp_path / "empty").write_text("")
    end, _ = end_of("lua-words", {"file": str(tmp_path / "empty")})
    assert end["result"] == {"words": 0, "different": 0, "top": []}


def test_pure_ctx_rolls_back_and_divides() -> None:
    end, dispatch = end_of("pure-ctx")
    assert dispatch.attempts == []
    assert end["verdict"] == "rolled back"
    assert end["shares"][3]["status"] == "rejected"
    assert [lane["value"]["share"] for lane in end["shares"][:3]] == [
        end["total"] / n for n in (1, 2, 3)
    ]


def test_verdict_loop_blocks_twice_and_commits() -> None:
    end, _ = end_of("verdict-loop")
    assert end["round"] == 3
    assert end["result"]["committed"] is True
    assert end["result"]["rounds"] == 3
    assert "blocked: " in end["reason"]


def test_verdict_loop_escalates_when_every_draft_is_blocked() -> None:
    program = compiled("verdict-loop")
    text = json.dumps(program.flow_json)
    assert text.count('"max": 3') == 1
    short = replace(program, flow_json=json.loads(text.replace('"max": 3', '"max": 2')))
    end, _ = end_of("verdict-loop", program=short)
    assert end["result"]["committed"] is False
    assert "blocked: " in end["result"]["ask"]


def test_unreliable_is_retried_and_caught() -> None:
    end, dispatch = end_of("unreliable")
    assert end["delivered"] == {"value": "o-17", "attempts": 3}
    assert end["caught"] is True
    assert end["error"] == "dispatcher error for ref 'broken': this will never work"
    assert dispatch.attempts == [
        ("flaky", 1), ("flaky", 2), ("flaky", 3), ("broken", 1),
    ]  # fmt: skip


def test_stream_build_compiles_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner").mkdir()
    for n in range(30):
        (tmp_path / "inner" / f"m{n}.py").write_text(f"x = {n}\n")
    (tmp_path / "json.py").write_text("raise SystemExit('not this one')\n")
    (tmp_path / "notes.txt").write_text("not Python\n")
    end, dispatch = end_of("stream-build")
    assert end["verdict"] == "built"
    assert (end["build"]["files"], end["build"]["compiled"]) == (31, 31)
    assert end["build"]["bytes"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "inner", "json.py", "notes.txt",
    ]  # fmt: skip
    said = [event for event in dispatch.events if isinstance(event, Progress)]
    assert [event.stage for event in said] == ["scan", "compile", "compile"]
    assert [event.note.split()[0] for event in said[1:]] == ["25/31", "31/31"]
    assert dispatch.events[-1] == Artifact("broken", [])


def test_stream_build_says_no_to_what_does_not_compile(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("x = 1\n")
    (tmp_path / "bad.py").write_text("def\n")
    end, dispatch = end_of("stream-build", {"root": str(tmp_path)})
    assert end["verdict"] == "broken"
    assert '"broken":["bad.py"]' in end["why"]
    assert Artifact("broken", ["bad.py"]) in dispatch.events
    [log] = [event for event in dispatch.events if isinstance(event, Log)]
    assert log.text.startswith("bad.py: SyntaxError")


def test_stream_build_of_no_directory_says_so(tmp_path: Path) -> None:
    end, _ = end_of("stream-build", {"root": str(tmp_path / "none")})
    assert "exited with 1" in end["why"]
    assert "none is not a directory" in end["why"]
