"""The forms of the pages. What is wrong is said at the field, and that field gets the focus."""

from __future__ import annotations

import secrets
from typing import Any

from django import forms
from django.utils.text import slugify

from project.content.models import Note, Page
from project.content.receipt_files import COLUMNS
from project.content.visibility import User, workspaces_of


class FocusedForm(forms.BaseForm):
    """The focus is at the first field that is wrong, else at the first one."""

    def full_clean(self) -> None:
        super().full_clean()
        for field in self.fields.values():
            field.widget.attrs.pop("autofocus", None)
        wrong = next((name for name in self.fields if self.is_bound and name in self.errors), next(iter(self.fields)))
        self.fields[wrong].widget.attrs["autofocus"] = True


class NoteForm(FocusedForm, forms.ModelForm):
    """A note as it is written. Its slug is made from the title, and is nobody else's."""

    class Meta:
        model = Note
        fields = ("title", "text")
        widgets = {"text": forms.Textarea(attrs={"rows": 4})}

    def values(self) -> dict[str, Any]:
        """What the note is to have."""
        # Not only when the slug is taken: another note of that title may be on its way, and have no row yet.
        slug = f"{slugify(self.cleaned_data['title'])[:80]}-{secrets.token_hex(3)}".strip("-")
        return {**self.cleaned_data, "slug": slug}


class PageForm(FocusedForm, forms.ModelForm):
    """A page, in one of the workspaces of its author."""

    class Meta:
        model = Page
        fields = ("title", "workspace", "content")
        widgets = {"content": forms.Textarea(attrs={"rows": 18, "class": "code"})}

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        workspaces = workspaces_of(user)
        self.fields["workspace"].queryset = workspaces
        self.fields["workspace"].empty_label = None
        self.fields["content"].required = False


class UploadForm(forms.Form):
    """A file of receipts."""

    file = forms.FileField(
        label="File",
        help_text=f"A .json or .csv file of receipts. A CSV file has a line for each item: {', '.join(COLUMNS)}. "
        "To try it, take project/content/samples/receipts-upload.csv.",
        widget=forms.FileInput(attrs={"accept": ".json,.csv"}),
    )
