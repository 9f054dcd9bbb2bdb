"""The admin of the reference project, one module a system."""

from __future__ import annotations

from project.content.admin import articles, notes, pages, receipts, recommendations

__all__ = ["articles", "notes", "pages", "receipts", "recommendations"]
