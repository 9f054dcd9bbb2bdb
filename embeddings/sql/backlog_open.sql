-- As backlog.sql, while targets are paused: the tasks of the open targets, each found by its own index range. Rows are
-- compared, not columns, for the reason that claim_open.sql gives.
SELECT target.provider, sum((
    SELECT count(*) FROM (
        SELECT FROM embeddings_embeddingtask
        WHERE status = 'pending' AND provider = target.provider
            AND (content_type_id, field) >= (target.content_type_id, target.field)
            AND (content_type_id, field) <= (target.content_type_id, target.field)
        ORDER BY content_type_id, field, crashes, sort_key
        LIMIT %(most)s
    ) AS task
))::bigint
FROM unnest(%(content_types)s::int[], %(fields)s::text[], %(providers)s::text[])
    AS target (content_type_id, field, provider)
GROUP BY target.provider
