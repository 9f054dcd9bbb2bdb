"""What `make up` and the tests run on a bare machine: an embedded PostgreSQL, an embedded Valkey, web and workers."""

from __future__ import annotations
