"""Take out of a server's message what nobody may read in a log or an admin page: keys, and the texts that were sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# As much of a message as is kept; the rest of the sentence around it fits 500 characters with it.
MAX_CHARACTERS = 250
# A stretch of a message this long that also stands in an input is an echo of the input, not chance.
ECHO_CHARACTERS = 16

_KEY = re.compile(r"\b(?:sk|pk|hf|gsk|xai)[-_][\w\-*.…•]{4,}|\b[Bb]earer\s+\S+")


@dataclass(frozen=True, slots=True)
class Redaction:
    """`secret` is the configured key (or empty); `texts` are the inputs of the request."""

    secret: str
    texts: Sequence[str]

    def apply(self, message: str) -> str:
        """`message` on one line, cut, with … for each key and each part of an input."""
        message = _on_one_line(message[: 8 * MAX_CHARACTERS])
        if self.secret:
            message = message.replace(self.secret, "…")
        message = self._without_texts(_KEY.sub("…", message))
        return message if len(message) <= MAX_CHARACTERS else f"{message[: MAX_CHARACTERS - 1]}…"

    def _without_texts(self, message: str) -> str:
        texts = [_on_one_line(text) for text in self.texts]
        for text in texts:
            if 4 <= len(text) < ECHO_CHARACTERS:
                message = message.replace(text, "…")
        sent = "\n".join(texts)
        kept: list[str] = []
        position = 0
        while position < len(message) and len(kept) <= MAX_CHARACTERS:
            echo = _echo_end(message, position, sent)
            kept.append("…" if echo else message[position])
            position = echo or position + 1
        return "".join(kept)


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _echo_end(message: str, start: int, sent: str) -> int:
    """Where the echo that starts at `start` ends; 0 if none starts there."""
    end = start + ECHO_CHARACTERS
    if end > len(message) or message[start:end] not in sent:
        return 0
    while end < len(message) and message[start : end + 1] in sent:
        end += 1
    return end
