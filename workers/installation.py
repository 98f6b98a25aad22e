"""Which installation a Redis belongs to: two databases on one would spoil each other.

Each would archive the other's journal and drop it from the stream. So database and Redis
have the same name, and who finds another one in Redis touches nothing.
"""

from __future__ import annotations

from typing import Any, Final

from blueprints.command_line import typed
from blueprints.services.installations import installation_name
from engine.store.redis import STATE, RedisStore
from workers.transport import state_address

KEY: Final = f"{STATE}installation"


class ForeignRedis(Exception):
    """This Redis belongs to another installation; the text has the ways out."""


def hold_redis(store: RedisStore, name: str) -> None:
    """Give a Redis without a name that of the database; ForeignRedis if it has another.

    Raises StoreFull where it has none and no room for one.
    """
    found: Any = store.wire.call("GET", KEY)
    if found is None:
        store.wire.call("SET", KEY, name, "NX")
        found = store.wire.call("GET", KEY)
    if found is not None and found.decode() != name:
        raise ForeignRedis(foreign_text())


def take_over(store: RedisStore) -> None:
    """Make a Redis that of this database, whoever had it."""
    store.wire.call("SET", KEY, installation_name())


def foreign_text() -> str:
    """Return what is wrong with a Redis of another installation, and what to do."""
    return (
        f"the Redis at {state_address()} belongs to another installation, whose database"
        " is not this one: give SWARM_REDIS_URL a server or a database number of its own,"
        " or DATABASE_URL the database that goes with it. If this database is to have it"
        f" from now on, stop all workers and run `{typed('doctor --take-over')}`"
    )
