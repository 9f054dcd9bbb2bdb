from __future__ import annotations

import pytest
from django.contrib.auth import authenticate, get_user_model

from project.development import login

pytestmark = pytest.mark.django_db


@pytest.fixture
def password_file(tmp_path):
    return tmp_path / "admin-password"


def test_ensure__first_time(password_file):
    told = login.ensure(password_file)

    password = password_file.read_text()
    assert f"admin, password {password} " in told
    assert authenticate(username="admin", password=password).is_superuser
    assert password_file.stat().st_mode & 0o077 == 0


def test_ensure__second_time(password_file):
    told = login.ensure(password_file)

    assert login.ensure(password_file) == told
    assert get_user_model().objects.count() == 1


def test_ensure__changed_password_is_kept(password_file):
    login.ensure(password_file)
    user = get_user_model().objects.get()
    user.set_password("my own")
    user.save()

    told = login.ensure(password_file)

    assert told == "admin, with the password you gave it"
    assert authenticate(username="admin", password="my own")
