"""Outputs in a bucket of S3, or of a service with its API (extra `s3`).

Each put writes an object of its own, `PREFIX/SHA-256/TIME-NUMBER`, and then removes those
that it found before; so a deletion, which removes what it has listed, meets no later put.
"""

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from engine.output_store import OutputMissing, OutputsAway, name_of

SCHEME: Final = "s3://"
MOST_READS: Final = 5
"""How often a reader looks again whose object was replaced under its hands."""
_CONFIG: Final = Config(
    connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 2}
)
_OURS: Final = re.compile(r"[0-9a-f]{64}/\d{20}-[0-9a-f]{16}")
_GONE: Final = "NoSuchKey"


def installed_store() -> "S3Outputs":
    """Return the store of this installation."""
    place: str = settings.SWARM_OUTPUTS
    bucket, _, prefix = place.removeprefix(SCHEME).partition("/")
    return S3Outputs(bucket, prefix)


class S3Outputs:
    """Keeps outputs in a bucket; the methods are those of OutputStore.

    boto3 finds credentials, region and endpoint (`AWS_ENDPOINT_URL_S3`) by itself.
    """

    def __init__(self, bucket: str, prefix: str = "") -> None:
        """Name the bucket and the folder in it; nothing is connected yet."""
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._made: tuple[int, Any] = (0, None)

    def put(self, content: bytes) -> str:
        """Keep a content and return its name."""
        sha256 = name_of(content)
        with self._explained("written"):
            before = self._objects(sha256)
            # In order of time, and no two alike.
            stamp = f"{time.time_ns() // 1_000:020}-{secrets.token_hex(8)}"
            key = f"{self._prefix}{sha256}/{stamp}"
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=content)
            self._remove(before)
        return sha256

    def get(self, sha256: str) -> bytes:
        """Return a content, which has the hash that names it."""
        for _ in range(MOST_READS):
            with self._explained("read"):
                found = self._objects(sha256)
                if not found:
                    break
                content = self._read(found[-1])
            if content is None:
                continue
            if name_of(content) == sha256:
                return content
            raise OutputMissing(f"{self} has other bytes under the name {sha256}")
        raise OutputMissing(f"{self} has no output {ascii(sha256)[:80]}")

    def delete_older(self, sha256: str, before: datetime) -> bool:
        """Delete a content if its last put was before a time; return whether it was."""
        with self._explained("written"):
            found = self._objects(sha256)
            if not found or _put_at(found[-1]) >= before:
                return False
            self._remove(found)
            return not self._objects(sha256)

    def stamps(self, after: str) -> Iterator[tuple[str, datetime]]:
        """Yield the names greater than `after`, in order, with the times of their last puts."""
        with self._explained("read"):
            # `~` sorts after the digits of an object's name.
            keys = self._keys(self._prefix, f"{self._prefix}{after}/~")
            for sha256, some in groupby(keys, lambda key: key.rpartition("/")[0]):
                *_, last = some
                yield sha256.removeprefix(self._prefix), _put_at(last)

    def reach(self) -> str:
        """Return, for people, which hosts see it."""
        return "seen by every host that has credentials"

    def room(self) -> int | None:
        """Return None: it does not tell how much room it has."""

    def __str__(self) -> str:
        return f"{SCHEME}{self._bucket}/{self._prefix}"

    @property
    def _s3(self) -> Any:
        """Return this process's client: connections must not be shared after a fork."""
        pid, client = self._made
        if pid != os.getpid():
            client = boto3.session.Session().client("s3", config=_CONFIG)
            self._made = os.getpid(), client
        return client

    def _objects(self, sha256: str) -> list[str]:
        """Return the keys of a content's objects, the newest last."""
        return list(self._keys(f"{self._prefix}{sha256}/"))

    def _keys(self, prefix: str, after: str = "") -> Iterator[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix, StartAfter=after
        )
        for page in pages:
            keys = (one["Key"] for one in page.get("Contents", ()))
            yield from (key for key in keys if _OURS.fullmatch(key, len(self._prefix)))

    def _read(self, key: str) -> bytes | None:
        try:
            found = self._s3.get_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] == _GONE:
                return None
            raise
        content: bytes = found["Body"].read()
        return content

    def _remove(self, keys: list[str]) -> None:
        for key in keys:
            self._s3.delete_object(Bucket=self._bucket, Key=key)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError, OSError) as error:
            # The service's own texts may repeat what it was sent.
            why = type(error).__name__
            if isinstance(error, ClientError):
                why = error.response["Error"]["Code"]
            raise OutputsAway(
                f"the outputs in {self} can't be {what} ({why})"
            ) from error


def _put_at(key: str) -> datetime:
    us = int(key.rpartition("/")[2].partition("-")[0])
    return datetime.fromtimestamp(us / 1e6, UTC)
