-- Record failed attempts: tasks with attempts left wait for their delay, the others are failed for good.
-- A failure of a text that has been edited meanwhile says nothing about the new one: that task is pending again.
UPDATE embeddings_embeddingtask AS task SET
    status = bad.status,
    available_at = CASE WHEN bad.status = 'scheduled' THEN clock_timestamp() + bad.delay * interval '1 second' END,
    error_kind = CASE WHEN bad.status = 'pending' THEN task.error_kind ELSE %(error_kind)s END,
    error_class = CASE WHEN bad.status = 'pending' THEN task.error_class ELSE %(error_class)s END,
    error_message = CASE WHEN bad.status = 'pending' THEN task.error_message ELSE %(error_message)s END,
    error_signature = CASE WHEN bad.status = 'pending' THEN task.error_signature ELSE %(error_signature)s END,
    error_status = CASE WHEN bad.status = 'pending' THEN task.error_status ELSE %(error_status)s::smallint END,
    lease_token = NULL,
    lease_until = NULL,
    updated_at = clock_timestamp()
FROM (
    SELECT
        held.id, given.delay,
        CASE
            WHEN held.version <> given.version THEN 'pending'
            WHEN %(is_final)s OR held.attempts >= %(max_attempts)s THEN 'failed'
            ELSE 'scheduled'
        END AS status
    FROM embeddings_embeddingtask AS held
    JOIN unnest(
        %(ids)s::bigint[], %(versions)s::int[], %(delays)s::float8[]
    ) AS given (id, version, delay) USING (id)
    WHERE held.lease_token = %(token)s
    ORDER BY held.id
    FOR UPDATE OF held SKIP LOCKED
) AS bad
WHERE task.id = bad.id
RETURNING task.status
