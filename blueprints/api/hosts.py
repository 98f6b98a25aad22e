"""Which host names are answered to: those of ALLOWED_HOSTS, and any by the health check."""

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.middleware.common import CommonMiddleware

from blueprints.api.pages import problem_page
from blueprints.api.problems import API

HEALTH = f"{API}healthz"


class HostCheck(CommonMiddleware):
    """Django's common middleware, which looks at no health check.

    A probe names the address of the machine as its host, which is in no list.
    """

    def process_request(  # type: ignore[override]
        self, request: HttpRequest
    ) -> HttpResponse | None:
        """Refuse a host that is not ours; raises DisallowedHost for a page."""
        if request.path_info == HEALTH:
            return None
        try:
            return super().process_request(request)
        except DisallowedHost:
            # Under DEBUG, Django's own answer is a page.
            if (answer := problem_page(request, "host-unknown")) is None:
                raise
            return answer
