-- Within request.sql, when a batch requests: count the tasks that are new to it.
, counted AS (
    UPDATE embeddings_embeddingbatch SET total = total + joining.number
    FROM (
        SELECT count(*) AS number FROM changed WHERE present_batch_id IS DISTINCT FROM %(batch_id)s::bigint
    ) AS joining
    WHERE id = %(batch_id)s::bigint AND joining.number > 0
)
