"""`pause` and `resume`: everything, a provider, or a target."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils.text import capfirst

from embeddings import operations, pauses, stats
from embeddings.cli import confirming, who
from embeddings.cli.parsing import add_yes, duration, end_of, moment
from embeddings.cli.report import NOT_DONE, Options, Problem, Report, Subcommand
from embeddings.cli.screen import Block, Screen
from embeddings.models import Pause

Kind = Pause.Kind


def pause(options: Options, screen: Screen) -> Report:
    """Say what it would hold up; of everything, ask."""
    if not options["reason"].strip():
        raise Problem("Give a --reason: who finds it paused will want to know why.")
    kind, name = _what(options)
    ends_at = end_of(options)
    held = stats.held(kind, name)
    waits = "task waits" if held.count == 1 else "tasks wait"
    screen.show([f"{_named(kind, name)}: {held} {waits} now, and would go on waiting."])
    data: dict[str, Any] = {"kind": kind, "name": name, "held": held.count, "isAtLeast": held.is_at_least}
    if options["dry_run"]:
        return Report({**data, "paused": False}, [])
    if kind == Kind.EVERYTHING and not confirming.is_confirmed("Pause everything?", options, screen):
        return Report({**data, "paused": False}, ["Nothing was done."], NOT_DONE)
    try:
        begun = pauses.pause(kind, name, reason=options["reason"], by=who.name(), ends_at=ends_at)
    except ValueError as exc:
        raise Problem(str(exc)) from exc
    option = f" --{kind} {begun.name}" if begun.name else ""
    text = f"{capfirst(str(begun))} is paused {pauses.until(begun)}. What is in flight is finished."
    data |= {"name": begun.name, "paused": True, "endsAt": begun.ends_at}
    return Report(data, [text, f"To let it go on: manage.py embeddings resume{option}"])


def resume(options: Options, screen: Screen) -> Report:
    """Lift a pause; of a provider also whatever else keeps workers from calling it."""
    wanted = [(found.kind, found.name) for found in pauses.in_force()] if options["all"] else [_what(options)]
    lifted = [(kind, name) for kind, name in wanted if pauses.resume(kind, name, by=who.name())]
    unblocked = [
        name for kind, name in wanted if kind == Kind.PROVIDER and operations.resume_provider(name, by=who.name())
    ]
    data = {
        "lifted": [{"kind": kind, "name": name} for kind, name in lifted],
        "unblocked": unblocked,
        "stillPaused": [{"kind": one.kind, "name": one.name} for one in pauses.in_force()],
    }
    blocks: list[Block] = [f"{_named(kind, name)} goes on." for kind, name in lifted]
    blocks += [f"Provider {name} may be called again at once." for name in unblocked]
    if not blocks:
        blocks.append("Nothing was done: it is not paused.")
    others = ", ".join(str(one) for one in pauses.in_force())
    blocks += [f"Still paused: {others}."] if others else []
    return Report(data, blocks, 0 if lifted or unblocked else NOT_DONE)


def _what(options: Options) -> tuple[str, str]:
    """(kind, name as pauses have it); raises ConfigurationError if nothing is called so."""
    if options["provider"] is not None:
        return Kind.PROVIDER, pauses.known(Kind.PROVIDER, options["provider"])
    if options["target"] is not None:
        return Kind.TARGET, pauses.known(Kind.TARGET, options["target"])
    return Kind.EVERYTHING, ""


def _named(kind: str, name: str) -> str:
    return capfirst(f"{Kind(kind).label} {name}".strip())


def _add_what(parser: CommandParser) -> Any:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--provider", metavar="ALIAS", help="Only this provider: nothing is sent to it.")
    what.add_argument("--target", metavar="APP.MODEL.FIELD", help="Only this target: its tasks wait.")
    return what


def _add_pause(parser: CommandParser) -> None:
    _add_what(parser)
    parser.add_argument("--reason", default="", help="Why; who finds it paused will want to know. Needed.")
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--for", dest="lasting", type=duration, metavar="TIME", help="So long: 30min, 2h, 3d.")
    end.add_argument("--until", type=moment, metavar="TIME", help="Until 18:00, or 2030-01-31T18:00.")
    add_yes(parser)


def _add_resume(parser: CommandParser) -> None:
    _add_what(parser).add_argument("--all", action="store_true", help="Whatever is paused.")


SUBCOMMANDS = [
    Subcommand(
        "pause",
        "Begin nothing more: of everything, of a provider or of a target.",
        pause,
        _add_pause,
        "Saves go on being recorded; what is in flight is finished. Without --for or --until it lasts until somebody\n"
        "resumes it.",
    ),
    Subcommand(
        "resume",
        "Go on with what was paused.",
        resume,
        _add_resume,
        "With --provider also when workers leave it alone after failures, a rate limit or for its quota.",
    ),
]
