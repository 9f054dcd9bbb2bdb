"""The sample recommendations, for people who write Python."""

from __future__ import annotations

import tomllib
from pathlib import Path

from project.content.models import Recommendation

FILE = Path(__file__).parents[1] / "samples" / "recommendations.toml"


def load() -> int:
    """Write them where there are no recommendations yet; returns how many. What people edit or delete stays so."""
    if Recommendation.objects.exists():
        return 0
    samples = tomllib.loads(FILE.read_text(encoding="utf-8"))["recommendations"]
    return len(Recommendation.objects.bulk_create(Recommendation(**sample) for sample in samples))
