"""The sample notes: what engineers write down."""

from __future__ import annotations

import tomllib
import uuid
from importlib import resources

from django.db.models import Q

from project.content.models import Note

# Keys are made from slugs, so that a sample is known again after somebody has given it another slug.
NAMESPACE = uuid.UUID("c3a4b1de-5c0b-4f6c-9f43-6a53fb0e2f3d")


def load() -> int:
    """Write those that are missing; returns how many. One whose key or slug is taken is there already."""
    notes = [Note(pk=uuid.uuid5(NAMESPACE, each["slug"]), **each) for each in _read()]
    present = Note.objects.filter(Q(pk__in=[note.pk for note in notes]) | Q(slug__in=[note.slug for note in notes]))
    taken = {value for row in present.values_list("pk", "slug") for value in row}
    missing = [note for note in notes if taken.isdisjoint({note.pk, note.slug})]
    Note.objects.bulk_create(missing)
    return len(missing)


def _read() -> list[dict[str, str]]:
    return tomllib.loads((resources.files("project.content") / "samples" / "notes.toml").read_text("utf-8"))["note"]
