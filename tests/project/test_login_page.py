from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse"


@pytest.fixture
def user() -> User:
    return User.objects.create_user("reader", password=PASSWORD)


@pytest.mark.parametrize(
    ("wanted", "led_to"), [("/?q=a&mode=keyword", "/?q=a&mode=keyword"), ("", "/"), ("https://example.org/", "/")]
)
def test_login__leads_back_on_this_site(client, user, wanted, led_to):
    form = {"username": "reader", "password": PASSWORD, "next": wanted}

    response = client.post("/login/", form)

    assert response.headers["Location"] == led_to


def test_login__wrong_password(client, user):
    html = client.post("/login/", {"username": "reader", "password": "wrong"}).content.decode()

    assert "Please enter a correct username and password." in html
    assert 'value="reader"' in html
    assert "wrong" not in html


def test_pages__strangers_are_offered_the_login(client):
    html = client.get("/?q=a").content.decode()

    assert '<a href="/login/?next=/%3Fq%3Da">Log in</a>' in html
    assert "/admin/" not in html
    assert "/notes/" not in html


def test_pages__a_user_sees_what_he_may_open_and_can_leave(client, user):
    client.force_login(user)

    html = client.get("/").content.decode()

    assert "Log out" in html
    assert "/admin/" not in html
    assert "/notes/" not in html
    assert client.post("/logout/").headers["Location"] == "/"
    assert "Log in" in client.get("/").content.decode()


def test_pages__staff_finds_all(admin_client):
    html = admin_client.get("/").content.decode()

    assert all(f'href="{path}"' in html for path in ("/admin/", "/notes/", "/pages/", "/receipts/"))


def test_form__from_another_session_is_explained(user):
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)

    response = client.post("/notes/", {"title": "a", "text": "b"})

    assert response.status_code == 403
    assert "This form is too old" in response.content.decode()
