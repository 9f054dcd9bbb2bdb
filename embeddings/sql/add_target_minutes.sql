-- Add what a process has counted to the rows of this minute, and to the totals. Nothing, if another process is about
-- it: so nobody waits.
WITH given AS MATERIALIZED (
    SELECT *
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS row (
        target text, completed bigint, attempts_failed bigint, failed bigint, durations bigint[], seconds float8
    )
    WHERE (SELECT pg_try_advisory_xact_lock(hashtext('embeddings_targetminute')))
), totalled AS (
    INSERT INTO embeddings_targettotal AS stored (target, completed, attempts_failed, failed, waiting, seconds)
    SELECT target, completed, attempts_failed, failed, durations, seconds FROM given
    ON CONFLICT (target) DO UPDATE SET
        completed = stored.completed + excluded.completed,
        attempts_failed = stored.attempts_failed + excluded.attempts_failed,
        failed = stored.failed + excluded.failed,
        waiting = ARRAY(
            SELECT coalesce(one, 0) + coalesce(other, 0)
            FROM unnest(stored.waiting, excluded.waiting) WITH ORDINALITY AS bucket (one, other, number)
            ORDER BY number
        ),
        seconds = stored.seconds + excluded.seconds
)
INSERT INTO embeddings_targetminute AS stored (target, minute, completed, attempts_failed, failed, waiting)
SELECT target, date_trunc('minute', clock_timestamp()), completed, attempts_failed, failed, durations
FROM given
ON CONFLICT (minute, target) DO UPDATE SET
    completed = stored.completed + excluded.completed,
    attempts_failed = stored.attempts_failed + excluded.attempts_failed,
    failed = stored.failed + excluded.failed,
    waiting = ARRAY(
        SELECT coalesce(one, 0) + coalesce(other, 0)
        FROM unnest(stored.waiting, excluded.waiting) WITH ORDINALITY AS bucket (one, other, number)
        ORDER BY number
    )
RETURNING id
