from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest

from project.content.admin.listing import ContentAdmin, StateChangeList, attach_states, state_label
from project.content.models import Receipt, ReceiptItem
from project.content.states import READY, UNKNOWN, State, states_of


class ReceiptChangeList(StateChangeList):
    """The list, with the states of the items of this page's receipts too, in two queries."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        items = list(ReceiptItem.objects.filter(receipt__in=self.result_list).only("pk", "receipt"))
        states = states_of(items)
        of_receipt: dict[int, list[State]] = defaultdict(list)
        for item in items:
            of_receipt[item.receipt_id].append(states.get(item.pk, UNKNOWN))
        for receipt in self.result_list:
            receipt.item_states = of_receipt[receipt.pk]


class ItemFormSet(BaseInlineFormSet):
    """The lines of one receipt, with their states fetched at once."""

    def get_queryset(self) -> Any:
        is_first = not hasattr(self, "_queryset")
        items = super().get_queryset()
        if is_first:
            attach_states(items)
        return items


class ItemInline(admin.TabularInline):
    """The lines of a receipt, each with the state of its vector."""

    model = ReceiptItem
    formset = ItemFormSet
    fields = ("position", "description", "quantity", "price", "embedding_state")
    readonly_fields = ("embedding_state",)
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReceiptItem]:
        return super().get_queryset(request).defer("embedding")

    @admin.display(description="Embedding")
    def embedding_state(self, item: ReceiptItem) -> str:
        return state_label(item, "embedding")


@admin.register(Receipt)
class ReceiptAdmin(ContentAdmin):
    """A receipt has two vectors and each of its items one; all are shown beside it."""

    list_display = ("merchant", "purchased_on", "amount", "merchant_state", "text_state", "items_ready")
    list_filter = ("currency",)
    search_fields = ("merchant", "text", "items__description")
    date_hierarchy = "purchased_on"
    ordering = ("-purchased_on", "-pk")
    inlines = [ItemInline]
    fieldsets = (
        (None, {"fields": (("merchant", "purchased_on"), ("total", "currency"), "text")}),
        ("Upload", {"fields": (("uploaded_by", "created_at"),)}),
    )
    readonly_fields = ("uploaded_by", "created_at")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ReceiptChangeList

    def save_model(self, request: HttpRequest, obj: Receipt, form: Any, change: bool) -> None:
        if not change:
            obj.uploaded_by = request.user
        super().save_model(request, obj, form, change)

    @admin.display(description="Total", ordering="total")
    def amount(self, receipt: Receipt) -> str:
        return f"{receipt.total} {receipt.currency}"

    @admin.display(description="Merchant's vector")
    def merchant_state(self, receipt: Receipt) -> str:
        return state_label(receipt, "merchant_embedding")

    @admin.display(description="Text's vector")
    def text_state(self, receipt: Receipt) -> str:
        return state_label(receipt, "text_embedding")

    @admin.display(description="Items")
    def items_ready(self, receipt: Any) -> str:
        states = receipt.item_states
        return f"{sum(state == READY for state in states)} of {len(states)} ready"
