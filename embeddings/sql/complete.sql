-- Settle tasks whose vectors have just been written, or nulled because there is no text. Each is kept as an attempt,
-- whose number is 0 no more where the object was saved, with the same text, while it was in hand.
WITH settled AS (
    UPDATE embeddings_embeddingtask AS task SET
        status = CASE WHEN task.id = ANY(%(empty)s::bigint[]) THEN 'empty' ELSE 'completed' END,
        completed_at = CASE WHEN task.id <> ALL(%(empty)s::bigint[]) THEN clock_timestamp() END,
        fingerprint = done.fingerprint,
        model_id = %(model_id)s,
        dimensions = %(dimensions)s,
        tokens_estimated = done.tokens_estimated,
        -- A vector that was kept is what it was.
        tokens = CASE WHEN task.id = ANY(%(kept)s::bigint[]) THEN task.tokens ELSE done.tokens END,
        truncated = CASE WHEN task.id = ANY(%(kept)s::bigint[]) THEN task.truncated ELSE task.id = ANY(%(truncated)s::bigint[]) END,
        lease_token = NULL,
        lease_until = NULL,
        crashes = 0,
        error_kind = '',
        error_class = '',
        error_message = '',
        error_signature = '',
        error_status = NULL,
        updated_at = clock_timestamp()
    FROM unnest(
        %(ids)s::bigint[], %(fingerprints)s::text[], %(tokens_estimated)s::int[], %(tokens)s::int[]
    ) AS done (id, fingerprint, tokens_estimated, tokens)
    -- Told apart row by row: to a planner that thinks few tasks have a lease, each would be worth a read of them all.
    WHERE task.id = done.id AND task.id = ANY(%(ids)s::bigint[]) AND CASE WHEN task.lease_token = %(token)s THEN true END
    RETURNING
        task.id, task.content_type_id, task.field, task.attempts, task.version, task.worker, task.claimed_at,
        task.requested_at, task.updated_at, task.model_id, done.tokens, task.object_id, task.status, task.batch_id
), recorded AS (
    INSERT INTO embeddings_taskattempt (
        task_id, outcome, is_final, number, version, worker, claimed_at, ended_at, tokens, model_id,
        error_kind, error_class, error_message
    )
    SELECT id, 'completed', true, GREATEST(attempts, 1), version, worker, claimed_at, updated_at, tokens, model_id, '', '', ''
    FROM settled
) {told}
SELECT content_type_id, field, extract(epoch FROM updated_at - requested_at)::float8 FROM settled
