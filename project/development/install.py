"""Make .venv and install requirements.txt into it, unless that is done already.

It runs on the system's Python, whatever its version is, because it has to say which version is needed: standard library
only, and no syntax newer than Python 3.7.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
REQUIREMENTS = ROOT / "requirements.txt"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
# Written last, with the checksum of what was installed: without it, an installation was cut short.
STAMP = VENV / ".installed"
FIRST_VERSION = (3, 11)
BEYOND_LAST_VERSION = (3, 14)  # The local provider's package, wordllama, has no wheel for 3.14.


def say(sentence: str) -> None:
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


def check_python() -> None:
    """Go on with a Python that fits, started anew if it is another one; stop with a sentence if there is none."""
    if not FIRST_VERSION <= sys.version_info < BEYOND_LAST_VERSION:
        for path in filter(None, map(shutil.which, ("python3.13", "python3.12", "python3.11"))):
            os.execv(path, [path, __file__])
        version = ".".join(map(str, sys.version_info[:2]))
        sys.exit(
            f"Python 3.11, 3.12 or 3.13 is needed and this is {version}: install one, or `make up PYTHON=its-path`."
        )
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        sys.exit("This Python cannot make virtual environments: on Debian and Ubuntu, `apt-get install python3-venv`.")


def works() -> bool:
    """Whether .venv's Python starts and finds its packages (it does not after an upgrade of the system's Python)."""
    try:
        return subprocess.run([str(PYTHON), "-c", "import pip"], stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def run(*command: str) -> None:
    if subprocess.run(command).returncode:
        sys.exit("Installing failed for the reason above, often the network: mend it and run the same command again.")


def install(wanted: str) -> None:
    if STAMP.exists() and works():
        say("requirements.txt has changed: updating the packages …")
    else:
        say("Installing Python packages into .venv (about a minute, once) …")
        run(sys.executable, "-m", "venv", "--clear", str(VENV))
    STAMP.unlink(missing_ok=True)
    pip = [str(PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input"]
    run(*pip, "-r", str(REQUIREMENTS))
    STAMP.write_text(wanted)


def main() -> None:
    check_python()
    os.umask(0o022)  # Started by root, PostgreSQL runs as another user, who must be able to read its programs.
    (ROOT / ".data").mkdir(exist_ok=True)
    with open(ROOT / ".data" / "install.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # A second `make` waits until the first has installed.
        wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
        if not (STAMP.exists() and STAMP.read_text() == wanted and works()):
            install(wanted)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
