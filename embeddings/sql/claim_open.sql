-- As claim.sql, while targets are paused: the most urgent tasks of the open targets, each found by its own index range
-- (embeddings_task_claim_target), so that no claim reads past what a paused target has waiting. What is locked and not
-- taken is free again when the statement ends. Rows are compared, not columns: where all that waits is of one target, the
-- planner takes equal columns for no condition at all, and walks over everything in another index.
UPDATE embeddings_embeddingtask AS task SET
    status = 'processing',
    worker = %(worker)s,
    lease_token = %(token)s,
    lease_until = clock_timestamp() + %(lease_seconds)s * interval '1 second',
    attempts = attempts + 1,
    claimed_at = clock_timestamp(),
    updated_at = clock_timestamp()
WHERE id = ANY(ARRAY(
    SELECT found.id
    FROM unnest(%(content_types)s::int[], %(fields)s::text[]) AS target (content_type_id, field),
        LATERAL (
            SELECT id, crashes, sort_key FROM embeddings_embeddingtask
            WHERE status = 'pending' AND provider = %(provider)s
                AND (content_type_id, field, crashes) >= (target.content_type_id, target.field, %(crashes)s)
                AND (content_type_id, field, crashes) <= (target.content_type_id, target.field, %(most_crashes)s)
            ORDER BY content_type_id, field, crashes, sort_key
            LIMIT %(limit)s
            FOR UPDATE SKIP LOCKED
        ) AS found
    ORDER BY found.crashes, found.sort_key
    LIMIT %(limit)s
))
RETURNING id, content_type_id, object_id, field, fingerprint, version, attempts, crashes,
    (extract(epoch FROM sort_key) * 1000000)::bigint, provider, payload
