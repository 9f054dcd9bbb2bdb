-- Record failed attempts: tasks with attempts left wait for their delay, the others are failed for good.
-- A failure of a text that has been edited meanwhile says nothing about the new one: that task is pending again.
-- What is charged is kept as an attempt.
WITH charged AS (
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
        -- Told apart row by row, as in complete.sql.
        WHERE held.id = ANY(%(ids)s::bigint[]) AND CASE WHEN held.lease_token = %(token)s THEN true END
        ORDER BY held.id
        FOR UPDATE OF held SKIP LOCKED
    ) AS bad
    WHERE task.id = bad.id
    RETURNING
        task.id, task.status, task.content_type_id, task.field, task.attempts, task.version, task.worker,
        task.claimed_at, task.updated_at, task.error_kind, task.error_class, task.error_message,
        task.object_id, task.batch_id
), recorded AS (
    INSERT INTO embeddings_taskattempt (
        task_id, outcome, is_final, number, version, worker, claimed_at, ended_at, model_id,
        error_kind, error_class, error_message
    )
    SELECT
        id, 'failed', status = 'failed', GREATEST(attempts, 1), version, worker, claimed_at, updated_at, '',
        error_kind, error_class, error_message
    FROM charged WHERE status <> 'pending'
) {told}
SELECT content_type_id, field, status FROM charged
