from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil

from project.development import processes

SLEEP = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)",
]


def started(command, **options):
    program = subprocess.Popen(command, stdout=subprocess.PIPE, **options)
    assert program.stdout.readline() == b"ready\n"
    program.stdout.close()
    return program


def test_working_in__finds_by_folder_and_name(tmp_path):
    program = started(SLEEP, cwd=tmp_path)
    name = psutil.Process(program.pid).name()

    found = processes.working_in(tmp_path, name)
    elsewhere = processes.working_in(tmp_path.parent, name)
    called_differently = processes.working_in(tmp_path, "other")

    program.kill()
    program.wait()
    assert [process.pid for process in found] == [program.pid]
    assert elsewhere == called_differently == []


def test_working_in__finds_it_after_its_folder_was_deleted(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    program = started(SLEEP, cwd=folder)
    folder.rmdir()

    found = processes.working_in(folder, psutil.Process(program.pid).name())

    program.kill()
    program.wait()
    assert [process.pid for process in found] == [program.pid]


def test_end__asks_politely():
    program = started(SLEEP)

    processes.end([psutil.Process(program.pid)], signal.SIGTERM, seconds=10)

    assert program.poll() == -signal.SIGTERM


def test_end__kills_what_does_not_listen():
    program = started(STUBBORN)

    processes.end([psutil.Process(program.pid)], signal.SIGTERM, seconds=0.2)

    assert program.wait() == -signal.SIGKILL


def test_end__takes_children_along():
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; print(subprocess.Popen({STUBBORN!r}).pid, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    lines = {parent.stdout.readline().strip(), parent.stdout.readline().strip()}
    child = psutil.Process(int((lines - {b"ready"}).pop()))

    processes.end([psutil.Process(parent.pid)], signal.SIGTERM, seconds=0.5)

    parent.communicate()
    assert not processes.is_alive(child)


def test_is_alive__a_zombie_is_not():
    program = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)

    alive = processes.is_alive(psutil.Process(program.pid))

    program.wait()
    assert alive is False
