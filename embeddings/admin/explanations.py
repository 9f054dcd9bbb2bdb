"""What states and errors mean to the person who watches them, and what to do."""

from __future__ import annotations

from embeddings.models import Status

STATUS = {
    Status.PENDING: "The next free worker takes it.",
    Status.SCHEDULED: "It waits for its time: a delay after a save, or before the next attempt.",
    Status.RATE_LIMITED: "It waits until the provider takes requests again; no attempt was charged.",
    Status.PROCESSING: "A worker has it in hand.",
    Status.COMPLETED: "The vector is stored and belongs to the text shown by the fingerprint.",
    Status.EMPTY: "The object has no text to embed, so its vector is null. Nothing to do.",
    Status.FAILED: "It is not tried again by itself. Retry it once the cause below is gone.",
    Status.CANCELLED: "Somebody stopped it. Saving the object, or a retry, opens it again.",
}

NO_TASK = "Nobody has asked for it: it was stored before its model was embedded, or behind Django's back."

# What kind of error it is, for headings: "500 tasks: …".
BRIEFLY = {
    "rate_limit": "the provider asked to slow down",
    "transient": "something failed that may work the next time",
    "input": "the text was refused, or could not be made",
    "configuration": "the provider refuses every request",
    "crash": "workers died with it in hand",
}

ERROR_KIND = {
    "rate_limit": (
        "The provider asked to slow down. Nothing to do: its tasks go on by themselves; "
        "if it happens often, ask the provider for a higher limit or lower EMBEDDINGS['CONCURRENCY']."
    ),
    "transient": (
        "The provider could not be reached, or failed by itself. What has attempts left is tried again after a delay; "
        "what has failed for good is not: retry it once the provider works."
    ),
    "input": (
        "This text was refused, or could not be made from the object, and would be again. "
        "Change the object and save it (that opens the task), or retry after changing the code."
    ),
    "configuration": (
        "The provider refuses every request: a wrong key, model or number of dimensions. "
        "Correct EMBEDDING_PROVIDERS and restart the workers, then retry."
    ),
    "crash": (
        "Workers died with this task in hand, again and again, so it is kept from them. "
        "Look at the workers' logs and memory, and at the object's text, before you retry it."
    ),
}


BOX_REFUSED = (
    "The object cannot be stored, or its text was refused; nothing of it is lost. Remove what is in its way "
    "(a value or a key that is taken, a reference that is gone) and retry."
)


def of_error(kind: str, *, is_boxed: bool = False) -> str:
    """What a kind of error means and what to do; "" for none."""
    return BOX_REFUSED if is_boxed and kind == "input" else ERROR_KIND.get(kind, "")
