"""Receipts with their items, as they are read, written and uploaded."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from rest_framework import serializers

from project.content.api.statuses import StatusField, attach_statuses
from project.content.models import Receipt, ReceiptItem

MAX_ITEMS = 500


class ReceiptItemSerializer(serializers.ModelSerializer):
    """A line of a receipt. In a change, `id` says which line is meant; a line without one is new."""

    id = serializers.IntegerField(required=False)
    embedding = StatusField()

    class Meta:
        model = ReceiptItem
        fields = ("id", "description", "quantity", "price", "embedding")


class ReceiptSerializer(serializers.ModelSerializer):
    """A receipt. `items` are all of its lines in their order: a line that a change leaves out is deleted."""

    items = ReceiptItemSerializer(many=True, required=False, max_length=MAX_ITEMS)
    uploaded_by = serializers.SerializerMethodField(help_text="The name of a user; null if a program added it.")
    url = serializers.CharField(source="get_absolute_url", read_only=True)
    merchant_embedding = StatusField("merchant_embedding")
    text_embedding = StatusField("text_embedding")

    class Meta:
        model = Receipt
        fields = (
            "id",
            "merchant",
            "purchased_on",
            "currency",
            "total",
            "text",
            "items",
            "uploaded_by",
            "created_at",
            "url",
            "merchant_embedding",
            "text_embedding",
        )

    def get_uploaded_by(self, receipt: Receipt) -> str | None:
        return receipt.uploaded_by and receipt.uploaded_by.get_username()

    def validate_items(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Lines of a new receipt have no ids; those of a changed one are its own, each once."""
        ids = [item["id"] for item in items if "id" in item]
        known = set() if self.instance is None else set(self.instance.items.values_list("pk", flat=True))
        if strange := [str(each) for each in ids if each not in known]:
            raise serializers.ValidationError(f"This receipt has no lines with the ids {', '.join(strange)}.")
        if len(ids) != len(set(ids)):
            raise serializers.ValidationError("A line is named twice by its id.")
        if self.partial and any({"description", "price"} - item.keys() for item in items if "id" not in item):
            raise serializers.ValidationError("A new line needs a description and a price.")
        return items

    def to_representation(self, instance: Receipt) -> dict[str, Any]:
        items = list(instance.items.all())
        if items and not hasattr(items[0], "embedding_statuses"):
            attach_statuses(items)
        return super().to_representation(instance)

    @transaction.atomic
    def create(self, validated_data: dict[str, Any]) -> Receipt:
        items = validated_data.pop("items", [])
        receipt = super().create(validated_data)
        _write_items(receipt, items)
        return receipt

    @transaction.atomic
    def update(self, instance: Receipt, validated_data: dict[str, Any]) -> Receipt:
        items = validated_data.pop("items", None)
        receipt = super().update(instance, validated_data)
        if items is not None:
            _write_items(receipt, items)
        return receipt


def _write_items(receipt: Receipt, items: list[dict[str, Any]]) -> None:
    """Make these the receipt's lines, and write only those that differ."""
    present = {item.pk: item for item in receipt.items.all()}
    receipt.items.exclude(pk__in=[values["id"] for values in items if "id" in values]).delete()
    for position, values in enumerate(items):
        item = present.get(values.get("id")) or ReceiptItem(receipt=receipt)
        changed = {name: value for name, value in {**values, "position": position}.items() if name != "id"}
        if item.pk is None or any(getattr(item, name) != value for name, value in changed.items()):
            for name, value in changed.items():
                setattr(item, name, value)
            item.save()
