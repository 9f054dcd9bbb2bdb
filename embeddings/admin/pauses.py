"""Pauses: what is paused by whom and why, pages to pause, and buttons to go on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, DELETION, LogEntry
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.text import capfirst

from embeddings import conf, pauses, stats
from embeddings.admin import labels
from embeddings.admin.buttons import ActionButtons
from embeddings.admin.links import page_url
from embeddings.admin.listing import BoundedChangeList
from embeddings.admin.pause_form import PauseForm
from embeddings.admin.readonly import ReadOnlyAdmin
from embeddings.models import Pause

Kind = Pause.Kind

MEANING = {
    Kind.EVERYTHING: (
        "No worker takes a task, splits a text or goes on with an operation, but for those that cancel or clear tasks. "
        "Saves go on recording what is to be embedded, and searches go on."
    ),
    Kind.PROVIDER: (
        "Nothing at all is sent to it: its tasks wait, and searches by meaning that need it find by words instead."
    ),
    Kind.TARGET: "Its tasks wait. Searches go on with the vectors that there are.",
}
QUEUE_IS_OFF = (
    "EMBEDDINGS['QUEUE_ENABLED'] is False: what is saved meanwhile is not taken up by itself afterwards. "
    "Run manage.py requeue_missing then."
)
# Tasks that are counted for each line of the list.
MOST_COUNTED = 10_000


class PauseChangeList(BoundedChangeList):
    """The list, with what each pause keeps waiting."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        for pause in self.result_list:
            pause.held = stats.held(pause.kind, pause.name, most=MOST_COUNTED)


@admin.register(Pause)
class PauseAdmin(ActionButtons, ReadOnlyAdmin):
    """One row a pause in force."""

    actions = ("resume_pauses",)
    change_list_template = "embeddings/admin/pauses.html"

    ordering = ("kind", "name")  # type: ignore[assignment]
    list_display = ("what", "go_on", "reason", "by", "since", "ends", "held")
    fields = ("explained", "reason", "by", "created_at", "ends", "held")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pause]:
        return pauses.in_force().order_by(*self.ordering)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PauseChangeList

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [name for name in self.list_display if name != "go_on" or self.has_set_permission(request)]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        pause: Any = super().get_object(request, object_id, from_field)
        if pause is not None:
            pause.held = stats.held(pause.kind, pause.name)
        return pause

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {"title": "What is paused", "may_pause": self.has_set_permission(request), **(extra_context or {})}
        return super().changelist_view(request, context)

    def possible_actions(self, obj: Pause) -> dict[str, str]:
        return {"resume_pauses": "Resume"}

    def has_set_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.{get_permission_codename('set', self.opts)}")

    def has_view_permission(self, request: HttpRequest, obj: Pause | None = None) -> bool:
        """Who may pause may see what is."""
        return super().has_view_permission(request, obj) or self.has_set_permission(request)

    # Pages of their own.

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("pause/", view(self.pause_view), name="embeddings_pause_pause"),
            path("<int:pause_id>/resume/", view(self.resume_view), name="embeddings_pause_resume"),
            *super().get_urls(),
        ]

    def pause_view(self, request: HttpRequest) -> HttpResponse:
        """Ask, show what will wait, and pause once that is confirmed."""
        if not self.has_set_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            what = f"{request.GET.get('kind', '')}:{request.GET.get('name', '')}"
            return self._ask(request, PauseForm(initial={"what": what}))
        form = PauseForm(request.POST)
        if not form.is_valid() or "_change" in request.POST:
            return self._ask(request, form)
        if "_confirmed" not in request.POST:
            return self._confirm(request, form)
        self._pause(request, form)
        return HttpResponseRedirect(self._next(request))

    def resume_view(self, request: HttpRequest, pause_id: int) -> HttpResponse:
        """Lift one pause, for the buttons of several pages."""
        if not self.has_set_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        self.resume_pauses(request, self.get_queryset(request).filter(pk=pause_id))
        return HttpResponseRedirect(self._next(request))

    @admin.action(description="Resume what is selected", permissions=["set"])
    def resume_pauses(self, request: HttpRequest, queryset: QuerySet[Pause]) -> None:
        by = request.user.get_username()
        resumed = [pause for pause in queryset if pauses.resume(pause.kind, pause.name, by=by)]
        if not resumed:
            self.message_user(request, "Nothing to resume: it was not paused any more.", messages.WARNING)
            return
        LogEntry.objects.log_actions(request.user.pk, resumed, DELETION, "Resumed.")  # type: ignore[arg-type]
        names = ", ".join(str(pause) for pause in resumed)
        said = f"{capfirst(names)} {'goes' if len(resumed) == 1 else 'go'} on."
        self.message_user(request, said, messages.SUCCESS)

    def _pause(self, request: HttpRequest, form: PauseForm) -> None:
        reason, by = form.cleaned_data["reason"], request.user.get_username()
        begun = pauses.pause(form.kind, form.name, reason=reason, by=by, ends_at=form.end)
        LogEntry.objects.log_actions(request.user.pk, [begun], ADDITION, f"Paused: {reason}")  # type: ignore[arg-type]
        self.message_user(request, f"{capfirst(str(begun))} is paused.", messages.SUCCESS)

    def _ask(self, request: HttpRequest, form: PauseForm) -> HttpResponse:
        return self._page(request, "pause_form", form, title="Pause")

    def _confirm(self, request: HttpRequest, form: PauseForm) -> HttpResponse:
        named = Pause(kind=form.kind, name=form.name, ends_at=form.end)
        return self._page(
            request,
            "pause_confirmation",
            form,
            title=f"Pause {named}?",
            ends=_ending(named),
            meaning=MEANING[form.kind],
            held=stats.held(form.kind, form.name),
            replaced=pauses.in_force().filter(kind=form.kind, name=form.name).first(),
            warning="" if conf.current().queue_enabled else QUEUE_IS_OFF,
        )

    def _page(self, request: HttpRequest, template: str, form: PauseForm, **context: Any) -> HttpResponse:
        given = {**self.admin_site.each_context(request), "opts": self.opts, "form": form, "media": self.media}
        given |= {"next": request.POST.get("next") or request.GET.get("next") or "", "list_url": self._list_url()}
        given["now"] = _exact(timezone.localtime())
        return TemplateResponse(request, f"embeddings/admin/{template}.html", {**given, **context})

    def _next(self, request: HttpRequest) -> str:
        """Where the user came from, if that is a page of this host."""
        wanted = request.POST.get("next") or request.GET.get("next") or ""
        is_ours = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
        return wanted if is_ours else self._list_url()

    def _list_url(self) -> str:
        return reverse("admin:embeddings_pause_changelist", current_app=self.admin_site.name)

    # What is shown.

    @admin.display(description="paused")
    def what(self, pause: Pause) -> str:
        return capfirst(str(pause))

    @admin.display(description="paused")
    def explained(self, pause: Pause) -> str:
        return format_html(
            "{} {} {}", labels.pill("paused", str(pause)), MEANING[Kind(pause.kind)], self.buttons(pause)
        )

    @admin.display(description="since")
    def since(self, pause: Pause) -> str:
        return labels.ago(pause.created_at)

    @admin.display(description="ends")
    def ends(self, pause: Pause) -> str:
        return "when somebody resumes it" if pause.ends_at is None else labels.ahead(pause.ends_at)

    @admin.display(description="tasks that wait")
    def held(self, pause: Any) -> str:
        return str(pause.held)

    @admin.display(description="")
    def go_on(self, pause: Any) -> str:
        return resume_button(pause, self.admin_site)


def resume_button(pause: Pause, site: admin.AdminSite, then: str = "") -> str:
    """A button for any form of a page; `then` is where it leads afterwards. "" on a site without pages of pauses."""
    url = page_url(site, "pause_resume", pause.pk, **({"next": then} if then else {}))
    return url and format_html('<button type="submit" class="button" formaction="{}">Resume</button>', url)


def _ending(named: Pause) -> str:
    if named.ends_at is None:
        return "until somebody resumes it"
    return f"until {_exact(timezone.localtime(named.ends_at))}"


def _exact(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} ({moment:%Z})"
