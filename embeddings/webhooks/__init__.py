"""Webhooks: receivers are told over HTTP of tasks that end, batches that are finished, and alerts.

events (outbox) → collecting → deliveries (their ledger) → delivering, which sends

collecting   events of a few seconds become messages      endpoints    secrets, disabling, tests
messages     what they say                                 deliveries   leases, attempts, replay
delivering   the job, several messages at once             sending      one message, signed
network      connections to checked addresses              addresses    which addresses those are
"""

from __future__ import annotations

from embeddings.webhooks.delivering import Deliverer, are_due, deliver

__all__ = ["Deliverer", "are_due", "deliver"]
