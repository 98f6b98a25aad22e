"""`manage.py apikey create|list|revoke`: the keys by which services use the API."""

import json
import sys
from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any, Final, NoReturn

from django.contrib.auth import get_user_model
from django.core.management.base import CommandParser
from django.utils import timezone

from blueprints.command_line import REFUSED, SwarmCommand, names, whole_number
from blueprints.models.api_keys import ApiKey, Right
from blueprints.selectors.api_keys import api_key_list
from blueprints.services.api_keys import api_key_create, api_key_revoke
from engine.blueprint_store import InputRefused
from engine.flow.json_text import Json
from engine.flow.spelling import hint_at

MOST_DAYS: Final = 3660


def scopes(text: str) -> list[Right]:
    """Parse rights separated by commas."""
    found = names(text)
    for name in found:
        if name not in list(Right):
            hint = hint_at(name, [right.value for right in Right])
            known = ", ".join(right.value for right in Right)
            raise ArgumentTypeError(
                f"no right is named {name!r}; {hint} (all: {known})"
            )
    if not found:
        raise ArgumentTypeError("name one right or more")
    return [Right(name) for name in found]


class Command(SwarmCommand):
    """Make, list and revoke API keys."""

    help = "Make, list and revoke the keys of the HTTP API."
    verbs = ("create", "list", "revoke")

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="make a key and print it, once")
        create.add_argument("name", metavar="NAME", help="who or what will use it")
        create.add_argument(
            "--scopes",
            type=scopes,
            default=[Right.VIEW],
            metavar="a,b",
            help=f"what it may do: {', '.join(Right)} (view)",
        )
        create.add_argument(
            "--user", metavar="NAME", help="it may never do more than this user"
        )
        create.add_argument(
            "--days",
            type=whole_number(1, MOST_DAYS),
            metavar="N",
            help="it expires after N days (never)",
        )
        listing = verbs.add_parser("list", help="list all keys, without their secrets")
        revoke = verbs.add_parser("revoke", help="end a key for good")
        revoke.add_argument("prefix", metavar="PREFIX", help="as `list` shows it")
        for verb in (create, listing, revoke):
            verb.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the verb."""
        match options["verb"]:
            case "create":
                self._create(options)
            case "list":
                self._list(as_json=options["json"])
            case _:
                self._revoke(options["prefix"], as_json=options["json"])

    def _create(self, options: dict[str, Any]) -> None:
        name, user, days = options["name"].strip(), None, options["days"]
        if options["user"] is not None:
            known = get_user_model()._default_manager
            user = known.filter(username=options["user"]).first()
            if user is None:
                self._refuse(f"--user: there is no user named {options['user']!r}")
        until = None if days is None else timezone.now() + timedelta(days=days)
        try:
            row, text = api_key_create(
                name, options["scopes"], user=user, expires_at=until
            )
        except InputRefused as error:
            self._refuse(f"NAME: {error.rule}")
        if options["json"]:
            print(json.dumps({"ok": True, "key": text, **as_row(row)}))
            return
        sys.stderr.write("The key is shown only now; send it as a bearer token:\n")
        print(text)

    def _list(self, *, as_json: bool) -> None:
        rows = [as_row(key) for key in api_key_list()]
        if as_json:
            print(json.dumps({"ok": True, "keys": rows}))
            return
        for row in rows:
            used = row["last_used_at"] or "never used"
            of = f" of {row['user']}" if row["user"] else ""
            print(
                f"{row['prefix']}  {row['state']:<7}  {','.join(row['scopes'])}"
                f"  {row['name']}{of}  ({used})"
            )
        if not rows:
            print("no keys")

    def _revoke(self, prefix: str, *, as_json: bool) -> None:
        if not api_key_revoke(prefix):
            prefixes = [row.prefix for row in api_key_list() if row.state == "valid"]
            hint = hint_at(prefix, prefixes)
            self._refuse(f"no key that is in use has the prefix {prefix!r}; {hint}")
        if as_json:
            print(json.dumps({"ok": True, "prefix": prefix}))
        else:
            print(f"{prefix} is revoked")

    def _refuse(self, text: str) -> NoReturn:
        sys.stderr.write(f"{text.rstrip('; ')}\n")
        sys.exit(REFUSED)


def as_row(key: ApiKey) -> dict[str, Json]:
    """Return what may be shown of a key."""
    moments = {
        name: at.isoformat() if (at := getattr(key, name)) else None
        for name in ("created_at", "expires_at", "revoked_at", "last_used_at")
    }
    return {
        "prefix": key.prefix,
        "name": key.name,
        "user": key.user.get_username() if key.user else None,
        "scopes": [right.value for right in Right if right in key.rights],
        "state": key.state,
        **moments,
    }
