-- Take the next tasks of one provider under a lease. Rows that somebody else holds are skipped, never waited for.
-- Tasks that were in hand when a worker died (crashes > 0) are taken apart from the others, in smaller numbers.
UPDATE embeddings_embeddingtask AS task SET
    status = 'processing',
    worker = %(worker)s,
    lease_token = %(token)s,
    lease_until = clock_timestamp() + %(lease_seconds)s * interval '1 second',
    attempts = attempts + 1,
    claimed_at = clock_timestamp(),
    updated_at = clock_timestamp()
WHERE id = ANY(ARRAY(
    SELECT id FROM embeddings_embeddingtask
    WHERE status = 'pending' AND provider = %(provider)s
        AND crashes BETWEEN %(crashes)s AND %(most_crashes)s
    ORDER BY crashes, sort_key
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
))
RETURNING id, content_type_id, object_id, field, fingerprint, version, attempts, crashes,
    (extract(epoch FROM sort_key) * 1000000)::bigint, provider, payload
