"""System checks: every misconfiguration has an id, one sentence, and a hint that is an edit or a command.

Those that need the database or Redis run with `manage.py check --database default` and in `migrate`.
"""

from __future__ import annotations

from embeddings.checks.chunking import check_chunking
from embeddings.checks.databases import check_databases
from embeddings.checks.settings import check_settings
from embeddings.checks.targets import check_targets

__all__ = ["check_chunking", "check_databases", "check_settings", "check_targets"]
