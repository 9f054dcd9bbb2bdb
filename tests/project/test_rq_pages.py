from __future__ import annotations

import pytest
from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["", "stats.json", "queues/0/", "workers/0/"])
class TestGuard:
    def test_page__sends_strangers_to_the_login(self, client, path):
        response = client.get(f"/django-rq/{path}")

        assert response.headers["Location"] == f"/admin/login/?next=/django-rq/{path}"

    def test_page__is_refused_to_staff(self, client, path):
        client.force_login(User.objects.create_user("staff", is_staff=True))

        assert client.get(f"/django-rq/{path}").status_code == 403

    def test_page__is_shown_to_superusers(self, admin_client, redis_client, path):
        assert admin_client.get(f"/django-rq/{path}").status_code == 200
