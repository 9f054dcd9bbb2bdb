"""Settings of the reference project."""

from __future__ import annotations

from project.environment import BASE_DIR, database_settings, logging_settings, provider_settings, read

ENVIRONMENT = read()

DEBUG = ENVIRONMENT.debug
SECRET_KEY = ENVIRONMENT.secret_key
ALLOWED_HOSTS = ENVIRONMENT.allowed_hosts

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django_htmx",
    "django_rq",
    "django_filters",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "embeddings",
    "project.content",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    # What somebody saves who is logged in goes ahead of what programs save.
    "embeddings.middleware.PersonMiddleware",
]

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {"default": database_settings(ENVIRONMENT)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
RQ_QUEUES = {"embeddings": {"URL": ENVIRONMENT.redis_url, "SERIALIZER": "json"}}
RQ = {"WORKER_CLASS": "embeddings.worker.EmbeddingWorker"}
# Its own pages are for superusers (project/rq_pages.py); the admin's link to them would be for all staff.
RQ_SHOW_ADMIN_LINK = False

EMBEDDING_DIMENSIONS = ENVIRONMENT.dimensions
EMBEDDING_PROVIDERS = {"default": provider_settings(ENVIRONMENT)}
EMBEDDINGS = {
    "ENABLED": ENVIRONMENT.search_enabled,
    "QUEUE_ENABLED": ENVIRONMENT.queue_enabled,
    "DIRECT_FALLBACK": ENVIRONMENT.direct_fallback,
    "SWEEP_SECONDS": ENVIRONMENT.worker_interval_ms / 1000,
    "MAX_ATTEMPTS": ENVIRONMENT.max_attempts,
    "BACKOFF_BASE_SECONDS": ENVIRONMENT.backoff_base_ms / 1000,
    "BATCH_SIZE": ENVIRONMENT.batch_size,
    "CLEANUP_INTERVAL_HOURS": ENVIRONMENT.cleanup_interval_hours,
    "CLEANUP_RETENTION_DAYS": ENVIRONMENT.cleanup_retention_days,
    "REQUEST_TIMEOUT_SECONDS": ENVIRONMENT.request_timeout_ms / 1000,
    "METRICS_TOKEN": ENVIRONMENT.metrics_token,
    "WEBHOOK_PRIVATE_ADDRESSES": ENVIRONMENT.webhook_private_addresses,
}
LOGGING = logging_settings(ENVIRONMENT)

# An upload of 5,000 receipts as JSON.
DATA_UPLOAD_MAX_MEMORY_SIZE = 10_000_000

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.BasicAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Embeddings",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # Sets of choices are named here: their fields share names.
    "ENUM_NAME_OVERRIDES": {
        "EmbeddingStatus": "embeddings.models.Status",
        "EmbeddingOperationKind": "embeddings.models.EmbeddingOperation.Kind",
        "EmbeddingPauseKind": "embeddings.models.Pause.Kind",
        "EmbeddingAlertKind": "embeddings.models.Alert.Kind",
        "ArticleKind": "project.content.kinds.Kind",
    },
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "search"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
