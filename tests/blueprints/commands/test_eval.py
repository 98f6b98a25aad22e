"""`manage.py eval`: the value of an expression, or where it goes wrong."""

import json
import re
import shlex
from pathlib import Path

import pytest
from django.core.management import call_command


def test_it_prints_the_value(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "ctx.json"
    file.write_text('{"files": [{"name": "größe"}]}')
    for ctx in (file, f"@{file}", file.read_text()):
        call_command("eval", "map($.files, f, f.name)", ctx=str(ctx))
        told = capsys.readouterr()
        assert (json.loads(told.out), told.err) == (["größe"], "")
    call_command("eval", "1 + 1")
    assert capsys.readouterr().out == "2.0\n"


def test_the_line_of_the_guide(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[3] / "docs" / "guides" / "the-language.md"
    [line] = re.findall(r"^python manage.py (eval .*)$", page.read_text(), re.MULTILINE)
    call_command(*shlex.split(line))
    shown = capsys.readouterr().out.strip()
    assert shown == "8.0"
    assert f"here `{shown}`" in page.read_text()


@pytest.mark.parametrize(
    ("expr", "ctx", "code", "said"),
    [
        ("$.a", "{}", 1, "path not found: $.a\n"),
        ("$.a == PASS", "{}", 2, "column 8: 'PASS' is no value"),
        ("$.a == PASS", "{}", 2, "\n$.a == PASS\n       ^\n"),
        ("1", "{", 2, "--ctx: no JSON"),
        ("1", "@none.json", 2, "none.json"),
    ],
)
def test_an_error_has_a_code_and_a_place(
    capsys: pytest.CaptureFixture[str], expr: str, ctx: str, code: int, said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command("eval", expr, ctx=ctx)
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (code, "")
    assert said in told.err
