"""The vectors that the server gives, which tests can compute too."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]

# Models by name: their full dimensions, and whether a request may ask for fewer.
MODELS = {
    "text-embedding-3-small": (1536, True),
    "text-embedding-3-large": (3072, True),
    "text-embedding-ada-002": (1536, False),
    "all-minilm": (384, False),
}


@lru_cache(maxsize=50_000)
def expected_vector(text: str | tuple[int, ...], model: str, dimensions: int | None = None) -> Vector:
    """The unit vector of a text (or of a list of token numbers): the first `dimensions` numbers of the full one."""
    full, _ = MODELS[model]
    seed = f"{model}\0{text if isinstance(text, str) else json.dumps(text)}"
    stream = hashlib.shake_128(seed.encode(errors="surrogatepass")).digest(2 * full)
    numbers = np.frombuffer(stream, dtype="<i2")[: dimensions or full].astype(np.float32)
    vector: Vector = numbers / np.linalg.norm(numbers)
    return vector
