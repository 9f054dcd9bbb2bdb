"""The settings of worker processes whose Redis is found through a Sentinel."""
# ruff: noqa: F403

from __future__ import annotations

import json
import os

from tests.worker_settings import *

RQ_QUEUES = json.loads(os.environ["TEST_QUEUES"])
