"""Fills the database of the live site, and prints the token of its superuser: `python -m tests.docs.content`."""

from __future__ import annotations

import sys
from datetime import date

import django

TEXTS = {
    "Password": "Open the settings, choose Security, and ask for a new password. It is sent to you by e-mail.",
    "Opening hours": "The library is open from nine to six, on Saturdays from ten to two.",
    "Apple trees": "Prune an apple tree in late winter, before its buds open. Cut dead wood first.",
    "Bicycles": "A bicycle that squeaks wants oil on its chain; one that rattles wants its screws tightened.",
    "Bread": "Mix flour, water, salt and yeast, let the dough rise overnight, and bake it hot.",
    "Subprocesses": "Run another program and read what it prints with subprocess.run.",
}


def fill() -> str:
    """Migrate, write some rows of each kind for the worker to embed; returns the token."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from rest_framework.authtoken.models import Token

    from project.content.models import Article, Block, Note, Page, Receipt, Recommendation, Workspace

    call_command("migrate", interactive=False, verbosity=0)
    operator = User.objects.create_superuser("operator", "operator@example.com", "password")
    for title, text in TEXTS.items():
        slug = title.lower().replace(" ", "-")
        Article.objects.create(slug=slug, title=title, content=text)
        Note.objects.create(slug=slug, title=title, text=text)
        Recommendation.objects.create(title=title, text=text)
    workspace = Workspace.objects.create(name="Handbook")
    workspace.members.add(operator)
    page = Page.objects.create(workspace=workspace, title="Everything", content="\n\n".join(TEXTS.values()))
    Block.objects.create(page=page, text=TEXTS["Password"])
    Receipt.objects.create(merchant="Bakery", purchased_on=date(2026, 1, 5), total="7.40", text="Bread, two rolls")
    return Token.objects.create(user=operator).key


if __name__ == "__main__":
    django.setup()
    sys.stdout.write(fill() + "\n")
