"""One model for each way to be embedded."""

from __future__ import annotations

import uuid
from decimal import Decimal

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Length
from pgvector.django import HnswIndex, VectorField

from embeddings.chunks import Chunk, Chunking
from embeddings.fields import EmbeddingField
from embeddings.managers import EmbeddingManager

DIMENSIONS = 256


class Post(models.Model):
    """The plain case: columns of its own."""

    title = models.CharField(max_length=200)
    body = models.TextField(blank=True, default="")
    views = models.IntegerField(default=0)
    embedding = EmbeddingField(source=["title", "body"], dimensions=DIMENSIONS)

    objects = EmbeddingManager()


class Essay(models.Model):
    """Words in a column of their own; an index on the vector."""

    title = models.CharField(max_length=200)
    body = models.TextField(blank=True, default="")
    author = models.ForeignKey("Author", models.CASCADE, null=True)
    luck = models.IntegerField(default=0)
    words = models.GeneratedField(
        expression=SearchVector("title", weight="A", config="english") + SearchVector("body", config="english"),
        output_field=SearchVectorField(),
        db_persist=True,
    )
    embedding = EmbeddingField(source=["title", "body"], dimensions=DIMENSIONS, words="words")

    objects = EmbeddingManager()

    class Meta:
        indexes = [
            GinIndex(fields=["words"], name="essay_words"),
            # The rows that a hybrid search finds by words alone, without reading all others.
            models.Index(fields=["id"], condition=models.Q(embedding__isnull=True), name="essay_waiting"),
            HnswIndex(fields=["embedding"], opclasses=["vector_cosine_ops"], name="essay_embedding"),
        ]


class PinnedPost(Post):
    """A proxy."""

    class Meta:
        proxy = True


class Memo(models.Model):
    """A UUID key; saves wait a little."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    text = models.TextField()
    embedding = EmbeddingField(source="text", dimensions=DIMENSIONS, half=True, delay=1)

    objects = EmbeddingManager()


class Word(models.Model):
    """A string key; only wanted rows are embedded."""

    word = models.CharField(max_length=50, primary_key=True)
    meaning = models.TextField()
    is_public = models.BooleanField(default=True)
    embedding = EmbeddingField(source="definition", dimensions=DIMENSIONS, when="is_wanted")

    def definition(self) -> str:
        if self.meaning == "broken":
            raise ValueError("no definition of this")
        return f"{self.word}: {self.meaning}"

    def is_wanted(self) -> bool:
        return self.is_public


class Place(models.Model):
    """A parent in multi-table inheritance."""

    name = models.CharField(max_length=100)
    embedding = EmbeddingField(source="name", dimensions=DIMENSIONS)


class Restaurant(Place):
    """A child with an embedding of its own, partly from its parent's table."""

    menu = models.TextField()
    menu_embedding = EmbeddingField(source=["name", "menu"], dimensions=DIMENSIONS)

    objects = EmbeddingManager()


class Author(models.Model):
    name = models.CharField(max_length=100)
    born = models.IntegerField(default=1900)


class Book(models.Model):
    """Text from a related object."""

    title = models.CharField(max_length=100)
    author = models.ForeignKey(Author, models.CASCADE, null=True)
    embedding = EmbeddingField(source=["title", "author.name"], dimensions=DIMENSIONS)


class Receipt(models.Model):
    """Two embeddings on one object."""

    merchant = models.CharField(max_length=100)
    text = models.TextField()
    merchant_embedding = EmbeddingField(source="merchant", dimensions=DIMENSIONS)
    text_embedding = EmbeddingField(source="text", dimensions=DIMENSIONS)

    objects = EmbeddingManager()


class Foreign(models.Model):
    """As in an app that one cannot edit: registered from outside, in this app's config."""

    words = models.TextField()
    vector = VectorField(dimensions=DIMENSIONS, null=True)


class Sender(models.Model):
    name = models.CharField(max_length=100)


class Parcel(models.Model):
    """For boxes: a UUID key, a unique value, a reference, and values that are not JSON's own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(unique=True)
    text = models.TextField(blank=True)
    sender = models.ForeignKey(Sender, models.CASCADE, null=True, blank=True)
    weight = models.DecimalField(max_digits=6, decimal_places=2, default=Decimal("1.50"))
    due_at = models.DateTimeField(null=True, blank=True)
    takes = models.DurationField(null=True, blank=True)
    seal = models.BinaryField(default=b"", blank=True)
    contents = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    rank = models.FloatField(null=True, blank=True)
    scan = models.FileField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    length = models.GeneratedField(expression=Length("text"), output_field=models.IntegerField(), db_persist=True)
    state = models.CharField(max_length=20, db_default="new")
    embedding = EmbeddingField(source=["text", "sender.name"], dimensions=DIMENSIONS)

    objects = EmbeddingManager()


class Doc(models.Model):
    """A long text, split into chunks."""

    title = models.CharField(max_length=200, blank=True, default="")
    content = models.TextField(blank=True, default="")
    views = models.IntegerField(default=0)
    chunking = Chunking(source="content", context="title", tokens=60, overlap=10)

    objects = EmbeddingManager()


class DocChunk(Chunk):
    doc = models.ForeignKey(Doc, models.CASCADE, related_name="chunks")
    embedding = EmbeddingField(source=["context", "text"], dimensions=DIMENSIONS)


class Course(models.Model):
    title = models.CharField(max_length=100)


class Chapter(models.Model):
    """Split from a related object's context, if at all; with a key of its own kind."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    course = models.ForeignKey(Course, models.CASCADE)
    text = models.TextField()
    note = models.TextField(blank=True, default="")
    is_public = models.BooleanField(default=True)
    passages = Chunking(source=["text", "note"], context="course.title", tokens=60, overlap=0, when="is_wanted")

    def is_wanted(self) -> bool:
        return self.is_public


class ChapterChunk(Chunk):
    chapter = models.ForeignKey(Chapter, models.CASCADE)
    embedding = EmbeddingField(source=["context", "text"], dimensions=DIMENSIONS)
