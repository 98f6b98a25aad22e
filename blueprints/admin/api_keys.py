"""Admin page: API keys."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from blueprints.admin.base import HistoryAdmin
from blueprints.command_line import counted_as
from blueprints.models.api_keys import ApiKey, Right
from blueprints.services.api_keys import api_key_issue, api_key_revoke, check_key_name
from engine.blueprint_store import InputRefused

ASKED = ["name", "scopes", "expires_at"]
SHOWN = [
    *("prefix", "name", "user", "scopes", "state", "created_at", "expires_at"),
    *("last_used_at", "revoked_at"),
]


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """What is asked for a new key."""

    scopes = forms.MultipleChoiceField(
        choices=[(right.value, right.value) for right in Right],
        widget=forms.CheckboxSelectMultiple,
        initial=[Right.VIEW.value],
    )

    def clean_name(self) -> str:
        """Return the name; raise ValidationError for one that can be no author's."""
        name: str = self.cleaned_data["name"].strip()
        try:
            check_key_name(name)
        except InputRefused as error:
            raise forms.ValidationError(f"It {error.rule}.") from None
        return name


@admin.register(ApiKey)
class ApiKeyAdmin(HistoryAdmin):
    """The API keys: they are made and revoked here, and a key is shown once.

    Who is no superuser makes keys for itself only.
    """

    form = ApiKeyForm
    actions = ["revoke"]
    list_display = [*SHOWN[:5], "created_at", "last_used_at"]
    list_select_related = ["user"]
    search_fields = ["prefix", "name", "user__username"]

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Return whether the person may make keys."""
        return bool(request.user.has_perm("blueprints.add_apikey"))

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Return whether the person may revoke keys."""
        return bool(request.user.has_perm("blueprints.change_apikey"))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return what is asked for a new key or shown of one that there is."""
        if obj is not None:
            return SHOWN
        return [*ASKED, "user"] if request.user.is_superuser else ASKED

    def save_model(
        self, request: HttpRequest, obj: Any, form: Any, change: bool
    ) -> None:
        """Make the key."""
        if not request.user.is_superuser:
            obj.user = request.user
        obj.text = api_key_issue(obj)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Answer the key itself, instead of sending it on in a cookie or a session."""
        context = {
            **self.admin_site.each_context(request),
            "title": "The new API key",
            "key": obj,
            "text": obj.text,
        }
        return TemplateResponse(
            request, "admin/blueprints/apikey/created.html", context
        )

    @admin.action(description="Revoke the selected keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Revoke keys for good."""
        revoked = sum(api_key_revoke(key.prefix) for key in queryset)
        text = f"{counted_as(revoked, 'key')} revoked."
        self.message_user(request, text, messages.SUCCESS)
