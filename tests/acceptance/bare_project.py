"""A project that knows nothing of ours, with the package installed beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.acceptance.databases import fresh_database

ROOT = Path(__file__).resolve().parents[2]


class BareProject:
    """A project folder, and a folder with the installed package; the checkout is on no path."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        self.packages = folder / "packages"
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
            "PYTHONPATH": str(self.packages),
            "DATABASE_URL": database_url,
        }

    def run(self, *command: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def configure(self, settings: str) -> None:
        """Add these lines to the project's settings."""
        with (self.folder / "site_of_others" / "settings.py").open("a") as file:
            file.write(f"{settings}\n")


def begin(folder: Path, source: Path, database: str, *, app: str = "shop") -> BareProject:
    """A new project with an app, on a database of this name; the package is built from a copy in `source`."""
    database_url = fresh_database(database)
    project = BareProject(folder, database_url)
    shutil.copytree(ROOT / "embeddings", source / "embeddings", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)  # setuptools builds where the source is
    project.run("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(project.packages), str(source))
    project.run("-m", "django", "startproject", "site_of_others", ".")
    project.run("-m", "django", "startapp", app)
    project.configure(f"import os, environ\nDATABASES = {{'default': environ.Env.db_url_config({database_url!r})}}")
    return project
