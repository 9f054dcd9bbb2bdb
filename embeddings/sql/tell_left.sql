-- Within request.sql, when a webhook wants to know of finished batches: those that lose open tasks to the one that
-- requests, and may be finished by that.
, told_batches AS (
    INSERT INTO embeddings_webhookevent (kind, data)
    SELECT 'batch.finished', jsonb_build_object('batches', jsonb_agg(DISTINCT present_batch_id))
    FROM changed
    WHERE present_batch_id <> %(batch_id)s::bigint
        AND present_status IN ('pending', 'scheduled', 'rate_limited', 'processing')
    HAVING count(*) > 0
)
