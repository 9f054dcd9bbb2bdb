"""`manage.py embeddings …`: a surface like the admin and the API. Parse, make one call, report counts.

parsing, report, screen, running    what all subcommands share
selection, confirming, waiting      which tasks are meant, whether it is wanted, until it is done
the rest                            the subcommands, by family
"""

from __future__ import annotations

from embeddings.cli import (
    bulk,
    checking,
    cleaning,
    counts,
    failed,
    figures,
    history,
    in_hand,
    pausing,
    pinging,
    progress,
    standing,
    workforce,
)
from embeddings.cli.report import Subcommand

# In the order of the help.
_FAMILIES = (
    standing,
    counts,
    figures,
    workforce,
    history,
    failed,
    in_hand,
    progress,
    bulk,
    pausing,
    cleaning,
    checking,
    pinging,
)
SUBCOMMANDS: dict[str, Subcommand] = {one.name: one for family in _FAMILIES for one in family.SUBCOMMANDS}
