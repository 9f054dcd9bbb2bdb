"""System 004: receipts, each with two vectors, and their items, each with one."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MinValueValidator
from django.db import models
from django.urls import reverse

from embeddings.fields import EmbeddingField
from embeddings.managers import EmbeddingManager
from project.content.models.words import WordsField


class Receipt(models.Model):
    """What was bought where. `text` is all that is printed on it."""

    merchant = models.CharField(max_length=200)
    purchased_on = models.DateField()
    currency = models.CharField(max_length=3, default="EUR")
    total = models.DecimalField(max_digits=12, decimal_places=2, validators=[MinValueValidator(0)])
    text = models.TextField(blank=True)
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    words = WordsField("merchant", "text")
    merchant_embedding = EmbeddingField(source="merchant", dimensions=settings.EMBEDDING_DIMENSIONS)
    text_embedding = EmbeddingField(source="text", dimensions=settings.EMBEDDING_DIMENSIONS, words="words")

    objects = EmbeddingManager()

    class Meta:
        indexes = [GinIndex(fields=["words"], name="receipt_words")]

    def __str__(self) -> str:
        return f"{self.merchant}, {self.purchased_on}"

    def get_absolute_url(self) -> str:
        return reverse("receipt", args=[self.pk])


class ReceiptItem(models.Model):
    """A line of a receipt."""

    receipt = models.ForeignKey(Receipt, models.CASCADE, related_name="items")
    position = models.PositiveIntegerField(default=0)
    description = models.CharField(max_length=200)
    quantity = models.DecimalField(max_digits=10, decimal_places=3, default=1, validators=[MinValueValidator(0)])
    price = models.DecimalField(max_digits=12, decimal_places=2)
    words = WordsField("description")
    embedding = EmbeddingField(source="description", dimensions=settings.EMBEDDING_DIMENSIONS, words="words")

    objects = EmbeddingManager()

    class Meta:
        ordering = ["receipt", "position", "pk"]
        indexes = [GinIndex(fields=["words"], name="receiptitem_words")]

    def __str__(self) -> str:
        return self.description
