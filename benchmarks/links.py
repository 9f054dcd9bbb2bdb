"""The links of a page: what a click, or the page by itself, asks the server for."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

# Of the admin's own parameters, those that only say where somebody came from or how a page is framed.
IGNORED = {"_changelist_filters", "_popup", "_to_field", "_facets", "e"}
_ATTRIBUTES = {"href", "hx-get", "data-hx-get"}


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "link":
            self.found += [value for name, value in attrs if name in _ATTRIBUTES and value]


def of_page(html: str, url: str) -> list[str]:
    """The addresses on this site that the page at `url` links to, each once, in their order on the page."""
    parser = _Links()
    parser.feed(html)
    found = (urlsplit(urljoin(url, link)) for link in parser.found)
    return list(dict.fromkeys(address(one.path, one.query) for one in found if not one.netloc and one.path))


def address(path: str, query: str = "", **more: str) -> str:
    """A path with its query in one order, and without what makes no difference."""
    values = {**dict(parse_qsl(query, keep_blank_values=True)), **more}
    kept = sorted((name, value) for name, value in values.items() if name not in IGNORED)
    return f"{path}?{urlencode(kept)}" if kept else path


def parameters(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
