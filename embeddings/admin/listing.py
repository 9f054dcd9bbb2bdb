"""Lists that are shown at once or not at all: nobody waits for a question that no index answers."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.admin.views.main import ChangeList
from django.db import Error as AnyDatabaseError
from django.http import HttpRequest

from embeddings import timeouts

# For each of the list's statements. All that have an index take some milliseconds.
SECONDS = 2.0


class BoundedChangeList(ChangeList):
    """The list of a page; empty, with a sentence that says what to do, if the database takes too long."""

    too_many = "The database did not find these in time: take a filter away, or try again in a moment."

    def get_results(self, request: HttpRequest) -> None:
        try:
            self._get_results_in_time(request)
        except AnyDatabaseError as exc:
            if not timeouts.is_timeout(exc):
                raise
            self.queryset, self.page_num = self.queryset.none(), 1
            super().get_results(request)
            messages.warning(request, self.too_many)

    def _get_results_in_time(self, request: HttpRequest) -> None:
        with timeouts.reading(SECONDS, self.queryset.db):
            super().get_results(request)
            self.result_list = list(self.result_list)
