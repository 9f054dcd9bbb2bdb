from __future__ import annotations

from django.db import models


class Kind(models.TextChoices):
    """Where an article came from. The loader owns all of them but the last."""

    DOCUMENTATION = "documentation", "Library documentation"
    REFERENCE = "reference", "Language reference"
    README = "readme", "README"
    WRITTEN = "written", "Written by hand"
