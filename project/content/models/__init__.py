"""What the reference project embeds: the models of the five older systems, on one engine."""

from __future__ import annotations

from project.content.models.article import Article
from project.content.models.note import Note
from project.content.models.page import Block, Page, PageChunk, Workspace
from project.content.models.receipt import Receipt, ReceiptItem
from project.content.models.recommendation import Recommendation

__all__ = [
    "Article",
    "Block",
    "Note",
    "Page",
    "PageChunk",
    "Receipt",
    "ReceiptItem",
    "Recommendation",
    "Workspace",
]
