"""What every route is made of: what it takes, and what the description says of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from drf_spectacular.authentication import SessionScheme
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from blueprints.api.problems import CODES, MEDIA_TYPE, Problem
from engine.flow.spelling import did_you_mean

LONGEST_WORD: Final = 64
ALWAYS: Final = ("invalid-request", "method-not-allowed")
EVERYWHERE: Final = (
    "host-unknown", "not-authenticated", "key-refused", "no-right", "not-acceptable",
)  # fmt: skip
WRITES: Final = ("csrf-failed", "not-json", "media-type", "body-too-large")
# What else a route answers that is about one Blueprint, or about one version.
ONE: Final = ("blueprint-unknown", "store-unusable")
VERSIONED: Final = (*ONE, "version-unknown", "version-ambiguous")
READING: Final = (*VERSIONED, "version-unreadable")
COMPILED: Final = (*READING, "blueprint-invalid")


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer that refuses fields it does not know."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the checked values; raises ValidationError."""
        if isinstance(data, Mapping):
            unknown = [str(name) for name in data if name not in self.fields]
            if unknown:
                hints = {
                    name: did_you_mean(name[:LONGEST_WORD], self.fields)
                    for name in unknown
                }
                raise serializers.ValidationError(
                    {
                        name: [
                            "There is no such field" + (f"; {hint}" if hint else ".")
                        ]
                        for name, hint in hints.items()
                    }
                )
        return super().to_internal_value(data)


class ProblemSerializer(serializers.Serializer[Any]):
    """The body of every error."""

    error = serializers.CharField(help_text="What is wrong, for people.")
    code = serializers.ChoiceField(
        choices=sorted(CODES), help_text="What is wrong, for programs; docs/errors.md."
    )
    hint = serializers.CharField(allow_null=True, help_text="What can be done.")
    details = serializers.JSONField(allow_null=True)


def route(
    summary: str,
    answers: Mapping[Any, Any],
    *,
    request: Any = None,
    query: type[StrictSerializer] = StrictSerializer,
    parameters: Sequence[OpenApiParameter] = (),
    problems: Sequence[str] = (),
    public: bool = False,
) -> Callable[[Any], Any]:
    """Return the decorator of a view's method that describes it.

    `problems` are the codes of its own, besides those that every route has.
    """
    codes = [*problems, *ALWAYS]
    if not public:
        codes += EVERYWHERE
    if request is not None:
        codes += WRITES
    given: list[Any] = list(parameters)
    if query is not StrictSerializer:
        given.append(query)
    described = extend_schema(
        summary=summary,
        request=request,
        parameters=given,
        responses={**answers, **problem_answers(codes)},
        **({"auth": []} if public else {}),
    )
    return lambda method: takes(query, body=request is not None)(described(method))


def takes(query: type[StrictSerializer], *, body: bool = False) -> Callable[[Any], Any]:
    """Return the decorator of a view's method that says what requests may have."""

    def mark(method: Any) -> Any:
        method.query, method.body = query, body
        return method

    return mark


class ApiView(APIView):
    """A view whose methods take what they declare and refuse everything else."""

    query: dict[str, Any]
    """The checked parameters of the query."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check who asks, then the query; raises ValidationError and Problem."""
        super().initial(request, *args, **kwargs)
        method: Any = getattr(self, str(request.method).lower(), None)
        if not hasattr(method, "query"):
            # The answer is 405.
            return
        self.query = checked_query(request, method.query)
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length != "0" and not method.body:
            details = {"fields": {"body": ["The route takes none."]}}
            raise Problem("invalid-request", details=details)


def problem_answers(codes: Sequence[str]) -> dict[tuple[int, str], OpenApiResponse]:
    """Return the responses with these codes, one for each status."""
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in dict.fromkeys(codes):
        by_status[CODES[code].status].append(code)
    return {
        (status, MEDIA_TYPE): OpenApiResponse(
            ProblemSerializer, description=", ".join(f"`{name}`" for name in names)
        )
        for status, names in sorted(by_status.items())
    }


def checked_query(
    request: Request, serializer: type[StrictSerializer]
) -> dict[str, Any]:
    """Return the checked parameters of a query; raises ValidationError."""
    sent = request.query_params
    twice = {
        name: ["It is given more than once."]
        for name, values in sent.lists()
        if len(values) > 1
    }
    if twice:
        raise serializers.ValidationError(twice)
    checked = serializer(data=sent.dict())
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


class Schema(AutoSchema):
    """Names each operation for its view, and groups them by their first noun."""

    def get_operation_id(self) -> str:
        """Return the method and the name of the view."""
        return f"{self.method.lower()}{type(self.view).__name__}"

    def get_tags(self) -> list[str]:
        """Return the noun, `server` for routes without one."""
        noun = self.path.removeprefix("/v1/").split("/")[0]
        return ["blueprints" if noun == "blueprints" else "server"]


class _KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "blueprints.api.authentication.KeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A key of `manage.py apikey create`.",
        }


class _SessionScheme(SessionScheme):  # type: ignore[no-untyped-call]
    target_class = "blueprints.api.authentication.BrowserAuthentication"
    name = "session"
