-- Within a settling statement, when a webhook wants to know of finished batches: those that may be finished now.
, told_batches AS (
    INSERT INTO embeddings_webhookevent (kind, data)
    SELECT 'batch.finished', jsonb_build_object('batches', jsonb_agg(DISTINCT task.batch_id))
    FROM {ended} AS task
    WHERE task.batch_id IS NOT NULL AND task.status IN ('completed', 'empty', 'failed')
    HAVING count(*) > 0
)
