"""Registered scripts: one cache entry a file, bounded by bytes, and no swapped folder."""

import os

import pytest

from blueprints import lua_scripts
from blueprints.lua_scripts import CACHE_BYTES, find_script


@pytest.fixture(autouse=True)
def nothing_kept():
    """Begins with an empty cache."""
    lua_scripts._kept.clear()


def test_a_file_has_one_entry_whatever_the_spelling_of_its_name(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "words.lua").write_text("return 1")
    spellings = ["lib/words", "lib/words.lua", "./lib/words", "lib//words"]
    spellings += [f"{'./' * n}lib/words" for n in range(100)]

    assert {find_script(name, [str(tmp_path)]) for name in spellings} == {"return 1"}
    assert len(lua_scripts._kept) == 1


def test_the_cache_is_bounded_by_bytes(tmp_path):
    half = 2**19
    for number in range(CACHE_BYTES // half + 10):
        (tmp_path / f"s{number}.lua").write_text("x" * half)
        assert len(find_script(f"s{number}", [str(tmp_path)])) == half

    assert lua_scripts._kept.currsize <= CACHE_BYTES
    assert len(lua_scripts._kept) < CACHE_BYTES / half
    # What was dropped is read again.
    assert len(find_script("s0", [str(tmp_path)])) == half


def test_a_changed_script_is_read_again(tmp_path):
    file = tmp_path / "a.lua"
    file.write_text("return 1")
    assert find_script("a", [str(tmp_path)]) == "return 1"
    file.write_text("return 22")
    assert find_script("a.lua", [str(tmp_path)]) == "return 22"


def test_a_name_has_a_largest_size(tmp_path):
    with pytest.raises(LookupError, match="at most 256 characters"):
        find_script("x" * 257, [str(tmp_path)])


def test_a_script_that_can_not_be_read_is_no_error_of_the_system(tmp_path):
    os.mkfifo(tmp_path / "pipe.lua")
    (tmp_path / "folder.lua").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(
            LookupError, match=f"the script '{name}': not a regular file"
        ):
            find_script(name, [str(tmp_path)])
