"""How a documented name of a library becomes a text, whether it was found in source code or in a compiled module."""

from __future__ import annotations

from dataclasses import dataclass

from project.content.kinds import Kind
from project.content.sources.text import MAX_NAME, MIN_CHARACTERS, Text, clean


@dataclass(frozen=True, slots=True)
class Documented:
    """A module, class, function or method with its documentation.

    `path` is the name inside the module ("Popen.communicate"), "" for the module itself; `signature` the
    parameters with their parentheses, or "".
    """

    module: str
    path: str
    signature: str
    docstring: str
    is_class: bool = False

    @property
    def name(self) -> str:
        return f"{self.module}.{self.path}" if self.path else self.module


def as_text(documented: Documented) -> Text | None:
    """The text of one name; None if its documentation says nothing.

    Its keywords are the words of the dotted name apart: PostgreSQL's parser takes "subprocess.run" for a host name,
    so that neither "subprocess" nor "run" would find it.
    """
    docstring = clean(documented.docstring)
    if len(docstring) < MIN_CHARACTERS or len(documented.name) > MAX_NAME:
        return None
    title = documented.name.removeprefix("builtins.")
    return Text(
        slug=documented.name,
        title=title,
        content=docstring,
        source=documented.module,
        kind=Kind.DOCUMENTATION,
        signature=clean(_signature(documented)),
        keywords=title.replace(".", " ") if "." in title else "",
    )


def _signature(documented: Documented) -> str:
    """Such as "run(*popenargs, input=None)" or "class Popen(args)"; "" for a module or a property."""
    if not documented.is_class and not documented.signature:
        return ""
    return f"{'class ' * documented.is_class}{documented.path}{documented.signature}"
