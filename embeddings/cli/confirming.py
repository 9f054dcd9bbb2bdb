"""Nothing that deletes, stops or spends is done before somebody has said yes."""

from __future__ import annotations

from embeddings.cli.report import Options, Problem
from embeddings.cli.screen import Screen


def is_confirmed(question: str, options: Options, screen: Screen) -> bool:
    """Whether it is wanted: by --yes, or by the answer to the question. Raises Problem where nobody can be asked."""
    if options["yes"]:
        return True
    if not screen.is_interactive:
        why = "a program reads the answer" if screen.is_json else "there is no terminal to ask on"
        raise Problem(f"Nothing was done: {why}. Say --yes, or --dry-run to see what it would be.", "unconfirmed")
    return screen.ask(question)
