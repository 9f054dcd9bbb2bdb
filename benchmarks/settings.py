"""The settings of the benchmarks: those of the tests, with two providers, and without what DEBUG costs."""
# ruff: noqa: F403, F405

from __future__ import annotations

from tests.settings import *

DEBUG = False
ALLOWED_HOSTS = ["*"]
DATABASES = {"default": DATABASES["default"]}
EMBEDDING_PROVIDERS = {**EMBEDDING_PROVIDERS, "second": EMBEDDING_PROVIDERS["default"]}
