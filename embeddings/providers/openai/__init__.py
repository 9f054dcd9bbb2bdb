"""Vectors from OpenAI, or from any server that speaks its embeddings protocol."""

from __future__ import annotations

from embeddings.providers.openai.provider import OpenAIProvider

__all__ = ["OpenAIProvider"]
