from __future__ import annotations

from django.urls import path, re_path

from embeddings.api import (
    alerts,
    base,
    batches,
    bulk,
    entities,
    health,
    metrics,
    operations,
    pauses,
    provider_ping,
    providers,
    queue,
    search,
    settings,
    stats,
    tasks,
    texts,
    workers,
)

app_name = "embeddings-api"
urlpatterns = [
    path("queue/status/", queue.QueueStatus.as_view(), name="queue-status"),
    path("tasks/", tasks.TaskList.as_view(), name="task-list"),
    path("tasks/bulk/", bulk.TaskBulk.as_view(), name="task-bulk"),
    path("tasks/<int:task_id>/", tasks.TaskDetail.as_view(), name="task-detail"),
    path("tasks/<int:task_id>/retry/", tasks.TaskRetry.as_view(), name="task-retry"),
    path("tasks/<int:task_id>/cancel/", tasks.TaskCancel.as_view(), name="task-cancel"),
    path("entities/<str:model>/<path:object_id>/", entities.Entity.as_view(), name="entity-detail"),
    path("texts/", texts.Texts.as_view(), name="text-list"),
    path("texts/<int:task_id>/", texts.Text.as_view(), name="text-detail"),
    path("batches/", batches.BatchList.as_view(), name="batch-list"),
    path("batches/<int:batch_id>/", batches.BatchDetail.as_view(), name="batch-detail"),
    path("batches/<int:batch_id>/retry/", batches.BatchRetry.as_view(), name="batch-retry"),
    path("batches/<int:batch_id>/roll-back/", batches.BatchRollBack.as_view(), name="batch-roll-back"),
    path("operations/", operations.OperationList.as_view(), name="operation-list"),
    path("operations/<int:operation_id>/", operations.OperationDetail.as_view(), name="operation-detail"),
    path("operations/<int:operation_id>/stop/", operations.OperationStop.as_view(), name="operation-stop"),
    path("search/", search.Search.as_view(), name="search"),
    # What operators and monitors ask.
    path("health/", health.HealthView.as_view(), name="health"),
    path("stats/", stats.StatsView.as_view(), name="stats"),
    path("metrics/", metrics.MetricsView.as_view(), name="metrics"),
    path("workers/", workers.WorkersView.as_view(), name="worker-list"),
    path("providers/", providers.ProviderList.as_view(), name="provider-list"),
    path("providers/<str:alias>/", providers.ProviderDetail.as_view(), name="provider-detail"),
    path("providers/<str:alias>/pause/", providers.ProviderPause.as_view(), name="provider-pause"),
    path("providers/<str:alias>/resume/", providers.ProviderResume.as_view(), name="provider-resume"),
    path("providers/<str:alias>/ping/", provider_ping.ProviderPing.as_view(), name="provider-ping"),
    path("pauses/", pauses.PausesView.as_view(), name="pause-list"),
    path("settings/", settings.SettingsView.as_view(), name="settings"),
    path("alerts/", alerts.AlertList.as_view(), name="alert-list"),
    # The last: what is none of the above is answered in the shape of the above.
    re_path("", base.Nowhere.as_view()),
]
