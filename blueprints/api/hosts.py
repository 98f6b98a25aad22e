"""Which host names are answered to: those of ALLOWED_HOSTS, and any by the health check."""

from django.http import HttpRequest, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware

from blueprints.api.problems import API

HEALTH = f"{API}healthz"


class HostCheck(CommonMiddleware):
    """Django's common middleware, which looks at no health check.

    A probe names the address of the machine as its host, which is in no list.
    """

    def process_request(
        self, request: HttpRequest
    ) -> HttpResponsePermanentRedirect | None:
        """Refuse a host that is not ours; raises DisallowedHost."""
        if request.path_info == HEALTH:
            return None
        return super().process_request(request)
