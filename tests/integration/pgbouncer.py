"""PgBouncer in transaction mode, in front of a PostgreSQL: few server connections, each client's for a transaction."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from psycopg.rows import dict_row

from project.development import ports
from project.development.server import Server

# Where Debian has it is in root's search path only.
PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
CONFIGURATION = "pgbouncer.ini"
USERS = "users.txt"
USER = "postgres"
# Nothing is ignored at the start of a session, as by default: clients may set only what PgBouncer can keep track of.
TEMPLATE = """\
[databases]
* = host={host} port={server_port}

[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
admin_users = {user}
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 200
server_login_retry = 1
"""


class PgBouncer(Server):
    """At most `pool_size` connections a database to the PostgreSQL on `server_port`, which asks for no password."""

    process_name: ClassVar[str] = "pgbouncer"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM  # At once: SIGINT waits for the clients.

    def __init__(self, folder: Path, *, server_port: int, pool_size: int) -> None:
        super().__init__(folder)
        self.server_port = server_port
        self.pool_size = pool_size

    @property
    def url(self) -> str:
        return self.url_of(USER)

    def url_of(self, database: str) -> str:
        return f"postgresql://{USER}@{ports.LOOPBACK}:{self.port}/{database}"

    def server_connections(self, database: str) -> int:
        """How many it has to this database just now."""
        console = psycopg.connect(self.url_of("pgbouncer"), autocommit=True, cursor_factory=psycopg.ClientCursor)
        with console, console.cursor(row_factory=dict_row) as cursor:
            return sum(server["database"] == database for server in cursor.execute("SHOW SERVERS"))

    def _prepare(self) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / USERS).write_text(f'"{USER}" ""\n')
        (self.folder / CONFIGURATION).write_text(
            TEMPLATE.format(
                host=ports.LOOPBACK,
                port=self.port,
                server_port=self.server_port,
                pool_size=self.pool_size,
                users=USERS,
                user=USER,
            )
        )

    def _command(self) -> list[str]:
        assert PROGRAM
        return [PROGRAM, CONFIGURATION]

    def _popen_options(self) -> dict[str, Any]:
        """It refuses to run as root."""
        if os.geteuid() != 0:
            return {}
        nobody = pwd.getpwnam("nobody")
        os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
