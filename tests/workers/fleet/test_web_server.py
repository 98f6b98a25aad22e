"""Addresses of the web server, and the link that logs in."""

from typing import Any

import pytest

from workers.fleet.prerequisites import SetupFailed
from workers.fleet.web_server import address_of, login_url, url_of
from workers.management.commands.up import login_lines


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("127.0.0.1:7777", "http://127.0.0.1:7777"),
        ("0.0.0.0:80", "http://localhost:80"),
        ("[::1]:1", "http://[::1]:1"),
        ("[::]:1", "http://localhost:1"),
    ],
)
def test_an_address_has_the_url_at_which_this_machine_reaches_it(bind: str, url: str):
    assert url_of(bind) == url


@pytest.mark.parametrize("bind", ["", "x", ":1", "x:", "x:-1", "x:65536", "x:\u00b2"])
def test_what_is_no_address_is_refused(bind: str):
    with pytest.raises(SetupFailed, match="expected HOST:PORT"):
        address_of(bind)


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        (["localhost", "127.0.0.1", "swarm.example"], "https://swarm.example"),
        (["localhost", "127.0.0.1", "[::1]"], "https://localhost"),
        (["*", ".example"], "https://HOST"),
    ],
)
def test_with_https_the_link_leads_through_the_proxy(
    hosts: list[str], url: str, settings: Any, db: None
):
    settings.ALLOWED_HOSTS = hosts
    assert login_url("127.0.0.1:7777") == "http://127.0.0.1:7777"
    settings.SWARM_HTTPS = True
    web, once, page = login_lines("127.0.0.1:7777", link=True)
    assert web == "web      http://127.0.0.1:7777"
    assert once.startswith(f"log in   {url}/login/once/")
    assert page.startswith(f"log in   {url}/login/ ")
