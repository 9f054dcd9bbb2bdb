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

    Its content starts with a line that has the words of the dotted name apart: PostgreSQL's parser takes
    "subprocess.run" for a host name, so that neither "subprocess" nor "run" would find it.
    """
    docstring = clean(documented.docstring)
    if len(docstring) < MIN_CHARACTERS or len(documented.name) > MAX_NAME:
        return None
    return Text(
        slug=documented.name,
        title=documented.name.removeprefix("builtins."),
        content=f"{clean(_heading(documented))}\n\n{docstring}",
        source=documented.module,
        kind=Kind.DOCUMENTATION,
    )


def _heading(documented: Documented) -> str:
    if not documented.path:
        return f"{documented.module} module"
    owner, _, name = documented.path.rpartition(".")
    what = "class " if documented.is_class else ""
    return f"{' '.join(filter(None, [documented.module, owner]))}: {what}{name}{documented.signature}"
