"""What requests and answers look like in the OpenAPI schema, of the operations that all look alike.

{operation: {"request", or the status of an answer: the body}}
"""

from __future__ import annotations

from typing import Any

TASK = {
    "id": 7,
    "model": "content.article",
    "object_id": "12",
    "field": "embedding",
    "status": "completed",
    "priority": "normal",
    "attempts": 1,
    "provider": "default",
    "model_id": "text-embedding-3-small",
    "dimensions": 1536,
    "tokens": 212,
    "truncated": False,
    "batch": None,
    "error": None,
    "created_at": "2026-01-31T18:00:00Z",
    "updated_at": "2026-01-31T18:00:02Z",
    "available_at": "2026-01-31T18:00:00Z",
    "claimed_at": "2026-01-31T18:00:01Z",
    "completed_at": "2026-01-31T18:00:02Z",
}
PROGRESS = {
    "total": 84900,
    "open": 21400,
    "done": 63498,
    "failed": 2,
    "cancelled": 0,
    "share": 0.748,
    "eta_seconds": 102.0,
    "finished_at": None,
}
BATCH = {
    "id": 3,
    "name": "regenerate content.article",
    "parameters": {},
    "created_at": "2026-01-31T18:00:00Z",
    "rolled_back_at": None,
    "progress": PROGRESS,
}
OPERATION = {
    "id": 5,
    "kind": "regenerate",
    "model": "content.article.embedding",
    "parameters": {},
    "state": "running",
    "rows_total": 84900,
    "rows_read": 84900,
    "changed": 84900,
    "batch": 3,
    "progress": PROGRESS,
    "eta_seconds": 102.0,
    "by": "anna",
    "error_message": "",
    "created_at": "2026-01-31T18:00:00Z",
    "started_at": "2026-01-31T18:00:01Z",
    "finished_at": None,
}
ENTITY = {
    "model": "content.article",
    "objectId": "12",
    "targets": [{"field": "embedding", "status": "completed", "taskId": 7, "isStored": True, "error": None}],
}
# A dry run.
PREVIEW = {
    "rows": 120,
    "isAtLeast": False,
    "parts": {"failed": 120},
    "others": 3,
    "tokens": 4800,
    "cost": 0.0001,
    "isEstimate": False,
}


def _told(data: Any) -> dict[str, Any]:
    return {"success": True, "data": data}


def _listed(entry: Any) -> dict[str, Any]:
    return _told({"next": None, "previous": None, "results": [entry]})


EXAMPLES: dict[str, dict[str, Any]] = {
    "embeddings_tasks_list": {"200": _listed(TASK)},
    "embeddings_tasks_read": {"200": _told(TASK)},
    "embeddings_tasks_bulk": {"200": _told(PREVIEW), "202": _told(OPERATION | {"kind": "retry", "model": ""})},
    "embeddings_entities_read": {"200": _told(ENTITY)},
    "embeddings_texts_create": {"request": {"text": "How do I log in again?", "immediate": True}},
    "embeddings_batches_list": {"200": _listed(BATCH)},
    "embeddings_batches_read": {"200": _told(BATCH)},
    "embeddings_batches_retry": {"200": _told({"changed": 2, "skipped": 0})},
    "embeddings_batches_roll_back": {"200": _told({"changed": 21400, "skipped": 63500})},
    "embeddings_operations_list": {"200": _listed(OPERATION)},
    "embeddings_operations_begin": {
        "request": {"kind": "regenerate", "model": "content.article"},
        "200": _told(PREVIEW),
        "202": _told(OPERATION),
    },
    "embeddings_operations_read": {"200": _told(OPERATION)},
    "embeddings_operations_stop": {"request": {"cancel": True}, "200": _told(OPERATION | {"state": "stopped"})},
}
