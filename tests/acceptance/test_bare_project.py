"""A Django project that knows nothing of ours: installs the package, adds the quick start's settings, and works."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance import bare_project
from tests.acceptance.bare_project import BareProject

# Its migrations are run before ours, and have a vector.
APP = "books"
# The quick start's settings, with the local provider instead of OpenAI's: at most 12 lines.
SETTINGS = """
INSTALLED_APPS += ["django.contrib.postgres", "django_rq", "embeddings", "books"]
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
from books.models import Product
for name in ["a red apple", "a ripe pear", "a steel hammer", "a claw hammer for nails"]:
    Product.objects.create(name=name)
"""

SEARCH = """
from books.models import Product
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


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> BareProject:
    project = bare_project.begin(tmp_path_factory.mktemp("bare"), tmp_path_factory.mktemp("source"), "bare", app=APP)
    (project.folder / APP / "models.py").write_text(MODEL)
    project.configure(SETTINGS)
    for name in OPTIONAL:
        (project.packages / f"{name}.py").write_text("raise ModuleNotFoundError(__name__)\n")
    return project


@pytest.mark.acceptance
def test_bare_project__embeds_and_searches(project):
    assert len(SETTINGS.strip().splitlines()) <= 12
    project.run("manage.py", "makemigrations", APP)
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
