"""What a client may name as its `model`: an alias of EMBEDDING_PROVIDERS, or the model_id of one of them."""

from __future__ import annotations

from embeddings import conf
from embeddings.openai_api.problems import Refused


def names() -> dict[str, str]:
    """{name: alias} of all that may be asked for, model_ids first; raises ConfigurationError.

    A name that is both is the alias; a model that several providers have is the first one's.
    """
    aliases = conf.provider_aliases()
    by_model_id: dict[str, str] = {}
    for alias in aliases:
        by_model_id.setdefault(conf.provider_settings(alias).model_id, alias)
    return by_model_id | {alias: alias for alias in aliases}


def alias_of(name: str) -> str:
    """The alias of the provider that a client means; raises Refused."""
    known = names()
    if name in known:
        return known[name]
    listed = ", ".join(f"`{each}`" for each in known) or "none"
    raise Refused(
        404,
        f"The model `{name[:100]}` does not exist here; use one of these: {listed}.",
        code="model_not_found",
        param="model",
    )
