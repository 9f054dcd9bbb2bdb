"""The web application. The provider of searches is made ready before it serves, so that the first does not wait."""

from __future__ import annotations

import logging
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
os.environ.setdefault("DATABASE_POOL", "true")  # Read by the settings; other processes do without.
application = get_wsgi_application()


def _prepare_provider() -> None:
    """Load its model, if it has one, in some tenths of a second.

    Not in a thread: a server that forks meanwhile would give its children the lock of a loading that never ends.
    """
    # Only now, because they need what get_wsgi_application() set up.
    from embeddings import conf
    from embeddings.exceptions import ConfigurationError, ProviderError
    from embeddings.providers import get_provider

    try:
        if conf.current().enabled:
            get_provider(conf.DEFAULT_PROVIDER).prepare()
    except (ConfigurationError, ProviderError) as exc:
        logging.getLogger(__name__).warning("Search by meaning is not possible yet: %s", exc)


_prepare_provider()
