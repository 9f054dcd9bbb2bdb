-- Within fail.sql and rescue.sql, when a webhook wants to know: one event of all that have failed for good.
, told_tasks AS (
    INSERT INTO embeddings_webhookevent (kind, data)
    SELECT 'task.failed', jsonb_build_object('tasks', jsonb_agg(jsonb_build_object(
        'id', task.id, 'model', type.app_label || '.' || type.model, 'objectId', task.object_id, 'field', task.field,
        'status', task.status, 'batch', task.batch_id,
        'error', jsonb_build_object(
            'kind', task.error_kind, 'class', task.error_class, 'message', left(task.error_message, 300)
        )
    ) ORDER BY task.id))
    FROM {ended} AS task JOIN django_content_type AS type ON type.id = task.content_type_id
    WHERE task.status = 'failed'
    HAVING count(*) > 0
)
