-- Free tasks whose worker died: their lease ran out, or the worker's parent saw it die.
-- A worker that was there before the claim and was heard of in the last half of the lease did not die: its death would
-- have been in the first quarter, as it renews a lease after that. It has let go of the task, because the database was
-- away or the row locked, as has one that ended in order; nothing is charged.
-- A task that was in hand at too many deaths in a row is the likely cause and is failed.
-- Each death is kept as an attempt, though it is not charged as one.
WITH lost AS (
    SELECT
        id,
        task.attempts AS number,
        task.crashes + CASE WHEN %(is_crash)s AND alive.name IS NULL THEN 1 ELSE 0 END AS crashes,
        %(is_crash)s AND alive.name IS NULL AS is_crash
    FROM embeddings_embeddingtask AS task
    LEFT JOIN unnest(
        %(names)s::text[], %(started)s::timestamptz[], %(beaten)s::timestamptz[], %(stopped)s::timestamptz[]
    ) AS alive (name, started_at, beaten_at, stopped_at)
        ON alive.name = task.worker AND alive.started_at <= task.claimed_at
        AND (
            alive.beaten_at > task.lease_until - %(lease_seconds)s / 2 * interval '1 second'
            OR alive.stopped_at >= task.claimed_at
        )
    WHERE status = 'processing'
        AND CASE WHEN %(worker)s::text IS NULL THEN lease_until < clock_timestamp() ELSE worker = %(worker)s END
    ORDER BY id
    LIMIT %(limit)s
    FOR UPDATE OF task SKIP LOCKED
), freed AS (
    UPDATE embeddings_embeddingtask AS task SET
        status = CASE WHEN lost.is_crash AND lost.crashes >= %(max_crashes)s THEN 'failed' ELSE 'pending' END,
        crashes = lost.crashes,
        attempts = GREATEST(task.attempts - 1, 0),
        error_kind = CASE WHEN lost.is_crash THEN 'crash' ELSE task.error_kind END,
        error_class = CASE WHEN lost.is_crash THEN 'WorkerDied' ELSE task.error_class END,
        error_message = CASE WHEN lost.is_crash
            THEN format('The worker died while it had this task in hand (%%s times in a row).', lost.crashes)
            ELSE task.error_message END,
        error_signature = CASE WHEN lost.is_crash THEN 'crash: WorkerDied' ELSE task.error_signature END,
        error_status = CASE WHEN lost.is_crash THEN NULL ELSE task.error_status END,
        lease_token = NULL,
        lease_until = NULL,
        updated_at = clock_timestamp()
    FROM lost
    WHERE task.id = lost.id
    RETURNING
        task.id, task.status, task.content_type_id, task.field, task.version, task.worker, task.claimed_at,
        task.updated_at, task.error_kind, task.error_class, task.error_message, lost.number, lost.is_crash,
        task.object_id, task.batch_id
), recorded AS (
    INSERT INTO embeddings_taskattempt (
        task_id, outcome, is_final, number, version, worker, claimed_at, ended_at, model_id,
        error_kind, error_class, error_message
    )
    SELECT
        id, 'crashed', status = 'failed', GREATEST(number, 1), version, worker, claimed_at, updated_at, '',
        error_kind, error_class, error_message
    FROM freed WHERE is_crash
) {told}
SELECT content_type_id, field, status, worker, is_crash FROM freed
