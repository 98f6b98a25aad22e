"""What the OpenAPI description says of a route, and what checks its parameters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from blueprints.api.problems import CODES, MEDIA_TYPE
from engine.flow.json_text import Json
from engine.flow.spelling import hint_at

LONGEST_WORD: Final = 64
EVERYWHERE: Final = (
    "not-authenticated", "key-refused", "no-right", "not-acceptable", "invalid-request",
)  # fmt: skip
WRITES: Final = ("csrf-failed", "not-json", "media-type", "body-too-large")
IF_MATCH: Final = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The commit that must be the head, as the ETag of a head has it; `*` for"
    " any head. Without it the change follows whatever head there is.",
)


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer that refuses fields it does not know."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the checked values; raises ValidationError."""
        if isinstance(data, Mapping):
            unknown = {
                str(name): [
                    f"There is no such field. {hint_at(str(name)[:LONGEST_WORD], self.fields)}"
                ]
                for name in data
                if name not in self.fields
            }
            if unknown:
                raise serializers.ValidationError(unknown)
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
    query: type[StrictSerializer] | None = None,
    parameters: Sequence[OpenApiParameter] = (),
    problems: Sequence[str] = (),
    public: bool = False,
    **more: Any,
) -> Callable[[Any], Any]:
    """Return the decorator of a view's method that describes it.

    `problems` are the codes of its own, besides those that every route has.
    """
    codes = [*problems, "method-not-allowed"]
    if not public:
        codes += EVERYWHERE
    if request is not None:
        codes += WRITES
    given: list[Any] = [*parameters, *([query] if query else [])]
    return extend_schema(
        summary=summary,
        request=request,
        parameters=given or None,
        responses={**answers, **problem_answers(codes)},
        **({"auth": []} if public else {}),
        **more,
    )


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


def query_of(request: Request, serializer: type[StrictSerializer]) -> dict[str, Json]:
    """Return the checked parameters of a query; raises ValidationError."""
    checked = serializer(data=request.query_params.dict())
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


class _SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "blueprints.api.authentication.BrowserAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
