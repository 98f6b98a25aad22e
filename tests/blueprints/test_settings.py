"""Tests of swarm_project: the readers of the environment and the Celery app."""

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from swarm_project import env
from swarm_project.celery import app
from swarm_project.settings import SWARM_SETTINGS
from workers.embedded_server.files import NOWHERE

[OUTPUTS] = [
    one for one in SWARM_SETTINGS["Where things are"] if one.name == "SWARM_OUTPUTS"
]


@pytest.fixture
def value(monkeypatch):
    return lambda text: monkeypatch.setenv("SWARM_X", text)


def setting(default, **bounds):
    return env.Setting("SWARM_X", default, "", "", **bounds)


@pytest.mark.parametrize("text", ["", "  "])
@pytest.mark.parametrize("default", [7, 1.5, True, "a", ["a"]])
def test_an_empty_variable_counts_as_unset(value, text, default):
    value(text)

    assert setting(default).read() == default


@pytest.mark.parametrize(
    ("text", "default", "read"),
    [
        (" 12 ", 7, 12),
        ("12", 7.0, 12.0),
        ("Off", True, False),
        ("yes", False, True),
        ("a, b ,", [], ["a", "b"]),
        (",", ["a"], ["a"]),
    ],
)
def test_good_values_are_read(value, text, default, read):
    value(text)

    assert setting(default).read() == read


SECONDS = "a number of seconds greater than 0 up to 31622400 \\(a year\\)"


@pytest.mark.parametrize(
    ("default", "text", "rule"),
    [
        (1, "ten", "an integer of at least 1"),
        (1, "0", "an integer of at least 1"),
        (1, "-5", "an integer of at least 1"),
        (1, "nan", "an integer of at least 1"),
        (1.0, "1 s", SECONDS),
        (1.0, "0", SECONDS),
        (1.0, "nan", SECONDS),
        (1.0, "-1", SECONDS),
        (1.0, "inf", SECONDS),
        (1.0, "1e300", SECONDS),
        (True, "maybe", "true or false"),
    ],
)
def test_a_bad_value_is_refused_with_the_name_of_the_variable(
    value, default, text, rule
):
    value(text)

    with pytest.raises(
        ImproperlyConfigured, match=f"SWARM_X: expected {rule}, got '{text}'"
    ):
        setting(default).read()


def test_a_lease_that_no_renewal_could_keep_is_refused(value):
    value("0.5")

    with pytest.raises(
        ImproperlyConfigured, match=r"seconds from 2 up to .* got '0\.5'"
    ):
        setting(10.0, least=2).read()


def test_a_number_above_its_most_is_refused(value):
    value("98")

    with pytest.raises(
        ImproperlyConfigured, match="SWARM_X: expected an integer from 1 to 97, got"
    ):
        setting(3, most=97).read()
    assert setting(3, most=98).read() == 98


def test_a_choice_outside_the_list_is_refused(value):
    value("c")

    with pytest.raises(ImproperlyConfigured, match="expected one of a, b, got 'c'"):
        setting("a", choices=("a", "b")).read()


@pytest.mark.parametrize(
    "text",
    [
        "files",
        "database",
        "/mnt/outputs",
        "s3://a-bucket",
        "s3://a-bucket/",
        "s3://my.bucket/some/folder",
    ],
)
def test_a_place_for_outputs_is_a_word_a_path_or_a_bucket(value, text):
    value(text)

    assert replace(OUTPUTS, name="SWARM_X").read() == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("databse", "; did you mean 'database'?"),
        ("file", "; did you mean 'files'?"),
        ("outputs/here", ""),
        ("s3://UPPER/case", ""),
        ("s3:/bucket", ""),
        ("https://a-bucket", ""),
    ],
)
def test_another_place_for_outputs_is_refused_with_the_nearest_word(value, text, hint):
    value(text)

    rule = "files, database, an absolute path or s3://BUCKET/PREFIX"
    with pytest.raises(ImproperlyConfigured) as refused:
        replace(OUTPUTS, name="SWARM_X").read()
    text = f"expected {rule}, for example /mnt/swarm/outputs, got {text!r}{hint}"
    assert str(refused.value) == f"SWARM_X: {text}"


def test_the_secret_key_is_made_once_and_only_for_its_owner(tmp_path):
    key = env.secret_key("", var_dir=tmp_path)

    assert env.secret_key("", var_dir=tmp_path) == key
    assert len(key) >= 50
    [path] = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_key_that_is_given_is_used_and_none_is_made(tmp_path):
    assert env.secret_key("given", var_dir=tmp_path) == "given"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["secret_key", "db.sqlite3"])
def test_what_another_user_put_into_the_folder_is_refused(tmp_path, monkeypatch, name):
    path, lstat = tmp_path / name, Path.lstat
    path.write_text("known to another user")

    def theirs(self):
        found = list(lstat(self))
        found[stat.ST_UID] += self == path and 1
        return os.stat_result(found)

    def use():
        env.database(url="", var_dir=tmp_path)
        env.secret_key("", var_dir=tmp_path)

    use()
    monkeypatch.setattr(Path, "lstat", theirs)
    with pytest.raises(ImproperlyConfigured, match=f"{name} belongs to another user"):
        use()
    path.unlink()
    use()


def test_a_kept_secret_key_is_closed_to_others_and_never_empty(tmp_path):
    path = tmp_path / "secret_key"
    path.write_text("of an old copy")
    path.chmod(0o644)
    assert env.secret_key("", var_dir=tmp_path) == "of an old copy"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    path.write_text("")
    with pytest.raises(ImproperlyConfigured, match="secret_key is empty: remove it"):
        env.secret_key("", var_dir=tmp_path)


def test_processes_that_start_together_agree_on_a_key(tmp_path, monkeypatch):
    def other_was_faster(draft, path):
        Path(path).write_text("theirs")
        raise FileExistsError

    monkeypatch.setattr(os, "link", other_was_faster)

    assert env.secret_key("", var_dir=tmp_path) == "theirs"


def test_a_database_url_is_read_and_a_bad_one_names_no_password(tmp_path):
    found = env.database(url="postgres://u:p@h:5432/d", var_dir=tmp_path)
    assert (found["ENGINE"], found["HOST"]) == ("django.db.backends.postgresql", "h")
    assert found["CONN_MAX_AGE"] == 60

    with pytest.raises(ImproperlyConfigured, match=r"^DATABASE_URL: ") as caught:
        env.database(url="postgrs://u:s3cret@h/d", var_dir=tmp_path)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "sqlite:////x/y.sqlite3"])
def test_sqlite_is_opened_for_several_processes(tmp_path, url):
    found = env.database(url=url, var_dir=tmp_path)

    assert found["OPTIONS"]["timeout"] == 20
    assert found["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in found["OPTIONS"]["init_command"]


def test_postgresql_that_hangs_is_an_error_after_seconds(tmp_path):
    found = env.database(url="postgres://u:p@h/d", var_dir=tmp_path)["OPTIONS"]
    assert found["connect_timeout"] == 5
    assert "statement_timeout=30000" in found["options"]
    assert found["tcp_user_timeout"] == 20_000

    url = "postgres://u:p@h/d?sslmode=require&connect_timeout=9"
    given = env.database(url=url, var_dir=tmp_path)["OPTIONS"]
    assert (given["sslmode"], int(given["connect_timeout"])) == ("require", 9)
    assert "statement_timeout" in given["options"]


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"url": "redis://h:5/0"}'])
def test_without_a_whole_description_there_is_no_embedded_server(tmp_path, text):
    if text is not None:
        (tmp_path / "redis.json").write_text(text)

    # By this address a worker knows that it has no Redis.
    assert env.redis_server_url(url="", var_dir=tmp_path).url == NOWHERE


def test_the_folder_of_an_installation_is_closed_to_other_users(tmp_path):
    var = tmp_path / "var"
    var.mkdir(mode=0o755)
    subprocess.run(
        [sys.executable, "-c", "import swarm_project.settings"],
        env={**os.environ, "SWARM_VAR": str(var)},
        cwd=Path(__file__).parents[2],
        check=True,
    )
    assert var.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("url", ["localhost", "amqp://u:s3cret@h//"])
def test_another_kind_of_redis_url_is_refused_without_repeating_it(tmp_path, url):
    with pytest.raises(ImproperlyConfigured, match=r"^SWARM_REDIS_URL: ") as caught:
        env.redis_server_url(url=url, var_dir=tmp_path)
    assert "s3cret" not in str(caught.value)


def test_every_queue_hangs_on_the_default_exchange():
    queues = app.amqp.Queues(app.conf.task_queues)
    made = [*queues.values(), queues["my.queue"]]

    assert {queue.exchange.name for queue in made} == {""}
    assert all(queue.routing_key == queue.name for queue in made)
    assert "swarm.engine" in queues
    assert "celery" not in queues


def test_the_app_has_the_settings_of_the_page():
    conf = app.conf

    assert (conf.task_acks_late, conf.task_reject_on_worker_lost) == (True, False)
    assert (conf.worker_prefetch_multiplier, conf.worker_disable_prefetch) == (1, True)
    assert conf.broker_transport_options["global_keyprefix"] == "swarm:q:"
    assert conf.broker_connection_max_retries is None
    assert conf.result_backend is None
    assert conf.accept_content == ["json"]


def test_a_bad_variable_stops_the_process_by_its_name(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import swarm_project.settings"],
        env={**os.environ, "SWARM_VAR": str(tmp_path), "SWARM_LEASE": "soon"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert "SWARM_LEASE: expected a number of seconds from 2 up to" in done.stderr
