"""Whether a provider may be called now, in a word and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from embeddings import conf
from embeddings.admin import labels
from embeddings.exceptions import ConfigurationError
from embeddings.models import Pause, ProviderState

Reason = ProviderState.Reason

MEANING = {
    Reason.RATE_LIMIT: "It asked to slow down. Its tasks wait and go on by themselves.",
    Reason.QUOTA: "Its quota is used up for now. Its tasks wait and go on by themselves, at once if it is raised.",
    Reason.CIRCUIT: (
        "It failed several times in a row, and nothing is sent to it. It is asked for one harmless vector from time "
        "to time; once it answers, everything goes on by itself. No attempt is charged meanwhile."
    ),
    Reason.CONFIGURATION: (
        "It refuses every request: a wrong key, model or number of dimensions. "
        "Correct EMBEDDING_PROVIDERS and restart the workers; its tasks then go on by themselves."
    ),
}


@dataclass(frozen=True, slots=True)
class Availability:
    """A pill, the short words after it, and what it means and what to do."""

    pill: SafeString
    note: str = ""
    meaning: str = ""
    # Whether its last error is why.
    is_troubled: bool = False


def availability(state: ProviderState, pauses: Sequence[Pause]) -> Availability:
    """Of a provider, when `pauses` are in force."""
    if pause := _pause_of(state.alias, pauses):
        return _paused(pause)
    if problem := _misdeclared(state.alias):
        return Availability(labels.pill("configuration", "cannot be used"), meaning=problem)
    if not state.blocked_reason:
        return Availability(labels.pill("available", "available"), meaning="It may be called.")
    meaning = MEANING[Reason(state.blocked_reason)]
    if state.blocked_until is not None and state.blocked_until > timezone.now():
        pill = labels.pill(state.blocked_reason, f"blocked: {state.get_blocked_reason_display()}")
        return Availability(pill, format_html("tried again {}", labels.ahead(state.blocked_until)), meaning, True)
    return Availability(labels.pill("probing", "to be tried again now"), "", meaning, True)


def pause_of(alias: str, pauses: Sequence[Pause]) -> Pause | None:
    """The pause of this very provider."""
    return next((one for one in pauses if one.kind == Pause.Kind.PROVIDER and one.name == alias), None)


def _pause_of(alias: str, pauses: Sequence[Pause]) -> Pause | None:
    everything = next((one for one in pauses if one.kind == Pause.Kind.EVERYTHING), None)
    return pause_of(alias, pauses) or everything


def _paused(pause: Pause) -> Availability:
    is_all = pause.kind == Pause.Kind.EVERYTHING
    ends = labels.ahead(pause.ends_at) if pause.ends_at else "when somebody resumes it"
    note = format_html("by {}, ends {}: {}", pause.by or "a program", ends, pause.reason)
    meaning = "Workers begin nothing; searches still ask it." if is_all else "Nothing is sent to it; its tasks wait."
    return Availability(labels.pill("paused", "everything is paused" if is_all else "paused"), note, meaning)


def _misdeclared(alias: str) -> str:
    """What is wrong with its settings; "" for nothing, or where it is not in the settings at all."""
    if alias not in conf.provider_aliases():
        return "EMBEDDING_PROVIDERS does not have it any more."
    try:
        conf.provider_settings(alias)
    except ConfigurationError as exc:
        return capfirst(str(exc))
    return ""
