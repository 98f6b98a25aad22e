"""`manage.py blueprint schema|explain|doctor`: the shape, content and needs of a document."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from blueprints.loaders.blueprint import load_blueprint
from blueprints.preflight import compile_here
from engine.blueprint import json_schema
from engine.blueprint.lints import REGISTRY

NOT_YET = ("--allow", "not-in-effect-yet")
SAMPLES = Path(__file__).resolve().parents[3] / "blueprints" / "samples"
OPERATOR = {
    "name": "o",
    "kind": "operator",
    "spec": {"operator_ref": "main"},
    "runner": {"backend": "ws_operator", "variant": "v"},
}


def test_schema_prints_the_schema_of_documents(say: Any, write: Any):
    plain, printed = say("schema"), say("schema", "--json")
    assert plain.code == printed.code == 0
    assert printed.json == json.loads(plain.out) == json_schema()
    jsonschema.validate(json.loads(write().read_text()), printed.json)


def test_explain_shows_agents_flow_and_the_program_a_run_would_have(say: Any):
    path = SAMPLES / "repo-digest.json"
    printed = say("explain", path)
    program = compile_here(load_blueprint(path).document)
    assert printed.code == 0
    assert f"program {program.program_id}\n" in printed.out
    assert (
        "digest-measure, queue swarm.python_fn, timeout 30 s, no retry" in printed.out
    )
    assert "  seq\n    step lister (list): $.root -> $.files\n" in printed.out
    assert "    loop length($.digest.candidates) > 0, at most 5 times" in printed.out
    got = say("explain", path, "--json").json
    assert got["program_id"] == program.program_id
    assert [one["name"] for one in got["agents"]] == list(program.agents)
    [pick] = [one for one in got["agents"] if one["name"] == "pick"]
    assert pick["steps"] == ["$.flow.children[5].body"]


def test_explain_says_which_agent_gives_the_output_of_which_name(say: Any):
    printed = say("explain", SAMPLES / "repo-digest.json")
    _, _, names = printed.out.partition(
        "\nnames of outputs, and the agents that give them\n"
    )
    rows = [row.split() for row in names.partition("\n\n")[0].splitlines()]
    assert ["files", "lister"] in rows
    assert "step name" not in printed.out


def test_explain_takes_every_sample_and_every_word(say: Any):
    for form in ("*.json", "*.yaml", "*.bp.lua", "*/blueprint.*"):
        for path in sorted(SAMPLES.glob(form)):
            assert say("explain", path).code == 0
    printed = say("explain", SAMPLES / "repo-digest.json")
    assert "(select " in printed.out


def test_explain_shows_one_agent_with_all_it_has(say: Any):
    path = SAMPLES / "repo-digest.json"
    printed = say("explain", path, "measure")
    assert printed.out.startswith("name: measure\nkind: python_fn\n")
    [agent] = say("explain", path, "measure", "--json").json["agents"]
    assert agent["spec"]["fn_id"] == "digest-measure"
    printed = say("explain", path, "mesure")
    assert (printed.code, printed.out) == (2, "")
    assert "no agent is named 'mesure'; did you mean 'measure'?" in printed.err


def test_explain_says_what_a_launch_would_fill_in_and_refuse(
    say: Any, write: Any, make_step: Any
):
    argv = ["no-such-program", "{prompt}", "{{text}}", "--in={work_dir}"]
    agents = [
        {
            "name": "t",
            "kind": "subprocess",
            "spec": {"argv": argv, "env": {"WHO": "{model}"}},
            "meta": {"meta_ref": "m", "ctx": {"c": 3}},
        },
        {"name": "p", "kind": "subprocess", "spec": {"program": "sh", "args": ["{x}"]}},
    ]
    path = write(
        agents=agents,
        metas=[{"name": "m", "ctx": {"b": 2, "c": 2}}],
        default_agent_ctx={"a": 1, "b": 1},
        flow=make_step("t"),
    )
    [one] = say("explain", path, "t", "--json").json["agents"]
    assert one["template_variables"] == ["model", "prompt", "work_dir"]
    assert one["ctx"] == {"a": 1, "b": 2, "c": 3}
    tiers = {"a": "bp_global", "b": "meta_ref", "c": "agent_inline"}
    assert one["ctx_tiers"] == tiers
    [refused] = one["refused"]
    assert refused.startswith("no program 'no-such-program' can be started here")
    assert "refused: " in say("explain", path, "t").out
    [plain] = say("explain", path, "p", "--json").json["agents"]
    assert (plain["template_variables"], plain["refused"]) == ([], [])


def test_explain_of_what_can_not_be_compiled_reports_the_errors(
    say: Any, write: Any, tmp_path: Path
):
    path = write(agents=[{"name": "a", "kind": "pyton_fn"}])
    printed = say("explain", path)
    assert (printed.code, printed.out) == (1, "")
    assert "did you mean 'python_fn'?" in printed.err
    assert say("explain", tmp_path / "none.json").code == 2


def test_doctor_finds_nothing_wrong_with_a_good_one(say: Any, write: Any):
    printed = say("doctor", write())
    assert printed.code == 0
    assert printed.out.startswith("b: OK\n")
    assert printed.out.endswith("nothing is missing to run it here\n")
    got = say("doctor", write(), "--json").json
    assert (got["ok"], got["verdict"], got["runs_here"]) == (True, "OK", True)
    assert len(got["program_id"]) == 64


def test_no_agents_at_all_lack_nothing(say: Any, tmp_path: Path):
    path = tmp_path / "b.json"
    path.write_text('{"id": "b", "flow": {"kind": "seq", "children": []}}')
    assert say("doctor", path).code == 0
    printed = say("explain", path)
    assert (printed.code, "no agents\n\nflow\n  nothing\n" in printed.out) == (0, True)


def test_nothing_a_terminal_would_obey_is_shown(say: Any, write: Any):
    agent = {
        "name": "a",
        "kind": "lua",
        "spec": {"source": "return 1 -- \x1b[2J\u202e"},
        "profile": {"system_prompt": "be \x1b]0;kind\x07", "description": "\x9b"},
    }
    path = write(agents=[agent], default_init_ctx={"\x1b[2J": 1})
    for words in (["explain"], ["doctor"], ["lint"]):
        printed = say(*words, path)
        assert printed.code == 0
        assert (printed.out + printed.err).isascii()
        assert "\x1b" not in printed.out + printed.err
    printed = say("explain", path, "a")
    assert printed.code == 0
    assert "be \\x1b]0;kind\\x07" in printed.out
    assert printed.out.replace("\n", "").isprintable()


def lacking(make_step: Any) -> dict[str, Any]:
    """Return a Blueprint that is right, and can't run here."""
    named = {
        "function": ("python_fn", {"fn_id": "identiti"}),
        "script": ("lua", {"fn_id": "words-tpo"}),
        "program": ("subprocess", {"program": "no-such-program"}),
        "template": ("subprocess", {"argv": ["/no/such/program", "{prompt}"]}),
        "later": ("subprocess", {"argv": ["{work_dir}/x"]}),
        "there": ("subprocess", {"program": "sh"}),
        "inline": ("lua", {"source": "return 1"}),
        "broken": ("lua", {"source": "local a = 1\nreturn a +"}),
        # It is compiled and not run.
        "endless": ("lua", {"source": "while true do end", "label": "x"}),
    }
    agents = [{"name": k, "kind": v[0], "spec": v[1]} for k, v in named.items()]
    return {
        "agents": [*agents, OPERATOR],
        "operators": [{"name": "main"}],
        "flow": make_step("inline"),
    }


def test_doctor_reports_what_the_installation_lacks(
    say: Any, write: Any, make_step: Any
):
    path = write(**lacking(make_step))
    printed = say("doctor", path)
    assert printed.code == 1
    got = say("doctor", path, "--json").json
    assert (got["verdict"], got["runs_here"], got["ok"]) == ("WARN", False, False)
    found = {one["span"]["json_path"]: one["kind"] for one in got["missing"]}
    assert found == {
        "$.agents[0].spec.fn_id": "unknown-function",
        "$.agents[1].spec.fn_id": "unknown-script",
        "$.agents[2].spec.program": "program-not-found",
        "$.agents[3].spec.argv[0]": "program-not-found",
        "$.agents[7].spec.source": "script-broken",
        "$.agents[9]": "kind-without-spawner",
    }
    stages = [one["stage"] for one in got["missing"]]
    assert stages == [{"type": "LaunchPreflight"}] * 6
    assert {one["docs_ref"]["anchor"] for one in got["missing"]} <= set(REGISTRY)
    assert "did you mean 'identity'?" in printed.out
    assert "did you mean 'words-top'?" in printed.out
    assert "broken.lua:2: unexpected symbol near <eof>" in printed.out
    assert "no program 'no-such-program' can be started here" in printed.out
    assert [one["agent"] for one in got["bind_requests"]] == ["o"]
    assert "o has to be bound: ws_operator, variant v" in printed.out


def test_doctor_reports_limits_that_the_installation_does_not_allow(
    say: Any, write: Any, make_step: Any
):
    high = {"cpu_s": 90_000}
    agents = [
        {
            "name": "l",
            "kind": "lua",
            "spec": {"source": "", "limits": {"time_s": 4000}},
        },
        {"name": "s", "kind": "subprocess", "spec": {"program": "sh", "limits": high}},
        {
            "name": "t",
            "kind": "subprocess",
            "runner": {"backend": "subprocess", "template": "shared"},
        },
    ]
    agents[0]["spec"]["source"] = "return 1"
    shared = {"name": "shared", "argv": ["sh"], "limits": high}
    path = write(agents=agents, subprocesses=[shared], flow=make_step("l"))
    printed = say("doctor", path)
    assert printed.code == 1
    got = say("doctor", path, "--json").json
    assert {one["span"]["json_path"]: one["kind"] for one in got["missing"]} == {
        "$.agents[0].spec.limits.time_s": "limit-too-high",
        "$.agents[1].spec.limits.cpu_s": "limit-too-high",
        "$.subprocesses[0].limits.cpu_s": "limit-too-high",
    }
    text = "spec.limits.cpu_s 90000 is more than SWARM_CHILD_CPU_MAX (86400)"
    assert text in printed.out


def test_doctor_weighs_prompts(say: Any, tmp_path: Path, write: Any):
    (tmp_path / "long.md").write_text("---\nname: a\n---\n" + "x\n" * 300)
    agent = {
        "$agent_md": "long.md",
        "kind": "python_fn",
        "spec": {"fn_id": "identity"},
    }
    path = write(agents=[agent])
    got = say("doctor", path, "--json", *NOT_YET).json
    [one] = got["agents"]
    assert (one["bytes"], one["lines"], one["severity"]) == (600, 300, "WARN")
    assert (got["verdict"], got["over_threshold_count"]) == ("WARN", 1)
    assert got["families"]["AgentMdSize"] == {"warning": 1}
    printed = say("doctor", path, "--warn-lines", "301", "--json", *NOT_YET).json
    assert (printed["verdict"], printed["over_threshold_count"]) == ("OK", 0)
    printed = say("doctor", path, "--block", "--block-lines", "300")
    assert (printed.code, printed.out.startswith("b: BLOCK\n")) == (1, True)
    got = say("doctor", path, "--allow", "agent-md-size", "--json", *NOT_YET).json
    assert (got["verdict"], len(got["suppressed"])) == ("OK", 2)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"agents": [{"name": "a", "kind": "pyton_fn"}]}, "unknown kind 'pyton_fn'"),
        ({"flow": {"kind": "sequ"}}, "did you mean 'seq'?"),
        ({"flw": 1}, "did you mean 'flow'?"),
    ],
)
def test_doctor_reports_errors_and_that_it_can_not_run(
    say: Any, write: Any, document: Any, says: str
):
    printed = say("doctor", write(**document))
    assert (printed.code, says in printed.out) == (1, True)
    assert printed.out.endswith("it can't run before its errors are fixed\n")
    got = say("doctor", write(**document), "--json").json
    assert (got["verdict"], got["program_id"]) == ("BLOCK", None)


def test_doctor_of_what_can_not_be_read_is_exit_2(say: Any, tmp_path: Path):
    printed = say("doctor", tmp_path / "none.json", "--json")
    assert (printed.code, printed.json["error"]["code"]) == (2, "io")
    (tmp_path / "torn.json").write_text('{"a": NaN}')
    assert say("doctor", tmp_path / "torn.json").code == 2
