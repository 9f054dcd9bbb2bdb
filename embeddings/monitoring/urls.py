"""/metrics and /health/…: include them where you like, most simply at the root."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured
from django.urls import path

try:
    from embeddings.monitoring import health, prometheus
except ImportError as exc:
    raise ImproperlyConfigured(
        "embeddings.monitoring.urls needs prometheus-client and django-health-check: "
        "pip install 'django-rq-embeddings[monitoring]', or take the include out of your urls."
    ) from exc

app_name = "embeddings-monitoring"
urlpatterns = [
    path("metrics", prometheus.metrics, name="metrics"),
    path("health/", health.Full.as_view(), name="health"),
    path("health/live/", health.Live.as_view(), name="health-live"),
    path("health/ready/", health.Ready.as_view(), name="health-ready"),
]
