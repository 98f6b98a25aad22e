"""The packed record reads the same in Python and in Lua."""

from __future__ import annotations

from dataclasses import astuple
from importlib import resources

import pytest
from store_boxes import Box

from engine.store.record import FIXED, Record, unpack
from engine.store.script_texts import CONSTANT

PLAIN = Record(
    0, "", "", "p", 0, 0, 0, 60_000, 0, "", "swarm.lua", "/children/0", b"s[1]"
)
FULL = Record(
    12_345_678, "a" * 12, "b" * 12, "r", 99, 99, 1_790_000_000_123, 86_400_000,
    123_456_789, "f" * 16, "gpu.hi", "/children/1/lane[17]/é", b'j[1,"x\n|y"]\n\x00',
)  # fmt: skip

LUA_ROUND_TRIP = """
local names = {'seq', 'owner', 'last', 'state', 'tries', 'lost', 'deadline', 'timeout',
  'loglen', 'base', 'queue', 'place', 'frames'}
local c, parts = {}, {}
for i, name in ipairs(names) do c[name] = ARGV[i] end
local packed = pack_record(c)
for i, v in ipairs(names) do parts[i] = unpack_record(packed)[v] end
for i, v in ipairs(parts) do parts[i] = type(v) == 'number' and num(v) or v end
return {packed, unpack(parts)}
"""


@pytest.mark.parametrize("record", [PLAIN, FULL])
def test_lua_packs_what_both_sides_cut_at_the_same_offsets(
    record: Record, box: Box
) -> None:
    folder = resources.files("engine.store").joinpath("scripts")
    prelude = CONSTANT.sub("99", folder.joinpath("prelude.lua").read_text())
    given = astuple(record)
    packed, *parts = box.client.eval(prelude + LUA_ROUND_TRIP, 0, *given)
    assert unpack(packed) == record
    assert packed[FIXED:].startswith(record.queue.encode() + b"\n")
    assert [part.decode().rstrip(" ") for part in parts[:-1]] == [*map(str, given[:-1])]
    assert parts[-1] == record.frames


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(ValueError, match=r".*"):
        unpack(b"nonsense")
