"""Providers: whether they may be called now; paused and resumed."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import conf, live, operations, pauses
from embeddings.api import permissions
from embeddings.api.base import EmbeddingsView
from embeddings.api.describing import INVALID, MISSING, REFUSED, TAG, answer, example
from embeddings.api.parsing import StrictSerializer
from embeddings.api.pauses import begin
from embeddings.api.provider_states import EmbeddingProviderSerializer, Provider, providers
from embeddings.models import Pause

EXAMPLE = {
    "alias": "default",
    "modelId": "text-embedding-3-small",
    "dimensions": 1536,
    "state": "available",
    "meaning": "It may be called.",
    "until": None,
    "failuresInARow": 0,
    "lastError": "",
    "quota": {"requests": {"used": 120, "limit": 500}},
}
PAUSED = EXAMPLE | {
    "state": "paused",
    "meaning": "It was paused by anna, until 2026-01-31 18:00 UTC: the key is being changed",
    "until": "2026-01-31T18:00:00Z",
}
RESUMED = {
    "liftedPause": True,
    "closedCircuit": False,
    "message": "The pause was lifted.",
    "provider": EXAMPLE,
}
WHY = {"reason": "the key is being changed", "until": "2026-01-31T18:00:00Z"}
ANSWER = answer("EmbeddingProviderAnswer", EmbeddingProviderSerializer())
# What a resumption did, by (whether it lifted a pause, whether it closed a circuit).
SENTENCES = {
    (True, True): "The pause was lifted, and what blocked the provider is forgotten: it may be called again.",
    (True, False): "The pause was lifted.",
    (False, True): "What blocked the provider is forgotten: it may be called again.",
    (False, False): "Nothing to do: it was neither paused nor blocked.",
}


class EmbeddingProviderListSerializer(serializers.Serializer[Any]):
    """All of them."""

    providers = EmbeddingProviderSerializer(many=True, help_text="In the order of the settings.")


class EmbeddingProviderPauseSerializer(StrictSerializer):
    """Why, and for how long."""

    reason = serializers.CharField(max_length=500, help_text="Everybody who finds it paused will read it.")
    until = serializers.DateTimeField(
        allow_null=True, default=None, help_text="When the pause ends by itself; null: when somebody resumes it."
    )


class EmbeddingProviderResumedSerializer(serializers.Serializer[Any]):
    """What was done."""

    liftedPause = serializers.BooleanField(help_text="True: it was paused by an operator, and is not any more.")
    closedCircuit = serializers.BooleanField(
        help_text="True: it was blocked (open circuit, rate limit, quota, configuration), and is not any more."
    )
    message = serializers.CharField()
    provider = EmbeddingProviderSerializer()


class ProviderList(EmbeddingsView):
    required_permission = permissions.VIEW_PROVIDER

    @extend_schema(
        operation_id="embeddings_providers_list",
        summary="Whether the providers may be called, and what of their quotas is used",
        description="Those of EMBEDDING_PROVIDERS, then those with a state that are not configured any more.",
        tags=[TAG],
        responses={200: answer("EmbeddingProviderListAnswer", EmbeddingProviderListSerializer()), **REFUSED},
        examples=example({"providers": [EXAMPLE]}),
    )
    def get(self, request: Request) -> Response:
        live.refresh()  # Another process may have changed the quotas.
        return Response({"success": True, "data": EmbeddingProviderListSerializer({"providers": providers()}).data})


class ProviderView(EmbeddingsView):
    """Base of the views of one provider."""

    def provider(self, alias: str) -> Provider:
        live.refresh()
        found = next((one for one in providers() if one.alias == alias), None)
        if found is None:
            known = ", ".join(conf.provider_aliases())
            raise exceptions.NotFound(f"There is no provider {alias!r}; there are {known}.")
        return found

    def shown(self, alias: str) -> Any:
        return EmbeddingProviderSerializer(self.provider(alias)).data


class ProviderDetail(ProviderView):
    required_permission = permissions.VIEW_PROVIDER

    @extend_schema(
        operation_id="embeddings_providers_read",
        summary="Whether a provider may be called, and what of its quotas is used",
        description="With its last error, which has no keys and no texts in it.",
        tags=[TAG],
        responses={200: ANSWER, **REFUSED, **MISSING},
        examples=example(EXAMPLE),
    )
    def get(self, request: Request, alias: str) -> Response:
        return Response({"success": True, "data": self.shown(alias)})


class ProviderPause(ProviderView):
    required_permission = permissions.SET_PAUSE

    @extend_schema(
        operation_id="embeddings_providers_pause",
        summary="Send nothing more to a provider",
        description=(
            "What is under way is finished; its tasks wait, and searches by meaning that need it find by words. "
            "A pause that runs already is replaced."
        ),
        tags=[TAG],
        request=EmbeddingProviderPauseSerializer,
        responses={200: ANSWER, **INVALID, **REFUSED, **MISSING},
        examples=[OpenApiExample("Example", value=WHY, request_only=True), *example(PAUSED)],
    )
    def post(self, request: Request, alias: str) -> Response:
        self.provider(alias)
        wanted = EmbeddingProviderPauseSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        begin(kind=Pause.Kind.PROVIDER, name=alias, **wanted.validated_data, by=request.user.get_username())
        return Response({"success": True, "data": self.shown(alias)})


class ProviderResume(ProviderView):
    required_permission = permissions.RESUME_PROVIDER

    @extend_schema(
        operation_id="embeddings_providers_resume",
        summary="Let a provider be called again, now",
        description=(
            "Forgets what blocks it (an open circuit, a rate limit, a used up quota, a refused configuration) and "
            "lifts a pause of it, which takes the permission to pause too. A pause of everything stays."
        ),
        tags=[TAG],
        request=None,
        responses={
            200: answer("EmbeddingProviderResumedAnswer", EmbeddingProviderResumedSerializer()),
            **REFUSED,
            **MISSING,
        },
        examples=example(RESUMED),
    )
    def post(self, request: Request, alias: str) -> Response:
        by = request.user.get_username()
        is_paused = pauses.in_force().filter(kind=Pause.Kind.PROVIDER, name=self.provider(alias).alias).exists()
        if is_paused and not request.user.has_perm(permissions.SET_PAUSE):
            raise exceptions.PermissionDenied(
                f"It is paused, and to lift that needs the permission {permissions.SET_PAUSE}."
            )
        done = (pauses.resume(Pause.Kind.PROVIDER, alias, by=by), operations.resume_provider(alias, by=by))
        data = dict(zip(("liftedPause", "closedCircuit"), done, strict=True))
        return Response({"success": True, "data": {**data, "message": SENTENCES[done], "provider": self.shown(alias)}})
