"""The admin of the reference project, one module a system."""

from __future__ import annotations

from project.content.admin import articles, notes, receipts

__all__ = ["articles", "notes", "receipts"]
