"""The settings of the tests: the reference project's own, on the servers of the test session."""
# ruff: noqa: E402, F403, F405

from __future__ import annotations

import os

from tests import services

# Here, because pytest-django reads the settings before any conftest.py or fixture could start a server.
services.start()

# Tests choose their provider; what a developer has exported for `make up` must not change their results.
os.environ["EMBEDDING_PROVIDER"] = "dummy"
for name in (
    "EMBEDDING_MODEL",
    "EMBEDDING_DIMENSIONS",
    "EMBEDDING_REQUESTS_PER_MINUTE",
    "EMBEDDING_TOKENS_PER_MINUTE",
):
    os.environ.pop(name, None)

from project.settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "tests.testapp"]
DATABASES = {
    "default": DATABASES["default"],
    "other": {**DATABASES["default"], "NAME": "other"},
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Static files come from the apps themselves, as nobody has collected them.
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = True
