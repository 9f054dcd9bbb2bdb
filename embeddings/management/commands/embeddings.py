from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from embeddings import cli
from embeddings.cli import running
from embeddings.cli.parsing import Parser, add_subcommands
from embeddings.cli.report import FAILED, Problem
from embeddings.cli.screen import Screen


class Command(BaseCommand):
    help = "Watch and steer the embeddings. Each subcommand has its own --help, and takes --json."
    # `embeddings check` runs them, and says it in JSON too; monitors call `health` every minute.
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        # Django makes one of its own class, which does not say errors in JSON.
        parser.__class__ = Parser
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        parser.epilog = (
            "Exit codes: 0 well, or done; 1 degraded, or nothing was done; 2 down, or an error. "
            "Documented in docs/command-line.md."
        )
        add_subcommands(parser, cli.SUBCOMMANDS.values())

    def handle(self, *args: Any, **options: Any) -> None:
        has_colour = not options["no_color"]
        screen = Screen(self.stdout, self.stderr, is_json=options["json"], has_colour=has_colour)  # type: ignore[arg-type]
        try:
            exit_code = running.run(cli.SUBCOMMANDS[options["subcommand"]].run, options, screen)
        except Problem as problem:
            if not screen.is_json:
                raise CommandError(str(problem), returncode=FAILED) from problem
            running.write_json(screen, {"error": {"code": problem.code, "message": str(problem)}})
            exit_code = FAILED
        if exit_code:
            sys.exit(exit_code)
