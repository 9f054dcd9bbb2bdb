"""In whose name something is done, for the audit log."""

from __future__ import annotations

import getpass
import os


def name() -> str:
    """ "command line (anna)": the user of the operating system."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user without a name
        user = f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"
    return f"command line ({user})"
