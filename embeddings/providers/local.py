"""Vectors from wordllama's small model, inside this process: no key, no network, nothing to download."""

from __future__ import annotations

import logging
import os
import threading
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embeddings.batching import estimate_tokens
from embeddings.conf import ProviderSettings
from embeddings.exceptions import ConfigurationError, InputRejected, InputTooLong, ProviderMisconfigured
from embeddings.providers.base import Embedded, Provider, refuse_unusable

MODEL_ID = "l2_supercat_256"
# `a` in the weight a / (a + p) of a token of probability p: what the paper named below finds best (1e-3 to 1e-4).
SMOOTHING = 1e-3
# The model was trained so that a vector's first 64 or 128 numbers are a good shorter vector (Matryoshka).
DIMENSIONS = (64, 128, 256)
# Token vectors that are averaged at once: 2 MB at 256 dimensions, which stay in a processor's cache.
TOKENS_AT_ONCE = 2048


class LocalProvider(Provider):
    """wordllama's static token vectors, averaged by weight: about 25,000 texts of 100 characters a second on one core.

    A token that is everywhere ("the", "and") says little, so it weighs less: smooth inverse frequency (Arora, Liang
    and Ma, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", ICLR 2017), where Zipf's law stands in for
    counts, because a tokenizer numbers its tokens roughly by frequency. What it is worth here, measured:
    docs/decisions/0005-local-model-weights.md.

    The averaging is done here, a text at a time, and not by `WordLlama.embed`, which pads every group of 64 texts to
    its longest: measured on 4,096 docstrings of 542 characters on average, that takes 3.9 s, sorted by length first
    3.2 s, and 0.8 s without padding. It also keeps a vector the same whatever its neighbours are.
    """

    max_inputs = 1024

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        where = f"EMBEDDING_PROVIDERS[{self.alias!r}]"
        if self.model_id != MODEL_ID:
            raise ConfigurationError(f"{where}: LocalProvider has one model, set MODEL to {MODEL_ID!r}.")
        if self.dimensions not in DIMENSIONS:
            raise ConfigurationError(
                f"{where}: LocalProvider makes vectors of 64, 128 or 256 dimensions, not {self.dimensions}; "
                "set DIMENSIONS to one of them."
            )

    def prepare(self) -> None:
        """Load the model (0.8 s and 60 MB, once a process); raises ProviderMisconfigured if it is not installed."""
        _model()

    def embed(self, texts: Sequence[str]) -> Embedded:
        """n texts → n float32 arrays of unit length. `tokens` is exact.

        Raises InputTooLong for a text over `max_input_tokens`, InputRejected for one that has no meaning to the model.
        """
        refuse_unusable(texts)
        if any(estimate_tokens(text) > self.max_input_tokens for text in texts):
            raise InputTooLong(f"An input is longer than about {self.max_input_tokens} tokens.")
        if not texts:
            return Embedded([], 0)
        model = _model()
        encodings = model.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        token_ids = [encoding.ids for encoding in encodings]
        token_vectors = model.token_vectors[:, : self.dimensions]
        return Embedded(_mean_directions(token_vectors, token_ids), sum(map(len, token_ids)))

    def cost(self, tokens: int) -> float:
        """Nothing: it runs on this machine."""
        return 0.0


def _mean_directions(token_vectors: Any, token_ids: Sequence[Sequence[int]]) -> list[Any]:
    """n texts' token ids → n vectors of unit length. A text's vector does not depend on its neighbours.

    Texts with as many tokens are averaged together. One by one, each few microseconds of arithmetic hand the
    interpreter to the worker's other thread and wait to get it back.
    """
    import numpy as np

    by_length: dict[int, list[int]] = defaultdict(list)
    for position, ids in enumerate(token_ids):
        by_length[len(ids)].append(position)
    vectors: list[Any] = [None] * len(token_ids)
    for length, positions in by_length.items():
        at_once = max(1, TOKENS_AT_ONCE // max(1, length))
        for start in range(0, len(positions), at_once):
            part = positions[start : start + at_once]
            rows = np.array([token_ids[position] for position in part], dtype=np.intp)
            for position, vector in zip(part, _directions(token_vectors[rows].sum(axis=1)), strict=True):
                vectors[position] = vector
    return vectors


def _directions(totals: Any) -> Any:
    """(n, dimensions) → the same at unit length."""
    import numpy as np

    lengths = np.sqrt(np.einsum("ij,ij->i", totals, totals))
    # No text is known that gives no tokens (unknown characters become bytes) or vectors that cancel out, but a vector
    # of length 0 has no direction and would be stored as NaN.
    if not lengths.all():
        raise InputRejected("An input has no known word, so it has no vector.")
    return totals / lengths[:, np.newaxis]


@dataclass(frozen=True, slots=True)
class Model:
    """A tokenizer that does not pad, and the weighted vector of each of its tokens: (tokens, 256), float32."""

    tokenizer: Any
    token_vectors: Any


_load_once = threading.Lock()
_loaded: Model | None = None


def _model() -> Model:
    """The model of this process; a child process inherits its parent's."""
    global _loaded
    if _loaded is None:
        with _load_once:
            if _loaded is None:
                _loaded = _load()
    return _loaded


def _load() -> Model:
    # The tokenizer's own threads do not survive a fork, which an RQ worker may do after use, and cost a fifth more
    # processor time in all; a worker has threads of its own. Whoever sets the variable knows better.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    wordllama = _import_wordllama()
    try:
        model = wordllama.WordLlama.load(
            cache_dir=Path(wordllama.__file__).parent,  # where the wheel keeps its tokenizer
            disable_download=True,
        )
    except OSError as exc:
        raise ProviderMisconfigured(
            "The installed wordllama has no model files; reinstall it: "
            "pip install --force-reinstall 'django-rq-embeddings[local]'."
        ) from exc
    model.tokenizer.no_padding()
    _forget_texts(model.tokenizer)
    return Model(model.tokenizer, model.embedding * _weights(len(model.embedding)))


def _forget_texts(tokenizer: Any) -> None:
    """Switch off the tokenizer's memory of words. This model's words are whole texts, which hardly ever come again.

    It keeps 10,000 of up to 256 characters: measured with texts of 100, 45 MB in a process with one thread and 80 in
    one with several, and no time is lost without.
    """
    with suppress(AttributeError):  # a version that has no such method
        tokenizer.model._resize_cache(0)


def _weights(tokens: int) -> Any:
    """The weight of each token id, (tokens, 1): a / (a + p), p being Zipf's probability of the token of that rank."""
    import numpy as np

    probabilities = 1 / np.arange(2, tokens + 2)
    probabilities /= probabilities.sum()
    return (SMOOTHING / (SMOOTHING + probabilities)).astype(np.float32)[:, np.newaxis]


def _import_wordllama() -> Any:
    """Import wordllama, which configures the root logger unless that has a handler: lend it one."""
    root, placeholder = logging.getLogger(), logging.NullHandler()
    root.addHandler(placeholder)
    try:
        import wordllama
    except ImportError as exc:
        raise ProviderMisconfigured(
            "LocalProvider needs wordllama: pip install 'django-rq-embeddings[local]'."
        ) from exc
    finally:
        with suppress(ValueError):  # gone, if the host configured its logging meanwhile
            root.removeHandler(placeholder)
    return wordllama
