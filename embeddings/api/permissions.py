"""Who may do what: each view names the Django permission that it needs, whatever the project's defaults are."""

from __future__ import annotations

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

VIEW = "embeddings.view_embeddingtask"
RETRY = "embeddings.retry_embeddingtask"
CANCEL = "embeddings.cancel_embeddingtask"
ADD_TEXT = "embeddings.add_directtext"
CLEAR = "embeddings.clear_embeddingtask"
VIEW_TEXT = "embeddings.view_directtext"
VIEW_BATCH = "embeddings.view_embeddingbatch"
VIEW_OPERATION = "embeddings.view_embeddingoperation"
ADD_OPERATION = "embeddings.add_embeddingoperation"
STOP_OPERATION = "embeddings.stop_embeddingoperation"
VIEW_WORKER = "embeddings.view_workerstatus"
VIEW_PROVIDER = "embeddings.view_providerstate"
RESUME_PROVIDER = "embeddings.resume_providerstate"
VIEW_PAUSE = "embeddings.view_pause"
SET_PAUSE = "embeddings.set_pause"
VIEW_SETTINGS = "embeddings.view_livesettings"
VIEW_ALERT = "embeddings.view_alert"


class HasPermission(IsAuthenticated):
    """Logged in, and with the view's `required_permission`."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not super().has_permission(request, view):
            return False
        needed: str = view.required_permission  # type: ignore[attr-defined]
        self.message = f"This needs the permission {needed}."
        return request.user.has_perm(needed)


def require(request: Request, needed: str) -> None:
    """For what it takes beyond the view's own permission; raises PermissionDenied."""
    if not request.user.has_perm(needed):
        raise PermissionDenied(f"This needs the permission {needed}.")
