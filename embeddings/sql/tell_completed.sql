-- Within complete.sql, when a webhook wants to know: one event of all that are done.
, told_tasks AS (
    INSERT INTO embeddings_webhookevent (kind, data)
    SELECT 'task.completed', jsonb_build_object('tasks', jsonb_agg(jsonb_build_object(
        'id', task.id, 'model', type.app_label || '.' || type.model, 'objectId', task.object_id, 'field', task.field,
        'status', task.status, 'batch', task.batch_id
    ) ORDER BY task.id))
    FROM settled AS task JOIN django_content_type AS type ON type.id = task.content_type_id
    HAVING count(*) > 0
)
