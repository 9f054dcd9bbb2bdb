from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from embeddings.conf import ProviderSettings
from embeddings.exceptions import ConfigurationError, InputTooLong, ProviderMisconfigured
from embeddings.providers import local
from embeddings.providers.local import LocalProvider


def local_provider(model_id: str = "l2_supercat_256", dimensions: int = 256) -> LocalProvider:
    return LocalProvider(ProviderSettings("default", "…", model_id, dimensions))


def run(code: str) -> str:
    """What a fresh interpreter prints, warnings being errors."""
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    command = [sys.executable, "-W", "error", "-c", code]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip() + finished.stderr.strip()


@pytest.fixture(scope="module")
def wordllama_model() -> Any:
    """The model as its package loads it."""
    package = local._import_wordllama()
    return package.WordLlama.load(cache_dir=Path(package.__file__).parent, disable_download=True)


@pytest.mark.parametrize("text", ["How do I reset my password?", "東京都", "x" * 500, " "])
def test_embed__is_the_mean_of_wordllamas_vectors_by_smooth_inverse_frequency(wordllama_model: Any, text: str) -> None:
    """Written out in plain numbers, a token at a time, from the paper's formula."""
    harmonic = math.fsum(1 / (rank + 2) for rank in range(len(wordllama_model.embedding)))
    ids = wordllama_model.tokenizer.encode(text, add_special_tokens=False).ids
    expected = np.zeros(256)
    for token in ids:
        expected += 0.001 / (0.001 + 1 / (token + 2) / harmonic) * wordllama_model.embedding[token].astype(float)
    expected /= math.sqrt(math.fsum(expected**2))

    vector = local_provider().embed([text]).vectors[0]

    assert np.abs(vector - expected).max() < 1e-6


def test_embed__frequent_words_count_less() -> None:
    rare, frequent, both = local_provider().embed(["subprocess", "and the", "subprocess and the"]).vectors

    assert both @ rare > 0.9 > 0.6 > both @ frequent


def test_embed__vectors_have_unit_length_and_single_precision() -> None:
    vectors = np.stack(local_provider().embed(["a", "a longer text " * 200, "\x00", "😀"]).vectors)

    assert vectors.dtype == np.float32
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-6


def test_embed__puts_near_what_means_the_same() -> None:
    question, answer, other = (
        local_provider()
        .embed(["How do I reset my password?", "Changing a forgotten password", "Bake the bread for forty minutes"])
        .vectors
    )

    assert question @ answer > question @ other + 0.2


@pytest.mark.parametrize("dimensions", [64, 128])
def test_embed__fewer_dimensions_are_the_first_of_all(dimensions: int) -> None:
    whole = local_provider().embed(["some text"]).vectors[0][:dimensions]

    shortened = local_provider(dimensions=dimensions).embed(["some text"]).vectors[0]

    assert np.abs(shortened - whole / np.linalg.norm(whole)).max() < 1e-6


@pytest.mark.parametrize(
    "text", [" ", "\n", "\t", "\x00", "\x1f", "\u200b", "\ufeff", "\u0301", "😀", "\U0010ffff", "[PAD]"]
)
def test_embed__every_text_has_a_vector(text: str) -> None:
    vector = local_provider().embed([text]).vectors[0]

    assert np.isfinite(vector).all()


def test_embed__tokens_are_counted() -> None:
    assert local_provider().embed(["a", "b c"]).tokens == 3


def test_embed__refuses_a_text_over_its_limit_without_looking_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_model", lambda: pytest.fail("the model saw the text"))

    with pytest.raises(InputTooLong, match="8192 tokens"):
        local_provider().embed(["short", "word " * 2_000_000])


def test_embed__a_long_text_costs_no_memory_for_its_neighbours() -> None:
    """wordllama's own batches pad 63 short texts to the long one, which takes 64 times its memory."""
    provider = local_provider()
    longest = "word " * 6500
    provider.prepare()

    alone = peak_bytes(lambda: provider.embed([longest]))
    together = peak_bytes(lambda: provider.embed([longest, *["short"] * 63]))

    assert together < 1.5 * alone


def peak_bytes(work: Callable[[], object]) -> int:
    """The most memory that `work` holds at once; numpy's arrays count."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_embed__does_not_keep_texts() -> None:
    provider = local_provider()
    provider.embed(["a text that loads all there is to load"])
    before = psutil.Process().memory_info().rss

    for start in range(0, 6_000, 500):
        provider.embed([f"{number} " * 30 for number in range(start, start + 500)])

    grown = psutil.Process().memory_info().rss - before
    assert grown < 15_000_000


@pytest.mark.parametrize(
    ("model_id", "dimensions", "message"), [("other", 256, "MODEL"), ("l2_supercat_256", 100, "64, 128")]
)
def test_init__says_what_to_set(model_id: str, dimensions: int, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        local_provider(model_id, dimensions)


def test_prepare__loads_once_for_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []
    model = local._model()

    def load() -> object:
        loads.append(threading.get_ident())
        time.sleep(0.05)
        return model

    monkeypatch.setattr(local, "_loaded", None)
    monkeypatch.setattr(local, "_load", load)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: local_provider().prepare(), range(8)))

    assert len(loads) == 1


def test_prepare__says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_loaded", None)
    monkeypatch.setitem(sys.modules, "wordllama", None)

    with pytest.raises(ProviderMisconfigured, match=r"pip install 'django-rq-embeddings\[local\]'"):
        local_provider().embed(["text"])

    assert not any(type(handler) is logging.NullHandler for handler in logging.getLogger().handlers)


def test_import__is_cheap() -> None:
    printed = run(
        "import sys, embeddings.providers.local; print({'wordllama', 'numpy', 'tokenizers'} & set(sys.modules))"
    )

    assert printed == "set()"


def test_prepare__leaves_the_hosts_logging_alone() -> None:
    printed = run(
        "import logging\n"
        "from embeddings.providers import local\n"
        "local._model()\n"
        "root = logging.getLogger()\n"
        "print(root.handlers, root.level == logging.WARNING)"
    )

    assert printed == "[] True"


def test_embed__after_a_fork_neither_hangs_nor_warns() -> None:
    printed = run(
        "import os, signal\n"
        "from embeddings.conf import ProviderSettings\n"
        "from embeddings.providers.local import LocalProvider\n"
        "provider = LocalProvider(ProviderSettings('default', '', 'l2_supercat_256', 256))\n"
        "texts = [f'text {number}' for number in range(500)]\n"
        "provider.embed(texts)\n"
        "if not os.fork():\n"
        "    signal.alarm(20)\n"
        "    os._exit(len(provider.embed(texts).vectors) != 500)\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]))"
    )

    assert printed == "0"


@pytest.mark.parametrize(("given", "kept"), [(None, "false"), ("true", "true")])
def test_prepare__starts_no_threads_of_the_tokenizers_own_unless_told(given: str | None, kept: str) -> None:
    printed = run(
        f"import os; given = {given!r}\n"
        "if given: os.environ['TOKENIZERS_PARALLELISM'] = given\n"
        "from embeddings.providers import local\n"
        "local._model()\n"
        "print(os.environ['TOKENIZERS_PARALLELISM'])"
    )

    assert printed == kept


def test_cost__is_nothing() -> None:
    assert local_provider().cost(1_000_000) == 0
