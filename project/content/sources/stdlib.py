"""The standard library's documentation, read from its source code.

Nothing is imported: some modules open a browser, print, or warn when they are. A name is called what people call
it: `asyncio.run`, not `asyncio.runners.run`, when the package offers it so.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from project.content.sources import python_source
from project.content.sources.documented import Documented, as_text
from project.content.sources.python_source import Module
from project.content.sources.text import Text

# Not for reading: tests, programs, tables of characters, and what Python itself dropped long ago.
LEFT_OUT = {"__main__", "distutils", "encodings", "idlelib", "lib2to3", "pydoc_data", "test", "tests", "turtledemo"}

# (module, name in it) → the public module that offers the name.
Homes = dict[tuple[str, str], str]


def texts() -> Iterator[Text]:
    """A text for each documented public name: "subprocess", "subprocess.run", "subprocess.Popen.communicate"."""
    public = [module for name in sorted(_public_modules()) if (module := python_source.read(name))]
    homes = _homes(public)
    hidden = sorted({name for name, _ in homes} - {module.name for module in public})
    for module in [*public, *filter(None, map(python_source.read, hidden))]:
        for documented in _documented(module, homes):
            if text := as_text(documented):
                yield text


def _public_modules() -> Iterator[str]:
    for top in sys.stdlib_module_names:
        for name in python_source.modules_under(top):
            parts = name.split(".")
            if not LEFT_OUT.intersection(parts) and not any(part.startswith("_") for part in parts):
                yield name


def _documented(module: Module, homes: Homes) -> Iterator[Documented]:
    is_public = not _is_private(module.name)
    if is_public:
        yield Documented(module.name, "", "", module.docstring)
    for definition in module.definitions:
        home = homes.get((module.name, definition.head), module.name if is_public else None)
        if home:
            yield Documented(home, definition.path, definition.signature, definition.docstring, definition.is_class)


def _homes(public: list[Module]) -> Homes:
    """Where names are offered that are defined elsewhere; the shortest module name wins."""
    # Since Python 3.13 this one has no file of its own that says so.
    abstract = python_source.read("_collections_abc")
    homes = {("_collections_abc", name): "collections.abc" for name in (abstract.exports if abstract else ())}
    for module in sorted(public, key=lambda module: (-module.name.count("."), module.name)):
        for origin, names in module.imports:
            if _is_private(origin) or (module.is_package and origin.startswith(f"{module.name}.")):
                homes.update({(origin, name): module.name for name in _offered(module, origin, names)})
    return homes


def _offered(module: Module, origin: str, names: tuple[str, ...]) -> set[str]:
    source = python_source.read(origin)
    if source is None:
        return set()
    if names == ("*",):
        return set(source.exports) or {definition.head for definition in source.definitions}
    offered = set(names) if module.is_package and not module.exports else set(names) & module.exports
    return {name for name in offered if not name.startswith("_")}


def _is_private(module: str) -> bool:
    return any(part.startswith("_") for part in module.split("."))
