"""The addresses that load balancers, orchestrators and monitors ask; nobody has to log in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse
from health_check.views import HealthCheckView

from embeddings.monitoring.access import may_see_details
from embeddings.monitoring.health_checks import Check, Database, Process, Providers, Queue, Redis, Workers


class Health(HealthCheckView):  # type: ignore[misc]
    """200 where all is well, else 500; as text, or as the package offers it (?format=json, text, openmetrics)."""

    has_details = True
    # Whether who asks may know more than a word.
    is_detailed = False

    async def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.is_detailed = self.has_details and await may_see_details(request)
        try:
            response: HttpResponse = await super().get(request, *args, **kwargs)
        except ValueError:  # of an Accept header that makes no sense
            is_bad = any(result.error for result in self.results)
            response = self.render_to_response({}, status=500 if is_bad else 200)
        response._has_been_logged = True  # type: ignore[attr-defined]  # else Django mails ADMINS at every probe
        return response

    def get_checks(self) -> Iterator[Check]:
        for check in self.checks:
            yield check(is_detailed=self.is_detailed)

    def render_to_response(self, context: dict[str, Any], status: int = 200, **kwargs: Any) -> HttpResponse:
        """Plain text: the package's page would need its app, and its templates, installed."""
        response: HttpResponse = self.render_to_response_text(status)
        return response


class Live(Health):
    """The process answers. Neither the database nor Redis is asked."""

    checks = (Process,)
    has_details = False


class Ready(Health):
    """It can serve: the database and Redis answer."""

    checks = (Database, Redis)


class Full(Health):
    """All of it works."""

    checks = (Database, Redis, Workers, Providers, Queue)
