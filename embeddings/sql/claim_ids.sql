-- Take the given tasks under a lease, for work that is done in the saving process itself (no queue), as far as their
-- providers may be called and their targets are not paused.
UPDATE embeddings_embeddingtask AS task SET
    status = 'processing',
    worker = %(worker)s,
    lease_token = %(token)s,
    lease_until = clock_timestamp() + %(lease_seconds)s * interval '1 second',
    available_at = NULL,
    attempts = attempts + 1,
    claimed_at = clock_timestamp(),
    updated_at = clock_timestamp()
WHERE id = ANY(ARRAY(
    SELECT id FROM embeddings_embeddingtask
    WHERE id = ANY(%(ids)s) AND provider = ANY(%(providers)s) AND (
        status IN ('pending', 'scheduled') OR status = 'rate_limited' AND available_at <= clock_timestamp()
    ) AND (content_type_id, field) NOT IN (
        SELECT * FROM unnest(%(paused_content_types)s::int[], %(paused_fields)s::text[])
    )
    ORDER BY sort_key
    FOR UPDATE SKIP LOCKED
))
RETURNING id, content_type_id, object_id, field, fingerprint, version, attempts, crashes,
    (extract(epoch FROM sort_key) * 1000000)::bigint, provider, payload
