"""How often a user may make a provider work."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from embeddings import quotas


class SpendingThrottle(BaseThrottle):
    """For views that ask a provider: EMBEDDINGS["API_CALLS_PER_MINUTE"] a user, over all of them together.

    Each call counts as one, however much it asks for. Whoever may not call at all is refused before it is asked.
    """

    seconds = 0.0

    def allow_request(self, request: Request, view: APIView) -> bool:
        self.seconds = quotas.take_call(f"user {request.user.pk}")
        return not self.seconds

    def wait(self) -> float:
        return self.seconds
