"""Every sample compiles, and the sequential evaluator takes it to its end."""

import json
import os
import tomllib
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from blueprints.conf import lua_host, spawner_class, spawner_kinds
from blueprints.loaders.blueprint import embedded_text, load_blueprint
from engine.blueprint import (
    BlueprintInvalid,
    LintOptions,
    Program,
    compile_blueprint,
    lint_blueprint,
    merge_init_ctx,
)
from engine.flow import FlowError, evaluate
from engine.ports import StepCall
from engine.run.attempt.retry import retry_delay
from engine.run.journal.outputs import Artifact, Log, OutputEvent, Progress, fold_parts
from workers.pytest_plugin import MakeSimulator

REPO = Path(__file__).resolve().parents[2]
SAMPLES = REPO / "blueprints" / "samples"
FORMS = ("*.json", "*.yaml", "*.bp.lua", "*/blueprint.*")
FILES = {
    path.parent.name if path.stem == "blueprint" else path.name.split(".")[0]: path
    for form in FORMS
    for path in sorted(SAMPLES.glob(form))
}
NAMES = sorted(FILES)
# What comes with no spawner yet: these samples are compiled and linted only.
WAITING = {
    "operator": {
        "audit-by-operator", "bundled-agents", "release-desk", "release-desk-dsl",
    },
    "agent_block": {"audit-by-model", "essay-desk"},
}  # fmt: skip


@cache
def document_of(name: str) -> Any:
    """Return a sample's document with what it refers to in its place."""
    try:
        loaded = load_blueprint(FILES[name])
    finally:
        lua_host().close()
    assert loaded.warnings == ()
    return loaded.document


def compiled(name: str) -> Program:
    """Return a sample's program."""
    return compile_blueprint(document_of(name), kinds=spawner_kinds())


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
                "R-t", 1, "/x", agent, attempt, value, 30.0, emit=self.events.append
            )
            before = len(self.events)
            outcome = self.spawners[agent.kind].run(call)
            if outcome.kind == "passed":
                emitted = self.events[before:]
                parts = {e.name: e.content for e in emitted if isinstance(e, Artifact)}
                return fold_parts(outcome.value, parts)
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


def test_the_samples_of_the_reference_have_their_counterparts() -> None:
    # Reference-language 8, 01 to 11; the first two ran here before operators could.
    counterparts = {
        "pure-ctx", "release-desk", "approver-override", "audit-by-operator",
        "audit-by-model", "release-desk-dsl", "gated-pipeline", "bundled-agents",
        "skip-on", "fanout-topics", "two-programs",
    }  # fmt: skip
    assert counterparts <= set(NAMES)
    assert len(NAMES) == sum(len(list(SAMPLES.glob(form))) for form in FORMS)
    assert {path.suffix for path in FILES.values()} == {".json", ".yaml", ".lua"}


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_describes_what_it_shows(name: str) -> None:
    document = document_of(name)
    assert document["id"] == name
    assert document["metadata"]["description"]
    assert "sample" in document["metadata"]["tags"]
    assert "default_init_ctx" in document


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_lints_clean(name: str) -> None:
    # What has no effect yet is what the sample is there to show one day.
    allowed = LintOptions(lints={"not-in-effect-yet": "allow"})
    report = lint_blueprint(document_of(name), options=allowed)
    assert report.verdict == "OK", [str(found) for found in report.diagnostics]


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_complete_without_its_files(name: str, tmp_path: Path) -> None:
    alone = tmp_path / "alone.json"
    alone.write_text(embedded_text(document_of(name)))
    assert compile_blueprint(load_blueprint(alone).document) == compile_blueprint(
        document_of(name)
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_compiles_here_unless_a_kind_is_missing(name: str) -> None:
    missing = {kind for kind, names in WAITING.items() if name in names}
    if not missing:
        assert compiled(name).flow
        return
    with pytest.raises(BlueprintInvalid) as caught:
        compiled(name)
    found = {one.kind for one in caught.value.diagnostics}
    assert found == {"kind-without-spawner"}
    assert missing & {agent["kind"] for agent in document_of(name)["agents"]}


def test_every_sample_is_in_an_installed_package() -> None:
    listed = tomllib.loads((REPO / "pyproject.toml").read_text())
    package_data = listed["tool"]["setuptools"]["package-data"]["blueprints"]
    package = REPO / "blueprints"
    taken = {path for pattern in package_data for path in package.glob(pattern)}
    files = [path for path in SAMPLES.rglob("*") if path.is_file()]
    kept = [path for path in files if path.suffix not in (".py", ".pyc")]
    assert [path for path in kept if path not in taken] == []


def test_the_desk_in_the_dsl_is_the_desk_in_json() -> None:
    plain, script = document_of("release-desk"), document_of("release-desk-dsl")
    assert compile_blueprint(plain).flow_json == compile_blueprint(script).flow_json
    # Expressions are text in JSON and trees in a script.
    ours = {"id", "metadata", "flow"}
    assert {key: plain[key] for key in plain if key not in ours} == {
        key: script[key] for key in script if key not in ours
    }


@pytest.mark.parametrize(
    ("verdicts", "last", "rounds"),
    [(["PASS"], "publisher", 1), (["BLOCKED"] * 2 + ["PASS"], "publisher", 3),
     (["BLOCKED"] * 3, "escalator", 3)],
)  # fmt: skip
def test_the_desk_publishes_what_passes_and_asks_a_person_after_three_rounds(
    verdicts: list[str], last: str, rounds: int
) -> None:
    program = compile_blueprint(document_of("release-desk"))
    refs: list[str] = []
    answers = iter(verdicts)

    def operators(ref: str, value: Any) -> Any:
        refs.append(ref)
        return next(answers) if ref == "gate" else f"{ref} did it"

    end = evaluate(program.flow, program.default_init_ctx, operators)
    assert end["result"] == f"{last} did it"
    assert refs == ["scout", "planner", *["resolver", "gate"] * rounds, last]


@pytest.mark.parametrize(
    ("verdict", "key"), [("ACCEPT", "done"), ("REJECT", "halted_at")]
)
@pytest.mark.parametrize("name", ["essay-desk", "bundled-agents"])
def test_a_reviewer_of_the_samples_can_halt_the_flow(
    name: str, verdict: str, key: str
) -> None:
    program = compile_blueprint(document_of(name))

    def operators(ref: str, value: Any) -> Any:
        parts = {"verdict": verdict} if ref == "reviewer" else {}
        return fold_parts(f"{ref} did it", parts)

    end = evaluate(program.flow, program.default_init_ctx, operators)
    assert ("done" in end, "halted_at" in end) == (key == "done", key != "done")


def test_the_essay_desk_takes_its_texts_from_its_folder_and_from_the_samples() -> None:
    document = document_of("essay-desk")
    own, bundled = document["agents"]
    assert document["default_init_ctx"]["rules"].startswith("Short sentences.")
    assert own["profile"]["system_prompt"].startswith("Write an essay")
    assert bundled["profile"]["system_prompt"].startswith("You are given a text.")
    assert not (SAMPLES / "essay-desk" / "agents" / "reviewer.md").exists()


@pytest.mark.parametrize(
    ("change", "verdict", "end_key"),
    [({}, "ALLOW", "result"), ({"approver": "nobody"}, "DENY", "halted_at"),
     ({"lines": 20}, "PASS", "result")],
)  # fmt: skip
def test_an_approver_may_override_the_checker(
    change: Any, verdict: str, end_key: str
) -> None:
    given = document_of("approver-override")["default_init_ctx"]["change"] | change
    end, dispatch = end_of("approver-override", {"change": given})
    assert end["verdict"] == verdict
    assert ("result" in end, "halted_at" in end) == (
        end_key == "result", end_key != "result",
    )  # fmt: skip
    refs = [ref for ref, _ in dispatch.attempts]
    assert ("approver" in refs) == (verdict != "PASS")


def test_the_pipeline_mends_its_draft_until_the_critic_accepts() -> None:
    end, dispatch = end_of("gated-pipeline")
    assert end["page"].startswith("# verdicts\n\nAbout verdicts.\nMore about")
    assert end["judge"]["parts"] == {"verdict": "ACCEPT"}
    assert end["done"] is True
    assert "halted_at" not in end
    refs = [ref for ref, _ in dispatch.attempts]
    assert refs == ["drafter", "critic", *["mender", "critic"] * 2, "publisher"]


def test_the_pipeline_halts_when_mending_does_not_help() -> None:
    document = json.loads(json.dumps(document_of("gated-pipeline")))
    for agent in document["agents"]:
        if agent["name"] == "mender":
            agent["spec"]["source"] = "return _CTX"
    program = compile_blueprint(document, kinds=spawner_kinds())
    end, dispatch = end_of("gated-pipeline", program=program)
    assert end["halted_at"] == "judge"
    assert ("done" in end, "page" in end) == (False, False)
    assert [ref for ref, _ in dispatch.attempts].count("mender") == 3


@pytest.mark.parametrize(
    ("note", "translation", "refs"),
    [("Good morning", None, ["triage", "filer"]),
     ("Guten Tag", "Good day", ["triage", "translator", "filer"])],
)  # fmt: skip
def test_a_stage_is_skipped_on_the_verdict_before_it(
    note: str, translation: str | None, refs: list[str]
) -> None:
    end, dispatch = end_of("skip-on", {"d": {"note": note}})
    assert end["filed"] == {"note": note, "translated": translation}
    assert [ref for ref, _ in dispatch.attempts] == refs


def test_every_topic_has_its_agent_and_one_reads_them_all() -> None:
    end, dispatch = end_of("fanout-topics")
    assert end["summary"] == {"topics": 3, "letters": 18, "longest": "bridges"}
    assert [ref for ref, _ in dispatch.attempts] == ["researcher"] * 3 + ["editor"]
    end, _ = end_of("fanout-topics", {"d": {"topics": []}})
    assert end["summary"] == {"topics": 0, "letters": 0, "longest": None}


def test_two_programs_pass_a_part_of_a_document_on() -> None:
    end, _ = end_of("two-programs")
    assert end["words"] == {"words": 9, "common": "the"}
    assert end["sentence"] == "9 words, the most common is the"
    with pytest.raises(FlowError, match="blocked"):
        end_of("two-programs", {"text": ""})


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


def simulated(swarm_simulator: MakeSimulator, name: str, ctx: Any) -> Any:
    """Return the final Ctx of a sample on the machine, with the real spawners."""
    program = compiled(name)
    made = {kind: spawner_class(kind)() for kind in ("python_fn", "subprocess")}
    simulator = swarm_simulator(made)
    try:
        simulator.launch(program, merge_init_ctx(program.default_init_ctx, ctx))
        assert simulator.run().status == "done"
    finally:
        made["subprocess"].close()
    return simulator.final()


@pytest.mark.parametrize("how", ["evaluated", "simulated"])
@pytest.mark.parametrize("tree", [(0, 0), (1, 0), (40, 5)])
def test_repo_digest_gives_the_same_report_in_both_dialects(
    swarm_simulator: MakeSimulator, tmp_path: Path, settings: Any, how: str, tree: Any
) -> None:
    files, outliers = tree
    simulate = partial(simulated, swarm_simulator)
    settings.VAR_DIR = tmp_path / "var"
    root = tmp_path / "tree"
    root.mkdir()
    for n in range(files):
        lines = 900 + n if n % 6 == 0 else n
        (root / f"file{n:02}.txt").write_text("some words TODO\n" * lines)
    ends, texts = [], []
    for name in ("repo-digest-flow-ir", "repo-digest"):
        given = {"root": str(root)}
        end = end_of(name, given)[0] if how == "evaluated" else simulate(name, given)
        ends.append(end)
        texts.append(Path(end["report"]["path"]).read_text())
        Path(end["report"]["path"]).unlink()
    assert (ends[0], texts[0]) == (ends[1], texts[1])
    assert texts[0].count("| file") == outliers


def test_repo_digest_is_shorter_in_the_dialect(
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts = [FILES[one].read_text() for one in ("repo-digest-flow-ir", "repo-digest")]
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


def test_repo_digest_of_no_directory_fails_with_that_reason(tmp_path: Path) -> None:
    with pytest.raises(FlowError, match=r"exited with 1: .*/none is not a directory"):
        end_of("repo-digest", {"root": str(tmp_path / "none")})


def test_repo_digest_of_a_directory_without_outliers_fails_with_that_reason(
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
    assert [lane["value"] for lane in end["shares"][:3]] == [
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
    built = end["build"]["out"]
    assert (built["files"], built["compiled"]) == (31, 31)
    assert built["bytes"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "inner", "json.py", "notes.txt",
    ]  # fmt: skip
    progress = [event for event in dispatch.events if isinstance(event, Progress)]
    assert [event.stage for event in progress] == ["scan", "compile", "compile"]
    assert [event.note.split()[0] for event in progress[1:]] == ["25/31", "31/31"]
    assert dispatch.events[-2] == Artifact("broken", [])


def test_stream_build_refuses_what_does_not_compile(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("x = 1\n")
    (tmp_path / "bad.py").write_text("def\n")
    end, dispatch = end_of("stream-build", {"root": str(tmp_path)})
    assert end["verdict"] == "broken"
    assert '"broken":["bad.py"]' in end["why"]
    assert Artifact("broken", ["bad.py"]) in dispatch.events
    [log] = [event for event in dispatch.events if isinstance(event, Log)]
    assert log.text.startswith("bad.py: SyntaxError")


def test_stream_build_of_no_directory_fails_with_that_reason(tmp_path: Path) -> None:
    end, _ = end_of("stream-build", {"root": str(tmp_path / "none")})
    assert "exited with 1" in end["why"]
    assert "none is not a directory" in end["why"]
