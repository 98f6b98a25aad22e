"""The installation that a Redis belongs to: one database for one Redis.

With two databases, each would archive the other's journal and drop it from the stream.
So a Redis has the name of its database, and the name of its data (the epoch), of which the
database keeps the newest. A process that finds another one there changes nothing.
"""

from __future__ import annotations

from blueprints.command_line import typed
from blueprints.services.installations import installation_get
from engine.store.reconciling import EPOCH, OWNER
from engine.store.redis import RedisStore
from engine.store.wire import RECONCILED
from workers.broker.transport import state_url


class ForeignRedis(Exception):
    """This Redis is not the one of this installation; the text says what to do."""


def take_over(store: RedisStore) -> None:
    """Make a Redis the one of this database, whatever it was; its data are compared next."""
    row = installation_get()
    row.epoch = (store.wire.call("GET", EPOCH) or b"").decode()
    row.save(update_fields=["epoch"])
    store.wire.call("DEL", RECONCILED)
    store.wire.call("SET", OWNER, row.name)


def foreign_redis_text() -> str:
    """Return the text of ForeignRedis for a Redis of another installation."""
    return (
        f"the Redis at {state_url()} belongs to another installation with another"
        " database: set SWARM_REDIS_URL to a server or a database number that nothing else"
        " uses, or DATABASE_URL to the database of that installation. If this database is"
        " to use this Redis from now on, stop all workers and run"
        f" `{typed('doctor --take-over')}`"
    )


def older_redis_text() -> str:
    """Return the text of ForeignRedis for a Redis that another one has replaced."""
    return (
        f"the Redis at {state_url()} is not the one that this installation used last: that"
        " one has the newest data. Set SWARM_REDIS_URL to it. If it is gone and this Redis"
        f" is to be used from now on, stop all workers and run"
        f" `{typed('doctor --take-over')}`, which compares the data with the archive; runs"
        f" that lag behind it wait for `{typed('runs recover')}`"
    )
