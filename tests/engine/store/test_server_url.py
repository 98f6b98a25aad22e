"""The one reader of a Redis URL: what it gives, what it refuses, what it never shows."""

from pathlib import Path

import pytest
from redis.sentinel import SentinelConnectionPool

from engine.store.server_url import InvalidServerUrl, ServerUrl

SECRET = "s3/cr?t#@:1"
ENCODED = "s3%2Fcr%3Ft%23%40%3A1"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h", "redis://h:6379/0"),
        (f"redis://u:{ENCODED}@h:1/2", "redis://h:1/2"),
        (f"rediss://:{ENCODED}@[::1]:1/2?ssl_cert_reqs=none", "rediss://[::1]:1/2"),
        (f"unix://u:{ENCODED}@/r/s?db=3", "unix:///r/s?db=3"),
        ("unix:///r/s", "unix:///r/s"),
        (
            f"sentinel://u:{ENCODED}@a,b:2/1?master_name=m&sentinel_password={ENCODED}",
            "sentinel://a:26379,b:2/1?master_name=m",
        ),
    ],
)
def test_a_server_url_names_all_but_the_caller(url: str, shown: str) -> None:
    server_url = ServerUrl.of(url)

    assert str(server_url) == f"{server_url}" == shown
    assert server_url.url == url
    for text in (repr(server_url), repr({"a": [server_url]})):
        assert "s3" not in text
    assert set(server_url.secrets) == ({SECRET} if "@" in url else set())
    assert server_url.db == server_url.pool().connection_kwargs.get("db", 0)


def test_user_password_and_number_reach_the_connection() -> None:
    made = ServerUrl.of(f"redis://ann:{ENCODED}@h:1/2").pool().make_connection()

    assert made.credential_provider is None
    assert (made.username, made.password) == ("ann", SECRET)
    assert (made.host, made.port, made.db) == ("h", 1, 2)


def test_a_sentinel_has_its_own_password_and_the_master_another() -> None:
    url = f"sentinel://ann:{ENCODED}@a:1,b:2/1?master_name=m"
    pool = ServerUrl.of(f"{url}&sentinel_username=eve&sentinel_password=other").pool()

    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == "m"
    made = pool.make_connection()
    assert (made.username, made.password, made.db) == ("ann", SECRET, 1)
    pools = [known.connection_pool for known in pool.sentinel_manager.sentinels]
    assert [
        [
            at.connection_kwargs[name]
            for name in ("host", "port", "username", "password")
        ]
        for at in pools
    ] == [["a", 1, "eve", "other"], ["b", 2, "eve", "other"]]


@pytest.mark.parametrize("scheme", ["rediss", "sentinels"])
def test_tls_options_are_those_of_redis_py_and_of_kombu(
    scheme: str, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    ca.touch()
    url = f"{scheme}://h?master_name=m&ssl_ca_certs={ca}&ssl_cert_reqs=CERT_OPTIONAL"
    made = ServerUrl.of(
        url.replace("master_name=m&", "") if scheme == "rediss" else url
    )

    assert made.options["ssl_ca_certs"] == str(ca)
    assert made.options["ssl_cert_reqs"] == "optional"
    if scheme == "sentinels":
        assert made.sentinel_options["ssl"]
        assert made.sentinel_options["ssl_ca_certs"] == str(ca)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("localhost", "expected one of redis://"),
        ("amqp://u:s3cret@h", "expected one of redis://"),
        ("redis://:s3/cret@h/0", "percent-encoded"),
        ("redis://:s3#cret@h/0", "percent-encoded"),
        ("redis://:s3?cret@h/0", "percent-encoded"),
        ("redis://h:s3", "percent-encoded"),
        ("redis://h/s3", "database number"),
        ("redis://h/1/2", "database number"),
        ("redis://h?db=s3", "percent-encoded"),
        ("redis://a,b", "several are for sentinel://"),
        ("redis://h?socket_timeout=1", "has no option socket_timeout"),
        ("redis://h?password=s3", "goes before the host"),
        ("rediss://h?username=s3&password=s3", "goes before the host"),
        ("unix:///s?password=s3", "goes before the host"),
        ("redis://h?host=s3", "has no option host"),
        ("redis://h?protocol=3", "has no option protocol"),
        ("redis://h?p%61ssword=s3", "goes before the host"),
        ("redis://h?ssl_ca_certs=/x", "ssl_ca_certs is for rediss://"),
        ("rediss://h?ssl_ca_certs=x.pem", "ssl_ca_certs: expected the absolute path"),
        ("rediss://h?ssl_keyfile=/none/x", "ssl_keyfile: expected the absolute path"),
        ("rediss://h?ssl_cert_reqs=perhaps", "required, optional or none"),
        ("sentinel://h", "needs the name of the master"),
        ("sentinel://:s3@a;sentinel://:s3@b/0", "with commas and one scheme"),
    ],
)
def test_what_can_not_be_meant_is_refused_without_a_secret(url: str, rule: str) -> None:
    with pytest.raises(InvalidServerUrl) as refused:
        ServerUrl.of(url)

    assert rule in str(refused.value)
    assert "s3" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
