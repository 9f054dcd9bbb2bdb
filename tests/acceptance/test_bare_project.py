"""A Django project that knows nothing of ours: installs the package, adds the README's settings, and works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.databases import fresh_database

ROOT = Path(__file__).resolve().parents[2]

# The README's settings, with the local provider instead of OpenAI's: at most 12 lines.
SETTINGS = """
INSTALLED_APPS += ["django.contrib.postgres", "django_rq", "embeddings", "shop"]
RQ_QUEUES = {"embeddings": {"URL": os.environ["REDIS_URL"], "SERIALIZER": "json"}}
RQ = {"WORKER_CLASS": "embeddings.worker.EmbeddingWorker"}
EMBEDDING_PROVIDERS = {
    "default": {
        "BACKEND": "embeddings.providers.local.LocalProvider",
        "MODEL": "l2_supercat_256",
        "DIMENSIONS": 256,
    }
}
"""

MODEL = """
from django.db import models
from embeddings.fields import EmbeddingField
from embeddings.managers import EmbeddingManager


class Product(models.Model):
    name = models.CharField(max_length=200)
    embedding = EmbeddingField(source=["name"], dimensions=256)

    objects = EmbeddingManager()
"""

# What nobody needs who does not use the part that it is for: here it cannot be imported.
OPTIONAL = (
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "standardwebhooks",
    "prometheus_client",
    "health_check",
)

SAVE = """
from shop.models import Product
for name in ["a red apple", "a ripe pear", "a steel hammer", "a claw hammer for nails"]:
    Product.objects.create(name=name)
"""

SEARCH = """
from shop.models import Product
assert not Product.objects.filter(embedding=None).exists()
print([product.name for product in Product.objects.search("fruit to eat", mode="semantic")[:2]])
"""


MONITORING = """
import django
from django.core.exceptions import ImproperlyConfigured
django.setup()
try:
    import embeddings.monitoring.urls
except ImproperlyConfigured as exc:
    print(exc)
"""


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


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> BareProject:
    database_url = fresh_database("bare")
    project = BareProject(tmp_path_factory.mktemp("bare"), database_url)
    source = tmp_path_factory.mktemp("source")  # setuptools builds where the source is
    shutil.copytree(ROOT / "embeddings", source / "embeddings", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    project.run("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(project.packages), str(source))
    for name in OPTIONAL:
        (project.packages / f"{name}.py").write_text("raise ModuleNotFoundError(__name__)\n")
    project.run("-m", "django", "startproject", "site_of_others", ".")
    project.run("-m", "django", "startapp", "shop")
    (project.folder / "shop" / "models.py").write_text(MODEL)
    settings = project.folder / "site_of_others" / "settings.py"
    database = f"import os, environ\nDATABASES = {{'default': environ.Env.db_url_config({database_url!r})}}\n"
    settings.write_text(settings.read_text() + database + SETTINGS)
    return project


@pytest.mark.acceptance
def test_bare_project__embeds_and_searches(project):
    assert len(SETTINGS.strip().splitlines()) <= 12
    project.run("manage.py", "makemigrations", "shop")
    project.run("manage.py", "migrate", "--verbosity", "0")
    project.run("manage.py", "check", "--database", "default", "--fail-level", "WARNING")
    project.run("manage.py", "shell", stdin=SAVE)

    project.run("manage.py", "rqworker", "embeddings", "--burst")

    found = project.run("manage.py", "shell", stdin=SEARCH)
    assert "apple" in found
    assert "pear" in found
    assert "hammer" not in found


@pytest.mark.acceptance
def test_bare_project__says_what_its_monitoring_needs(project):
    project.environment["DJANGO_SETTINGS_MODULE"] = "site_of_others.settings"

    said = project.run("-c", MONITORING)

    del project.environment["DJANGO_SETTINGS_MODULE"]
    assert "pip install 'django-rq-embeddings[monitoring]'" in said


@pytest.mark.acceptance
def test_bare_project__takes_embeddings_from_the_installed_package(project):
    where = project.run("-c", "import embeddings; print(embeddings.__file__)")

    assert Path(where.strip()).is_relative_to(project.packages)
