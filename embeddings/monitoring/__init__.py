"""What monitors read: metrics for Prometheus, and health checks. Needs prometheus-client and django-health-check."""
