"""Every page of the app's admin: found by following links, as an operator does, and opened.

Nothing is listed by hand, so a page is found from the day on which it is there. `PageFinder.missed` names the address
patterns of which no page was found.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import quote
from django.http import HttpResponse
from django.test import Client
from django.urls import Resolver404, resolve, reverse

from benchmarks import links
from benchmarks.statements import Statement, recorded
from embeddings import registry

APP = "embeddings"
PAGE, ORDER, SEARCH = "p", "o", "q"
# The key in the address pattern of an object's page, and in the address.
KEY = re.compile("<[^>]+>")
OBJECT = re.compile("/[^/]+/(?=change/)")


@dataclass(frozen=True, slots=True)
class Opened:
    """A page, as it was answered, and the statements that it took."""

    url: str
    # Its address pattern; alike for pages of one kind.
    route: str
    response: HttpResponse
    statements: list[Statement]


class PageFinder:
    """Opens each page once, in the name of who is logged in to `client`.

    `alike`: how many of the pages that differ in values only (objects of a model, lists by one filter) are opened;
    `pairs`: how many lists by two filters, chosen at random but always the same.
    """

    def __init__(self, client: Client, *, alike: int = 6, pairs: int = 40) -> None:
        self._client = client
        self._most_alike = alike
        self._pairs = pairs
        self._home = reverse("admin:app_list", args=[APP])
        self._queue: deque[str] = deque()
        self._seen: set[str] = set()
        self._alike: Counter[tuple[Any, ...]] = Counter()
        self.routes: set[str] = set()

    def open_all(self) -> Iterator[Opened]:
        for url in self._beginnings():
            self._add(url)
        yield from self._open_queue()
        for url in self._pairs_of_filters():
            self._add(url)
        yield from self._open_queue()

    @property
    def missed(self) -> list[str]:
        """Address patterns of the app's admin of which no page was found."""
        return sorted({route for model_admin in _admins() for route, _ in _routes(model_admin)} - self.routes)

    def open(self, url: str) -> Opened:
        with recorded() as statements:
            response = self._client.get(url)
        return Opened(url, _route(url), response, statements)

    def _open_queue(self) -> Iterator[Opened]:
        while self._queue:
            page = self.open(self._queue.popleft())
            self.routes.add(page.route)
            for url in self._links(page):
                self._add_if_wanted(url)
            yield page

    def _beginnings(self) -> Iterator[str]:
        """Pages that stand by themselves, and the first and the last object of each model."""
        yield from (reverse("admin:index"), self._home)
        for model_admin in _admins():
            objects = model_admin.model._base_manager
            keys = {objects.order_by(order).values_list("pk", flat=True).first() for order in ("pk", "-pk")} - {None}
            for route, names in _routes(model_admin):
                if not names:
                    yield f"/{route}"
                elif len(names) == 1 and names.pop().endswith("_id"):
                    yield from (f"/{KEY.sub(quote(str(key)), route)}" for key in sorted(keys))
        for model in {target.model for target in registry.all_derived()} & set(admin.site._registry):
            for key in model._base_manager.order_by("pk").values_list("pk", flat=True)[:1]:
                yield reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_change", args=[quote(str(key))])

    def _links(self, page: Opened) -> Iterator[str]:
        """Where the page leads, and where whoever knows the admin's parameters can go from it."""
        path = urlsplit(page.url).path
        if page.response.status_code in {301, 302}:
            yield page.response["Location"]
        if page.response.status_code != 200 or not path.startswith(self._home) or page.response.streaming:
            return
        html = page.response.content.decode()
        yield from _one_of_each(links.of_page(html, page.url))
        if _is_list(page.route) and not links.parameters(page.url):
            columns = html.count('scope="col"')
            yield from (links.address(path, **{ORDER: str(number)}) for number in range(1, columns + 1))
            if 'id="searchbar"' in html:
                yield from (links.address(path, **{SEARCH: words}) for words in ("7", "no-such-object", "a b"))

    def _add_if_wanted(self, url: str) -> None:
        path = urlsplit(url).path
        if not path.startswith(self._home):
            return
        route = _route(url)
        names = links.parameters(url).keys()
        if not _is_list(route) and PAGE in names:  # where a list's later page leads, its first page leads
            return
        if _is_list(route) and (len(names - {PAGE}) > 1 or {PAGE, ORDER} <= names):
            return
        kind = (route, *sorted(names))
        if url not in self._seen and self._alike[kind] < self._most_alike:
            self._alike[kind] += 1
            self._add(url)

    def _add(self, url: str) -> None:
        if url not in self._seen:
            self._seen.add(url)
            self._queue.append(url)

    def _pairs_of_filters(self) -> list[str]:
        """Lists by two filters at once."""
        lists: dict[str, list[dict[str, str]]] = {}
        for url in sorted(self._seen):
            values = links.parameters(url)
            if _is_list(_route(url)) and len(values) == 1 and not values.keys() & {PAGE, ORDER}:
                lists.setdefault(urlsplit(url).path, []).append(values)
        pairs = [
            links.address(path, **one, **other)
            for path, filters in lists.items()
            for one, other in itertools.combinations(filters, 2)
            if not one.keys() & other.keys()
        ]
        return random.Random(1).sample(pairs, min(self._pairs, len(pairs)))


def _admins() -> list[ModelAdmin[Any]]:
    return [one for model, one in admin.site._registry.items() if model._meta.app_label == APP]


def _routes(model_admin: ModelAdmin[Any]) -> Iterator[tuple[str, set[str]]]:
    """(address pattern, names of its parts) of a model's pages."""
    for pattern in model_admin.get_urls():
        yield f"{_prefix(model_admin)}{pattern.pattern}", set(pattern.pattern.converters)


def _prefix(model_admin: ModelAdmin[Any]) -> str:
    return reverse("admin:app_list", args=[APP]).lstrip("/") + f"{model_admin.opts.model_name}/"


def _is_list(route: str) -> bool:
    return any(route == prefix for prefix in map(_prefix, _admins()))


def _one_of_each(urls: list[str]) -> list[str]:
    """Without all but the first of the objects' pages of a kind, and the middle pages of a list."""
    pages = sorted((int(number), url) for url in urls if (number := links.parameters(url).get(PAGE, "")).isdecimal())
    dropped = {url for number, url in pages[:-1] if number != 2 or len(links.parameters(url)) > 1}
    kinds: set[str] = set()
    for url in urls:
        if "/change/" in url:
            kind = OBJECT.sub("/", urlsplit(url).path)
            dropped |= {url} if kind in kinds else set()
            kinds.add(kind)
    return [url for url in urls if url not in dropped]


def _route(url: str) -> str:
    """The address pattern; "" where there is no page."""
    try:
        return resolve(urlsplit(url).path).route
    except Resolver404:
        return ""
