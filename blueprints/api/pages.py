"""Django's own error pages, as problems where the path is one of the API."""

from typing import Any

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

from blueprints.api.problems import API, Problem, response_of


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django refuses before a view sees it."""
    unknown = isinstance(exception, DisallowedHost)
    page = problem_page(request, "host-unknown" if unknown else "invalid-request")
    return page or defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a path without a view."""
    page = problem_page(request, "route-unknown")
    return page or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest, *args: Any) -> HttpResponse:
    """Answer a request on which a view has failed; the log has the cause."""
    return problem_page(request, "internal") or defaults.server_error(request)


def problem_page(request: HttpRequest, code: str) -> JsonResponse | None:
    """Return the problem as Django's response; None for a path that is not the API's."""
    if not request.path_info.startswith(API):
        return None
    return response_of(Problem(code))
