"""The routes of the API, below /v1/."""

from django.urls import path, re_path, register_converter
from django.urls.converters import StringConverter

from blueprints.api import (
    agents,
    aliases,
    blueprints,
    bundles,
    documents,
    events,
    server,
    versions,
)


class NameConverter(StringConverter):
    """A part of a path that may be a name; control characters are in none."""

    regex = r"[^/\x00-\x1f\x7f]{1,200}"


register_converter(NameConverter, "name")

urlpatterns = [
    path("healthz", server.Health.as_view(), name="healthz"),
    path("doctor", server.Doctor.as_view(), name="doctor"),
    path("openapi.json", server.Description.as_view(), name="openapi"),
    path("docs", server.Explorer.as_view(), name="docs"),
    path("lint", documents.Lint.as_view(), name="lint"),
    path("build", documents.Build.as_view(), name="build"),
    path("blueprints", blueprints.Blueprints.as_view()),
    *(
        path(f"blueprints/<name:id>{rest}", view.as_view())
        for rest, view in (
            ("", blueprints.OneBlueprint),
            ("/head", blueprints.Head),
            ("/history", versions.History),
            ("/versions", versions.Versions),
            ("/versions/<name:version>", versions.OneVersion),
            ("/diff", versions.Diff),
            ("/blame", versions.Blame),
            ("/events", events.Events),
            ("/rollback", blueprints.Rollback),
            ("/unarchive", blueprints.Unarchive),
            ("/export", bundles.Export),
            ("/import", bundles.Import),
            ("/aliases", aliases.Aliases),
            ("/aliases/<name:alias>", aliases.OneAlias),
            ("/binding-requirements", agents.BindingRequirements),
            ("/agents/explain", agents.ExplainAgents),
            ("/agents/<name:agent>/explain", agents.ExplainAgent),
        )
    ),
    re_path(r"^.*$", server.Unknown.as_view(), name="unknown"),
]
