"""Routes about the server itself: health, set-up, the description of the API."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponseBase
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiJsonRenderer2
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer, StaticHTMLRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from blueprints.api.openapi import ApiView, StrictSerializer, route, takes
from blueprints.api.problems import Problem
from blueprints.models.api_keys import Right
from blueprints.selectors.blueprints import blueprint_list

DISTRIBUTION: Final = "swarm-runtime"


class PlainTextRenderer(StaticHTMLRenderer):
    """Answers a text as it is."""

    media_type = "text/plain"
    format = "text"


class Health(ApiView):
    """Whether this process answers; open to all, and says nothing else."""

    authentication_classes: list[type[BaseAuthentication]] = []
    permission_classes: list[type[BasePermission]] = []
    renderer_classes = [PlainTextRenderer]

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        """Choose the one form there is, whatever a probe accepts."""
        chosen: tuple[BaseRenderer, str] = super().perform_content_negotiation(
            request, force=True
        )
        return chosen

    @route("Answer `ok`", {(200, "text/plain"): str}, public=True)
    def get(self, request: Request) -> Response:
        """Answer `ok`: this process serves requests."""
        return Response("ok")


class DoctorSerializer(serializers.Serializer[Any]):
    """How this server is set up; null for what it does not have."""

    server_version = serializers.CharField()
    bind = serializers.CharField()
    blueprint_backend = serializers.CharField()
    blueprint_store_root = serializers.CharField(allow_null=True)
    blueprint_ref_base = serializers.CharField(allow_null=True)
    enhance_flow_enabled = serializers.BooleanField()
    legacy_worker_binding_policy = serializers.CharField()
    seed_blueprint_id = serializers.CharField(allow_null=True)
    check_policy = serializers.CharField(allow_null=True)
    registered_blueprint_ids = serializers.ListField(child=serializers.CharField())
    registered_blueprint_count = serializers.IntegerField()


class Doctor(ApiView):
    """How this server is set up."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}

    @route("Tell how this server is set up", {200: DoctorSerializer})
    def get(self, request: Request) -> Response:
        """Answer the settings that matter to clients, and the ids of all Blueprints."""
        ids = list(blueprint_list(archived=None).values_list("id", flat=True))
        return Response(
            {
                "server_version": version(DISTRIBUTION),
                "bind": settings.SWARM_BIND,
                "blueprint_backend": "git",
                "blueprint_store_root": settings.SWARM_BLUEPRINTS,
                # A document that refers to files is refused.
                "blueprint_ref_base": None,
                "enhance_flow_enabled": False,
                "legacy_worker_binding_policy": settings.SWARM_LEGACY_WORKER_BINDING,
                "seed_blueprint_id": None,
                "check_policy": None,
                "registered_blueprint_ids": ids,
                "registered_blueprint_count": len(ids),
            }
        )


class Description(ApiView, SpectacularAPIView):
    """The description of the API."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}
    renderer_classes = [OpenApiJsonRenderer, OpenApiJsonRenderer2]

    @takes(StrictSerializer)
    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Answer the OpenAPI 3 description of all routes."""
        return super().get(request, *args, **kwargs)


class ExplorerQuery(StrictSerializer):
    """Whether the page itself is asked for, or its script."""

    script = serializers.CharField(required=False, allow_blank=True)


class Explorer(ApiView, SpectacularSwaggerSplitView):
    """The page on which people read the description and try routes."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}
    url_name = "openapi"
    url_self = None

    @takes(ExplorerQuery)
    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Answer the page, or its script; nothing of it is from another site."""
        return super().get(request, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> HttpResponseBase:
        """Send people who are not logged in to the page where they do."""
        nobody = isinstance(exc, APIException) and exc.status_code == 401
        if nobody and not isinstance(exc, Problem):
            return redirect_to_login(self.request.get_full_path())
        response: HttpResponseBase = super().handle_exception(exc)
        return response


class Unknown(APIView):
    """Every path below /v1 that is no route."""

    authentication_classes: list[type[BaseAuthentication]] = []
    permission_classes: list[type[BasePermission]] = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Answer any method: the path is wrong, not the method."""
        raise Problem("route-unknown", f"There is no route {request.path}.")
