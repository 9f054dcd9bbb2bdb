"""As many workers as the backlog needs, on one machine: `manage.py embedding_workers --min 1 --max 8`.

Machines share nothing but the database: each keeps a number of its own between bounds of its own.
"""

from __future__ import annotations

from embeddings.scaling.policy import Bounds
from embeddings.scaling.processes import command
from embeddings.scaling.supervisor import Supervisor

__all__ = ["Bounds", "Supervisor", "command"]
