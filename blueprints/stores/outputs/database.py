"""Outputs in a table of the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from django.db import DatabaseError, connection
from django.utils import timezone

from blueprints.models import OutputContent
from blueprints.models.events import stored_bytes
from engine.output_store import OutputMissing, OutputsAway, name_of

PAGE: Final = 1_000


class DatabaseOutputs:
    """Keeps outputs in rows of OutputContent; the methods are those of OutputStore.

    A statement locks its row, so that a put and a deletion happen one after the other.
    """

    def put(self, content: bytes) -> str:
        """Keep a content and return its name."""
        sha256 = name_of(content)
        kept = OutputContent.objects.filter(pk=sha256)
        with _explained("written"):
            # A content that is there already is not sent again.
            if not kept.update(put_at=timezone.now()):
                row = OutputContent(pk=sha256, content=content, put_at=timezone.now())
                OutputContent.objects.bulk_create(
                    [row],
                    update_conflicts=True,
                    unique_fields=["sha256"],
                    update_fields=["put_at"],
                )
        return sha256

    def get(self, sha256: str) -> bytes:
        """Return a content, which has the hash that names it."""
        found = OutputContent.objects.filter(pk=sha256)
        with _explained("read"):
            content = found.values_list("content", flat=True).first()
        if content is None:
            raise OutputMissing(f"the database has no output {ascii(sha256)[:80]}")
        content = stored_bytes(content)
        if name_of(content) != sha256:
            raise OutputMissing(f"the database has other bytes under the name {sha256}")
        return content

    def delete_older(self, sha256: str, before: datetime) -> bool:
        """Delete a content if its last put was before a time; return whether it was."""
        with _explained("written"):
            old = OutputContent.objects.filter(pk=sha256, put_at__lt=before)
            return bool(old.delete()[0])

    def stamps(self, after: str) -> Iterator[tuple[str, datetime]]:
        """Yield the names greater than `after`, in order, with the times of their last puts."""
        while True:
            later = OutputContent.objects.filter(pk__gt=after).order_by("pk")
            with _explained("read"):
                page = list(later.values_list("pk", "put_at")[:PAGE])
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1][0]

    def reach(self) -> str:
        """Return, for people, which hosts see it."""
        return "seen by every host of this database"

    def room(self) -> int | None:
        """Return None: it does not tell how much room it has."""

    def __str__(self) -> str:
        return "the database"


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        # The next call gets a connection that works.
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        text = str(error).partition("\n")[0]
        raise OutputsAway(
            f"the outputs in the database can't be {what} ({text})"
        ) from error
