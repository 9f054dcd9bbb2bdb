"""What a newcomer does: a clean clone, one command, a search, Ctrl-C, and the same command again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

import psutil
import pytest

from project.development import ports, processes

ROOT = Path(__file__).resolve().parent.parent.parent
# The variables of this test session (and of the make around it), which a newcomer does not have.
NOT_A_NEWCOMERS = ("DATABASE_", "REDIS_", "DJANGO_", "EMBEDDING_", "SEMANTIC_", "OPENAI_", "MAKE", "MFLAGS", "PYTEST_")
READY_LINE = "Ctrl-C stops everything"
# Run in the clone: how many stored vectors are not, to float32's precision, what the provider makes of that text now.
DIFFERING_VECTORS = """
from embeddings import registry
from embeddings.providers import get_provider
from embeddings.text import source_text

compared = differing = 0
for target in registry.all_targets():
    if target.model._meta.app_label != "content":
        continue
    provider = get_provider(target.provider)
    for obj in target.model.objects.iterator():
        text = source_text(obj, target, provider).text
        (expected,) = provider.embed([text]).vectors if text else [None]
        vector = getattr(obj, target.field)
        compared += 1
        if vector is None or expected is None:
            differing += vector is not expected
        else:
            differing += max(abs(a - b) for a, b in zip(vector, expected, strict=True)) > 1e-6
print("compared", compared, "differing", differing)
"""
FIRST_RUN_SECONDS = 600  # Our goal is 180; the rest is for a slow network.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # Whatever proxy the environment names.


@pytest.fixture
def clone():
    # Not in `tmp_path`: the clone's PostgreSQL is another user where we are root, and each pytest session that starts
    # beside ours closes the folder above all `tmp_path`s to other users again.
    with tempfile.TemporaryDirectory(prefix="embeddings-make-up-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        yield clone
        processes.end(living_in(clone), signal.SIGKILL, seconds=10)


@contextlib.contextmanager
def make_up(clone, port):
    """Run `make up` in a process group of its own, as a terminal would; its output is in a file."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(NOT_A_NEWCOMERS)}
    with (clone.parent / "output").open("w") as log:
        run = subprocess.Popen(
            ["make", "up"],
            cwd=clone,
            env=environment | {"PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield run
        finally:
            processes.end([psutil.Process(run.pid)] if run.poll() is None else [], signal.SIGTERM, seconds=20)
            run.wait()
            sys.stdout.write(output(clone))  # Which pytest shows when the test fails.


def living_in(folder):
    """All processes that work in the folder, or run a program or a file that is in it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = [process.cwd(), *process.cmdline()]
            found += [process] if any(str(folder) in word for word in words) and processes.is_alive(process) else []
    return found


def output(clone):
    return (clone.parent / "output").read_text()


def wait_for(condition, run, clone, *, seconds):
    """Returns after how many seconds the condition held; fails when the run has ended or time is up."""
    started = time.monotonic()
    while not condition():
        passed = time.monotonic() - started
        assert run.poll() is None and passed < seconds, f"After {passed:.0f} s:\n{output(clone)}"
        time.sleep(0.1)
    return time.monotonic() - started


def get(port, path):
    with DIRECT.open(f"http://{ports.LOOPBACK}:{port}{path}", timeout=30) as response:
        return response.read().decode()


def all_ready(port):
    status = json.loads(get(port, "/status.json"))
    return status["total"] >= 5000 and status["ready"] == status["total"]


def search(port):
    return get(port, "/?" + urllib.parse.urlencode({"q": "run a program and read what it prints"}))


def shell(clone, code):
    """What `manage.py shell` prints in a second terminal beside `make up`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(NOT_A_NEWCOMERS)}
    command = [".venv/bin/python", "manage.py", "shell", "--verbosity", "0", "--command", code]
    return subprocess.run(
        command, cwd=clone, env=environment, check=True, capture_output=True, text=True, timeout=120
    ).stdout


def interrupt(run):
    """Ctrl-C: the signal goes to the terminal's whole foreground group. Returns the seconds until make has ended."""
    started = time.monotonic()
    os.killpg(run.pid, signal.SIGINT)
    run.wait(timeout=60)
    return time.monotonic() - started


@pytest.mark.acceptance
@pytest.mark.timeout(FIRST_RUN_SECONDS + 300)
def test_make_up__from_a_clean_clone_to_the_second_start(clone):
    port = ports.free_port()

    with make_up(clone, port) as run:
        wait_for(lambda: READY_LINE in output(clone), run, clone, seconds=FIRST_RUN_SECONDS)
        wait_for(lambda: all_ready(port), run, clone, seconds=120)
        wait_for(lambda: "vectors are there" in output(clone), run, clone, seconds=10)
        found = search(port)
        total = json.loads(get(port, "/status.json"))["total"]
        compared = shell(clone, DIFFERING_VECTORS)
        pages = [get(port, path) for path in ("/admin/login/", "/static/admin/css/base.css", "/api/docs/")]
        stopped_after = interrupt(run)
    first_output = output(clone)
    left = living_in(clone)

    assert '<h2><a href="/articles/subprocess' in found
    assert compared.strip() == f"compared {total} differing 0"
    assert all(pages)
    assert f"http://127.0.0.1:{port}/admin/" in first_output
    assert "Login   admin, password " in first_output
    assert stopped_after < 10
    assert left == []

    with make_up(clone, port) as run:
        started_after = wait_for(lambda: READY_LINE in output(clone), run, clone, seconds=60)
        still_there = all_ready(port)
        interrupt(run)

    assert started_after < 15
    assert still_there
    assert living_in(clone) == []
