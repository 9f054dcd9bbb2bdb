"""Settings of the reference project. Every value that a deployment changes is an environment variable, read here."""

from __future__ import annotations

from pathlib import Path

import environ

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
