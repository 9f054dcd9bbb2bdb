"""A worker that a supervisor has started does not outlive it: who then starts new ones would have too many."""

from __future__ import annotations

import os

# The supervisor's process id, in the environment of the workers that it starts.
VARIABLE = "EMBEDDINGS_SUPERVISOR_PID"


def environment() -> dict[str, str]:
    """What a supervisor adds to the environment of its workers."""
    return {VARIABLE: str(os.getpid())}


def is_orphaned() -> bool:
    """Whether a supervisor has started this process and is gone: then it is a child of somebody else."""
    supervisor = os.environ.get(VARIABLE, "")
    return supervisor.isdigit() and os.getppid() != int(supervisor)
