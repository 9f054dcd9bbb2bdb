"""The admin login of a development installation."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from django.contrib.auth import get_user_model

USERNAME = "admin"


def ensure(password_file: Path) -> str:
    """Make the user, once, with a random password that is kept in the file; returns what to tell the newcomer.

    A user that is there already is left alone, and so is a password that was changed since.
    """
    users = get_user_model()._default_manager
    password = _kept_password(password_file)
    user = users.filter(username=USERNAME).first()
    if user is None:
        user = users.create_superuser(USERNAME, email="admin@example.invalid", password=password)
    if not user.check_password(password):
        return f"{USERNAME}, with the password you gave it"
    return f"{USERNAME}, password {password} (kept in {os.path.relpath(password_file)})"


def _kept_password(password_file: Path) -> str:
    if not password_file.exists():
        password_file.touch(mode=0o600)
    if not password_file.read_text():
        password_file.write_text(secrets.token_urlsafe(9))
    return password_file.read_text()
