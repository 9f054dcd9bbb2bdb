"""The environment variables of the reference project: every one is read here, once, with its default.

A value that cannot be used stops the start with one sentence.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ

BASE_DIR = Path(__file__).resolve().parent.parent
# Where `make up` writes the addresses of the servers it runs, so that manage.py in another terminal finds them.
SERVICES_FILE = BASE_DIR / ".data" / "services.json"

# How long a page waits for a connection of the pool, and the pool for the server before it begins anew. Its attempts
# are ever further apart: with psycopg's 300 seconds, pages could fail for minutes after the server is back.
POOL_WAIT_SECONDS = 5
# Connections beyond the least number are closed when nobody has needed them for so long.
POOL_IDLE_SECONDS = 30

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

PROVIDERS: dict[str, dict[str, Any]] = {
    "local": {"backend": "embeddings.providers.local.LocalProvider", "model": "l2_supercat_256", "dimensions": 256},
    "openai": {
        "backend": "embeddings.providers.openai.OpenAIProvider",
        "model": "text-embedding-3-small",
        "dimensions": 1536,
    },
    "ollama": {
        "backend": "embeddings.providers.openai.OpenAIProvider",
        "model": "nomic-embed-text",
        "dimensions": 768,
    },
    "dummy": {"backend": "embeddings.providers.dummy.DummyProvider", "model": "dummy", "dimensions": 256},
}


def _stop(name: str, value: str, wanted: str) -> SystemExit:
    return SystemExit(f"The environment variable {name} must be {wanted}, not {value!r}.")


def text(name: str, default: str) -> str:
    return os.environ.get(name, "").strip() or default


def choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = text(name, default)
    if value not in choices:
        raise _stop(name, value, f"one of {', '.join(choices)}")
    return value


def boolean(name: str, default: bool) -> bool:
    value = text(name, "true" if default else "false").lower()
    if value not in TRUE | FALSE:
        raise _stop(name, value, "true or false")
    return value in TRUE


def integer(name: str, default: int, *, minimum: int, maximum: int) -> int:
    value = text(name, str(default))
    try:
        number = int(value)
    except ValueError:
        number = minimum - 1
    if not minimum <= number <= maximum:
        raise _stop(name, value, f"a whole number from {minimum} to {maximum}")
    return number


def url(name: str, default: str, schemes: tuple[str, ...]) -> str:
    """An address; `default` "" allows none."""
    value = text(name, default)
    if value and not _is_address(value, schemes):
        raise SystemExit(f"The environment variable {name} must be an address like {schemes[0]}://host:port/….")
    return value


def _is_address(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
        has_place = parts.port != 0 and bool(parts.hostname or parts.path.strip("/"))
    except ValueError:  # a port that is not a number
        return False
    # Redis's path is the number of a database.
    is_path_valid = not parts.scheme.startswith("redis") or parts.path.strip("/").isdigit() or parts.path in {"", "/"}
    return parts.scheme in schemes and has_place and is_path_valid


def _running_services() -> dict[str, str]:
    try:
        services = json.loads(SERVICES_FILE.read_text())
    except (OSError, ValueError):
        return {}
    return services if isinstance(services, dict) else {}


@dataclass(frozen=True)
class Environment:
    """The values, typed, in this project's own units."""

    debug: bool
    secret_key: str
    allowed_hosts: list[str]
    database_url: str
    database_pool: bool
    database_pool_min_size: int
    database_pool_max_size: int
    redis_url: str
    search_enabled: bool
    queue_enabled: bool
    direct_fallback: bool
    provider: str
    model: str
    dimensions: int
    requests_per_minute: int
    tokens_per_minute: int
    openai_api_key: str
    openai_base_url: str
    ollama_base_url: str
    worker_interval_ms: int
    max_attempts: int
    backoff_base_ms: int
    batch_size: int
    cleanup_interval_hours: int
    cleanup_retention_days: int
    request_timeout_ms: int
    workers: int
    port: int
    log_format: str
    log_level: str
    metrics_token: str
    webhook_private_addresses: bool


def read() -> Environment:
    """Read all variables; raises SystemExit with one sentence about the first that cannot be used."""
    services = _running_services()
    provider = choice("EMBEDDING_PROVIDER", "local", tuple(PROVIDERS))
    openai_api_key = text("OPENAI_API_KEY", "")
    openai_base_url = url("OPENAI_BASE_URL", "", ("http", "https"))
    if provider == "openai" and not openai_api_key and not openai_base_url:
        raise SystemExit("EMBEDDING_PROVIDER is openai: set OPENAI_API_KEY to your key, or choose another provider.")
    debug = boolean("DJANGO_DEBUG", True)
    secret_key = text("DJANGO_SECRET_KEY", "for-development-only-not-a-secret-" + "0" * 32)
    if not debug and not text("DJANGO_SECRET_KEY", ""):
        raise SystemExit("DJANGO_DEBUG is off: set DJANGO_SECRET_KEY to a long random string.")
    database_pool_max_size = integer("DATABASE_POOL_MAX_SIZE", 10, minimum=1, maximum=1_000)
    return Environment(
        debug=debug,
        secret_key=secret_key,
        allowed_hosts=[host for host in text("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",") if host],
        database_url=url(
            "DATABASE_URL",
            services.get("DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/postgres"),
            ("postgresql", "postgres", "psql"),
        ),
        database_pool=boolean("DATABASE_POOL", False),
        database_pool_min_size=integer(
            "DATABASE_POOL_MIN_SIZE", min(2, database_pool_max_size), minimum=0, maximum=database_pool_max_size
        ),
        database_pool_max_size=database_pool_max_size,
        redis_url=url("REDIS_URL", services.get("REDIS_URL", "redis://127.0.0.1:6379/0"), ("redis", "rediss", "unix")),
        search_enabled=boolean("SEMANTIC_SEARCH_ENABLED", True),
        queue_enabled=boolean("EMBEDDING_QUEUE_ENABLED", True),
        direct_fallback=boolean("EMBEDDING_DIRECT_FALLBACK", False),
        provider=provider,
        model=text("EMBEDDING_MODEL", PROVIDERS[provider]["model"]),
        dimensions=integer("EMBEDDING_DIMENSIONS", PROVIDERS[provider]["dimensions"], minimum=1, maximum=16_000),
        requests_per_minute=integer("EMBEDDING_REQUESTS_PER_MINUTE", 0, minimum=0, maximum=1_000_000_000),
        tokens_per_minute=integer("EMBEDDING_TOKENS_PER_MINUTE", 0, minimum=0, maximum=1_000_000_000_000),
        openai_api_key=openai_api_key,
        openai_base_url=openai_base_url,
        ollama_base_url=url("OLLAMA_BASE_URL", "http://localhost:11434", ("http", "https")),
        worker_interval_ms=integer("EMBEDDING_WORKER_INTERVAL", 1000, minimum=1, maximum=3_600_000),
        max_attempts=integer("EMBEDDING_MAX_RETRIES", 3, minimum=1, maximum=1_000),
        backoff_base_ms=integer("EMBEDDING_RETRY_BACKOFF_BASE", 2000, minimum=0, maximum=3_600_000),
        batch_size=integer("EMBEDDING_BATCH_SIZE", 256, minimum=1, maximum=10_000),
        cleanup_interval_hours=integer("EMBEDDING_CLEANUP_INTERVAL", 24, minimum=1, maximum=10_000),
        cleanup_retention_days=integer("EMBEDDING_CLEANUP_RETENTION_DAYS", 30, minimum=0, maximum=36_500),
        request_timeout_ms=integer("EMBEDDING_WORKER_TIMEOUT", 300_000, minimum=1, maximum=86_400_000),
        workers=integer("EMBEDDING_CONCURRENT_WORKERS", 1, minimum=1, maximum=64),
        port=integer("PORT", 8000, minimum=1, maximum=65_535),
        log_format=choice("LOG_FORMAT", "text", ("text", "json")),
        log_level=choice("LOG_LEVEL", "INFO", LOG_LEVELS),
        metrics_token=text("METRICS_TOKEN", ""),
        webhook_private_addresses=boolean("WEBHOOK_PRIVATE_ADDRESSES", False),
    )


def database_settings(environment: Environment) -> dict[str, Any]:
    """The entry of DATABASES: what the address says, and for web processes a pool of connections.

    A command or a worker needs one connection, and to hear at once why it cannot be had.
    """
    database: dict[str, Any] = environ.Env.db_url_config(environment.database_url)
    if environment.database_pool:
        pool = {
            "min_size": environment.database_pool_min_size,
            "max_size": environment.database_pool_max_size,
            "max_idle": POOL_IDLE_SECONDS,
            "timeout": POOL_WAIT_SECONDS,
            "reconnect_timeout": POOL_WAIT_SECONDS,
        }
        # Only the pool keeps connections. One that died in it, with a server that was restarted, is not handed out.
        database |= {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": True}
        database["OPTIONS"] = {**database.get("OPTIONS", {}), "pool": pool}
    return database


def logging_settings(environment: Environment) -> dict[str, Any]:
    """LOGGING: all lines to stderr in one form, and nothing from those that would quote what is sent."""
    formatter = {"text": "TextFormatter", "json": "JsonFormatter"}[environment.log_format]
    ours = {name: {"level": environment.log_level} for name in ("embeddings", "project", "rq", "django")}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"chosen": {"()": f"embeddings.logs.{formatter}"}},
        "filters": {"without_bodies": {"()": "embeddings.logs.WithoutBodies"}},
        "handlers": {
            "console": {"class": "logging.StreamHandler", "formatter": "chosen", "filters": ["without_bodies"]}
        },
        "root": {"level": "WARNING", "handlers": ["console"]},
        "loggers": ours,
    }


def provider_settings(environment: Environment) -> dict[str, Any]:
    """The one entry of EMBEDDING_PROVIDERS that the environment asks for."""
    preset = PROVIDERS[environment.provider]
    options: dict[str, Any] = {}
    if environment.provider == "openai":
        options = {"API_KEY": environment.openai_api_key, "BASE_URL": environment.openai_base_url or None}
    elif environment.provider == "ollama":
        options = {"BASE_URL": environment.ollama_base_url.rstrip("/") + "/v1"}
    return {
        "BACKEND": preset["backend"],
        "MODEL": environment.model,
        "DIMENSIONS": environment.dimensions,
        "OPTIONS": {name: value for name, value in options.items() if value},
        # 0 is no limit.
        "REQUESTS_PER_MINUTE": environment.requests_per_minute or None,
        "TOKENS_PER_MINUTE": environment.tokens_per_minute or None,
    }
