"""The one form of every error that the API answers: `{error, code, hint, details}`.

docs/errors.md lists the codes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import Http404, JsonResponse
from rest_framework import exceptions

from blueprints.index.examination import NoBlueprint
from blueprints.loaders.documents import DocumentInvalid
from blueprints.loaders.posted import TOO_LARGE
from blueprints.selectors.version_selector import VersionAmbiguous, VersionUnknown
from engine import blueprint_store as stored
from engine.blueprint import BlueprintInvalid
from engine.flow.json_text import Json

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
API: Final = "/v1/"
RETRY_AFTER_S: Final = 1


@dataclass(frozen=True, slots=True)
class Code:
    """What a code of a problem means."""

    status: int
    meaning: str
    hint: str = ""
    """What the caller can do, where the place that raises the problem says no more."""


CODES: Final[Mapping[str, Code]] = {
    "not-json": Code(400, "The body is not strict JSON: the text names line and column.", "Send one JSON value in UTF-8, without repeated keys, NaN or Infinity."),
    "invalid-request": Code(400, "A parameter, a header or a field of the body breaks a rule; `details.fields`, if there, has the texts for each."),
    "host-unknown": Code(400, "The header Host has a name that is none of this server's.", "Add the name to SWARM_ALLOWED_HOSTS."),
    "invalid-document": Code(400, "The document is no Blueprint: it has another schema version or another shape. `details.findings` has the places. It is not stored.", "Correct the places; `blueprint schema` prints the schema."),
    "reference-in-document": Code(400, "The document refers to files, which the server does not read.", "Make one document of it: `manage.py blueprint build FILE -o OUT.json`."),
    "invalid-source": Code(400, "The source can't be built: its YAML is malformed, or its script fails. `details` has the line.", "`blueprint build FILE` shows the same with the line."),
    "invalid-bundle": Code(400, "The bundle is no zip file that an export has made.", "GET /v1/blueprints/ID/export and `blueprint export` make one."),
    "not-authenticated": Code(401, "The request has no credentials that this route accepts.", "Send `Authorization: Bearer KEY` (`manage.py apikey create`), or log in at /login/."),
    "key-refused": Code(401, "The API key is unknown, revoked or expired.", "Make a new one: `manage.py apikey create`."),
    "no-right": Code(403, "The user or the key lacks the right that the route needs; `details.right` names it."),
    "csrf-failed": Code(403, "A request that changes something came with a session, but without its CSRF token.", "Send the cookie `csrftoken` as the header X-CSRFToken, or use an API key."),
    "route-unknown": Code(404, "There is no such route.", "GET /v1/openapi.json lists all routes."),
    "blueprint-unknown": Code(404, "No Blueprint has this id.", "GET /v1/blueprints lists them."),
    "version-unknown": Code(404, "The Blueprint has no such version, label or alias.", "GET /v1/blueprints/ID/history lists its versions."),
    "agent-unknown": Code(404, "The Blueprint has no agent of this name; `details.agents` has the names."),
    "method-not-allowed": Code(405, "The route does not have this method; the header Allow names those it has."),
    "not-acceptable": Code(406, "The route can't answer in the media type of the header Accept.", "Accept application/json."),
    "head-moved": Code(409, "The Blueprint has another head than If-Match names: it was changed meanwhile. `details.head` is the head now. Nothing is stored.", "Read the head, make the change again, and send it with the new If-Match."),
    "alias-moved": Code(409, "The alias is not where the request expects it; `details.commit` is where it is."),
    "archived": Code(409, "The Blueprint is archived, so it can be read and not changed.", "POST /v1/blueprints/ID/unarchive takes it out of the archive."),
    "id-taken": Code(409, "Another Blueprint has this id in other letter case; `details.other` is its id.", "Choose another id."),
    "body-too-large": Code(413, "The body is larger than the route takes. It was not read.", "A document has at most 4 MiB."),
    "media-type": Code(415, "The route does not take a body of this media type.", "Send application/json."),
    "version-ambiguous": Code(422, "Several versions begin with these digits; `details.versions` has the first of them.", "Send more digits of the version."),
    "blueprint-invalid": Code(422, "The document is a Blueprint, but compiler or lints find errors; `details.findings` has all of them.", "Correct the places, or store it all the same with `?force=true`; it can't be launched then."),
    "version-unreadable": Code(422, "The commit exists, but its content can't be read; the history marks it.", "Choose another version, or restore the repository from a clone."),
    "blueprint-busy": Code(429, "Another process is changing this Blueprint.", "Try again after the seconds in the header Retry-After."),
    "internal": Code(500, "An error of the server. Its log has the cause; the answer has not."),
    "store-unusable": Code(503, "The repository of Blueprints can't be read or written: no rights, no room, or damage.", "`manage.py doctor` says more."),
}  # fmt: skip


class Problem(exceptions.APIException):
    """An error that a route answers; its code decides the status."""

    def __init__(
        self,
        code: str,
        error: str = "",
        *,
        hint: str = "",
        details: Json = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Make a problem; the texts of its code stand in for those that are not given."""
        known = CODES[code]
        self.status_code = known.status
        super().__init__(error or known.meaning, code)
        self.body = {
            "error": error or known.meaning,
            "code": code,
            "hint": hint or known.hint or None,
            "details": details,
        }
        self.headers = dict(headers or {})


def handle(error: Exception, context: Mapping[str, Any]) -> JsonResponse | None:
    """Return the response to an error; None for one that is no answer but a bug."""
    problem = problem_of(error) or domain_problem(error)
    if problem is None:
        return None
    return response_of(problem)


def response_of(problem: Problem) -> JsonResponse:
    """Return a problem as a response: JSON, whatever form the view answers in."""
    return JsonResponse(
        problem.body,
        status=problem.status_code,
        content_type=MEDIA_TYPE,
        headers=problem.headers,
    )


def problem_of(error: Exception) -> Problem | None:
    """Return the problem that says what an error of REST framework or Django says."""
    match error:
        case Problem():
            return error
        case exceptions.ValidationError():
            return Problem("invalid-request", details={"fields": _texts(error.detail)})
        case exceptions.ParseError():
            return Problem("not-json", str(error.detail))
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            header = getattr(error, "auth_header", "")
            headers = {"WWW-Authenticate": header} if header else {}
            return Problem("not-authenticated", headers=headers)
        case exceptions.PermissionDenied() | PermissionDenied():
            return Problem("no-right")
        case exceptions.NotFound() | Http404():
            return Problem("route-unknown")
        case exceptions.MethodNotAllowed():
            return Problem("method-not-allowed", str(error.detail))
        case exceptions.NotAcceptable():
            return Problem("not-acceptable")
        case exceptions.UnsupportedMediaType():
            return Problem("media-type", str(error.detail))
    return None


# The code and the details of errors whose text says the rest. Subclasses come first.
_STORED: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (stored.BlueprintUnknown, "blueprint-unknown", ""),
    (VersionAmbiguous, "version-ambiguous", "versions"),
    (VersionUnknown, "version-unknown", ""),
    (stored.CommitUnknown, "version-unknown", ""),
    (stored.CommitUnreadable, "version-unreadable", ""),
    (stored.HeadMoved, "head-moved", "head"),
    (stored.AliasMoved, "alias-moved", "commit"),
    (stored.BlueprintArchived, "archived", ""),
    (stored.IdTaken, "id-taken", "other"),
)


def domain_problem(error: Exception) -> Problem | None:
    """Return the problem that says what an error of the rooms below says."""
    for kind, code, detail in _STORED:
        if isinstance(error, kind):
            details = {detail: getattr(error, detail)} if detail else None
            return Problem(code, str(error), details=details)
    match error:
        case stored.InputRefused(field=field, rule=rule):
            details = {"fields": {field: [rule]}}
            return Problem("invalid-request", str(error), details=details)
        case stored.StoreBusy():
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            return Problem("blueprint-busy", headers=headers)
        case stored.StoreUnusable():
            # Its text names folders of the server.
            logger.error("%s", error)
            return Problem("store-unusable")
        case DocumentInvalid():
            return _document_problem(error)
        case BlueprintInvalid(diagnostics=found):
            known = isinstance(error, NoBlueprint)
            code = "invalid-document" if known else "blueprint-invalid"
            return Problem(code, details={"findings": [one.to_json() for one in found]})
    return None


_UNREAD: Final = {"json": "not-json", "bundle": "invalid-bundle"}


def _document_problem(error: DocumentInvalid) -> Problem:
    where = {"place": error.place, "line": error.line, "column": error.column}
    details = {key: value for key, value in where.items() if value}
    if error.code == TOO_LARGE:
        return Problem("body-too-large", str(error))
    code = _UNREAD.get(error.code, "invalid-source")
    if error.kind == "unresolved-reference":
        code = "reference-in-document"
    return Problem(code, str(error), details=details or None)


def _texts(detail: Any, place: str = "") -> dict[str, list[str]]:
    """Return the texts of a validation error by the path of their field."""
    if isinstance(detail, Mapping):
        found: dict[str, list[str]] = {}
        for name, part in detail.items():
            found |= _texts(part, f"{place}.{name}" if place else str(name))
        return found
    if isinstance(detail, Iterable) and not isinstance(detail, str):
        return {place or "body": [str(one) for one in detail]}
    return {place or "body": [str(detail)]}
