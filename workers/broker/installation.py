"""The installation that a Redis belongs to: one database for one Redis.

With two databases, each would archive the other's journal and drop it from the stream.
So a Redis has the name of its database, and a process that finds another name there
changes nothing.
"""

from __future__ import annotations

from typing import Final

from blueprints.command_line import typed
from blueprints.services.installations import installation_name
from engine.store.redis import STATE, RedisStore
from workers.broker.transport import state_url

KEY: Final = f"{STATE}installation"


class ForeignRedis(Exception):
    """This Redis belongs to another installation; the text says what to do."""


def ensure_owner(store: RedisStore, name: str) -> None:
    """Give a Redis without a name this name; raise ForeignRedis if it has another.

    Raises StoreFull if it has no name and no room for one.
    """
    if store.text_of(KEY, name) != name:
        raise ForeignRedis(foreign_redis_text())


def take_over(store: RedisStore) -> None:
    """Give a Redis the name of this database, whatever name it had."""
    store.wire.call("SET", KEY, installation_name())


def foreign_redis_text() -> str:
    """Return the text of ForeignRedis."""
    return (
        f"the Redis at {state_url()} belongs to another installation with another"
        " database: set SWARM_REDIS_URL to a server or a database number that nothing else"
        " uses, or DATABASE_URL to the database of that installation. If this database is"
        " to use this Redis from now on, stop all workers and run"
        f" `{typed('doctor --take-over')}`"
    )
