"""What every OutputStore promises, shown with each of them."""

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.db import connections
from moto.server import ThreadedMotoServer

from blueprints.models import OutputContent
from blueprints.stores.outputs.database import DatabaseOutputs
from blueprints.stores.outputs.files import FileOutputs
from blueprints.stores.outputs.s3 import S3Outputs
from engine.output_store import OutputMissing, OutputsAway, OutputStore
from engine.testing import MemoryOutputStore

NEVER = "0" * 64
LATER = timedelta(microseconds=1)
ROUNDS = 20
BUCKET = "swarm-tests"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The URL of a service with the API of S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    found = boto3.resource("s3").Bucket(BUCKET)
    found.create()
    yield found
    found.objects.all().delete()
    found.delete()


DATABASE = pytest.param("database", marks=pytest.mark.django_db(transaction=True))


@pytest.fixture(params=["files", DATABASE, "s3", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> OutputStore:
    match request.param:
        case "files":
            return FileOutputs(tmp_path / "outputs")
        case "database":
            return DatabaseOutputs()
        case "s3":
            request.getfixturevalue("bucket")
            return S3Outputs(BUCKET, "some/folder")
        case _:
            return MemoryOutputStore()


def stamp_of(store: OutputStore, sha256: str) -> datetime:
    return dict(store.stamps(""))[sha256]


def spoil_file(tmp_path: Path, sha256: str) -> None:
    (tmp_path / "outputs" / sha256[:2] / sha256).write_bytes(b"other bytes")


def spoil_row(tmp_path: Path, sha256: str) -> None:
    OutputContent.objects.filter(pk=sha256).update(content=b"other bytes")


def spoil_object(tmp_path: Path, sha256: str) -> None:
    [found] = boto3.resource("s3").Bucket(BUCKET).objects.all()
    found.put(Body=b"other bytes")


SPOIL: dict[str, Callable[[Path, str], None]] = {
    "files": spoil_file,
    "database": spoil_row,
    "s3": spoil_object,
}


@pytest.mark.parametrize("content", [b"", b"{}", b"\0\xff" * 1_000_000])
def test_a_content_is_kept_under_its_hash(store: OutputStore, content: bytes) -> None:
    name = store.put(content)

    assert name == hashlib.sha256(content).hexdigest()
    assert store.get(name) == content
    assert store.put(content) == name
    assert [found for found, _ in store.stamps("")] == [name]


@pytest.mark.parametrize("name", [NEVER, "", "../../etc/passwd", "A" * 64, "0" * 63])
def test_what_was_never_put_is_missing(store: OutputStore, name: str) -> None:
    store.put(b"{}")

    with pytest.raises(OutputMissing):
        store.get(name)


def test_names_are_listed_in_order_with_the_times_of_their_last_puts(
    store: OutputStore,
) -> None:
    before = datetime.now(UTC)
    names = sorted(store.put(str(number).encode()) for number in range(20))
    after = datetime.now(UTC)

    listed = list(store.stamps(""))

    assert [name for name, _ in listed] == names
    assert all(before - LATER <= at <= after + LATER for _, at in listed)
    assert [name for name, _ in store.stamps(names[12])] == names[13:]
    assert list(store.stamps(names[-1])) == []


def test_a_content_is_deleted_if_its_last_put_was_before_a_time(
    store: OutputStore,
) -> None:
    name, other = store.put(b"[1]"), store.put(b"[2]")
    first = stamp_of(store, name)
    store.put(b"[1]")
    last = stamp_of(store, name)

    assert last > first
    assert not store.delete_older(name, first + LATER)
    assert not store.delete_older(name, last)
    assert store.get(name) == b"[1]"
    assert store.delete_older(name, last + LATER)
    assert not store.delete_older(name, last + LATER)
    with pytest.raises(OutputMissing):
        store.get(name)
    assert store.get(other) == b"[2]"
    assert store.put(b"[1]") == name
    assert store.get(name) == b"[1]"


def test_a_put_never_counts_on_a_content_that_is_being_deleted(
    store: OutputStore,
) -> None:
    """Each round a deletion of what the last one put meets two puts of the same."""
    name = store.put(b"[]")
    deleted: list[bool] = []

    def delete(before: datetime) -> None:
        with connections_closed():
            deleted.append(store.delete_older(name, before))

    draw = random.Random(13)

    def put(_: datetime) -> None:
        time.sleep(draw.uniform(0, 0.03))
        with connections_closed():
            store.put(b"[]")

    with ThreadPoolExecutor(4) as pool:
        for _ in range(ROUNDS):
            now = datetime.now(UTC)
            for done in [pool.submit(do, now) for do in (delete, put, delete, put)]:
                done.result()
            assert store.get(name) == b"[]"
    # Without deletions this would show nothing.
    assert any(deleted)


@contextmanager
def connections_closed() -> Iterator[None]:
    try:
        yield
    finally:
        connections.close_all()


@pytest.mark.parametrize("store", ["files", DATABASE, "s3"], indirect=True)
def test_a_content_that_was_changed_is_found_by_its_hash(
    store: OutputStore, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name = store.put(b"[1]")
    SPOIL[request.node.callspec.params["store"]](tmp_path, name)

    with pytest.raises(OutputMissing, match=f"other bytes under the name {name}"):
        store.get(name)


def test_a_folder_that_is_not_mounted_has_nothing_and_is_not_taken_for_empty(
    tmp_path: Path,
) -> None:
    store = FileOutputs(tmp_path / "outputs")

    with pytest.raises(OutputMissing):
        store.get(NEVER)
    why = r"outputs in .*/outputs can't be read \(No such file or directory\)"
    with pytest.raises(OutputsAway, match=why):
        list(store.stamps(""))


def test_a_bucket_that_is_not_there_is_away(bucket: Any) -> None:
    store = S3Outputs("another-bucket", "")

    with pytest.raises(OutputsAway, match=r"s3://another-bucket/ can't .*NoSuchBucket"):
        store.put(b"[]")
    with pytest.raises(OutputsAway, match="NoSuchBucket"):
        store.get(NEVER)


def test_an_endpoint_that_does_not_answer_is_away(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    with pytest.raises(OutputsAway, match="EndpointConnectionError") as refused:
        S3Outputs(BUCKET).put(b"[]")
    assert "a-secret" not in str(refused.value)


def test_other_objects_in_the_folder_are_left_alone(bucket: Any) -> None:
    bucket.put_object(Key="some/folder/README", Body=b"Outputs of Swarm")
    store = S3Outputs(BUCKET, "/some/folder/")
    name = store.put(b"[]")

    assert [found for found, _ in store.stamps("")] == [name]
    assert len(list(bucket.objects.all())) == 2
