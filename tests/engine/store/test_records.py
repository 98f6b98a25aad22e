"""The packed record reads the same in Python and in Lua."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest
import redis

from engine.store.record import FIXED, NO_NONCE, Record, unpack

PLAIN = Record(
    0, "", "", "p", 0, 0, 0, 60_000, 0, "", "swarm.lua", "/children/0", b"s[1]"
)
FULL = Record(
    12_345_678, "a" * 12, "b" * 12, "r", 99, 99, 1_790_000_000_123, 86_400_000,
    123_456_789, "f" * 16, "gpu.hi", "/children/1/lane[17]/é", b'j[1,"x\n|y"]\n\x00',
)  # fmt: skip

LUA_ROUND_TRIP = """
local c = unpack_record(ARGV[1])
return {pack_record(c), num(c.seq), c.owner, c.last, c.state, num(c.tries), num(c.lost),
  num(c.deadline), num(c.timeout), num(c.loglen), c.base, c.queue, c.place, c.frames}
"""


@pytest.mark.parametrize("record", [PLAIN, FULL])
def test_a_record_is_unpacked_to_what_was_packed(record: Record) -> None:
    packed = record.pack()
    assert unpack(packed) == record
    assert packed[FIXED:].startswith(record.queue.encode() + b"\n")
    assert len(NO_NONCE) == 12


@pytest.mark.parametrize("record", [PLAIN, FULL])
def test_lua_cuts_the_same_offsets(record: Record, redis_socket: str) -> None:
    client: Any = redis.Redis(unix_socket_path=redis_socket)
    folder = resources.files("engine.store").joinpath("scripts")
    prelude = folder.joinpath("prelude.lua").read_text()
    packed = record.pack()
    back, *parts = client.eval(prelude + LUA_ROUND_TRIP, 0, packed)
    client.close()
    assert back == packed
    assert unpack(back) == record
    got = [part.decode().rstrip(" ") for part in parts[:-1]]
    assert got == [
        str(record.seq), record.owner, record.last, record.state, str(record.tries),
        str(record.lost), str(record.deadline_ms), str(record.timeout_ms),
        str(record.loglen), record.base_id, record.queue, record.place,
    ]  # fmt: skip
    assert parts[-1] == record.frames


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(ValueError, match=r".*"):
        unpack(b"nonsense")
