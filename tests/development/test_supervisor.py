from __future__ import annotations

import json
import sys
import time

import psutil
import pytest

from project.development import processes
from project.development.supervisor import Supervisor

SLEEP = [sys.executable, "-c", "print('ready', flush=True); import time; time.sleep(60)"]


@pytest.fixture
def lines():
    return []


@pytest.fixture
def supervisor(tmp_path, lines):
    supervisor = Supervisor(tmp_path / "processes.json", lines.append)
    yield supervisor
    supervisor.stop()


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def recorded(tmp_path):
    return [psutil.Process(pid) for pid, _ in json.loads((tmp_path / "processes.json").read_text())]


def test_start__lines_carry_the_name(supervisor, lines):
    supervisor.start("web", SLEEP)

    wait_for(lambda: lines == ["web | ready"])


def test_ended__running(supervisor):
    supervisor.start("web", SLEEP)

    assert supervisor.ended() is None


def test_ended__says_which_and_how(supervisor):
    supervisor.start("web", SLEEP)
    supervisor.start("worker", [sys.executable, "-c", "raise SystemExit(3)"])

    wait_for(supervisor.ended)

    assert supervisor.ended().startswith("worker has ended with exit code 3")


def test_stop__ends_all(supervisor, tmp_path):
    supervisor.start("web", SLEEP)
    supervisor.start("worker", SLEEP)
    running = recorded(tmp_path)

    supervisor.stop()

    assert len(running) == 2
    assert not any(processes.is_alive(process) for process in running)
    assert not (tmp_path / "processes.json").exists()


def test_stop_leftovers__ends_what_the_record_names(supervisor, tmp_path):
    supervisor.start("web", SLEEP)
    [left] = recorded(tmp_path)

    Supervisor(tmp_path / "processes.json", print).stop_leftovers()

    assert not processes.is_alive(left)


def test_stop_leftovers__spares_a_later_owner_of_the_id(supervisor, tmp_path):
    supervisor.start("web", SLEEP)
    [bystander] = recorded(tmp_path)
    other = tmp_path / "other.json"
    other.write_text(json.dumps([(bystander.pid, bystander.create_time() - 3600)]))

    Supervisor(other, print).stop_leftovers()

    assert processes.is_alive(bystander)


@pytest.mark.parametrize("content", ["", "{", "[[999999999, 1.0]]"])
def test_stop_leftovers__record_is_of_no_use(tmp_path, content):
    record = tmp_path / "processes.json"
    record.write_text(content)

    supervisor = Supervisor(record, print)

    supervisor.stop_leftovers()

    supervisor.start("web", SLEEP)
    assert supervisor.ended() is None
    assert json.loads(record.read_text())
    supervisor.stop()
