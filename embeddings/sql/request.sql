-- Open the tasks of objects that were saved: one row a target, in one statement, whatever their number.
-- A target whose vector was made from the same text is left alone, without a write or a lock.
-- `counted` is count_in_batch.sql or nothing: a save outside a batch need not be planned for one.
WITH requested AS (
    -- Where an operator has changed a head start, that is in force for all processes at once.
    SELECT r.content_type_id, r.object_id, r.field, r.provider, r.priority, r.delay, r.fingerprint,
        COALESCE(
            CASE r.priority
                WHEN 'high' THEN live.head_start_high_seconds
                WHEN 'normal' THEN live.head_start_normal_seconds
                WHEN 'low' THEN live.head_start_low_seconds
            END,
            r.head_start
        ) AS head_start
    FROM unnest(
        %(content_type_ids)s::int[], %(object_ids)s::text[], %(fields)s::text[], %(providers)s::text[],
        %(priorities)s::text[], %(head_starts)s::float8[], %(delays)s::float8[], %(fingerprints)s::text[]
    ) AS r (content_type_id, object_id, field, provider, priority, head_start, delay, fingerprint)
    LEFT JOIN embeddings_livesettings live ON live.id = 1
), changed AS (
    SELECT r.*, t.batch_id AS present_batch_id, t.status AS present_status FROM requested r
    LEFT JOIN embeddings_embeddingtask t USING (content_type_id, object_id, field)
    WHERE t.id IS NULL OR NOT (
        t.status IN ('completed', 'empty') AND t.provider = r.provider
        AND t.fingerprint = r.fingerprint AND r.fingerprint <> ''
    )
    ORDER BY r.content_type_id, r.object_id, r.field
)
{counted}
INSERT INTO embeddings_embeddingtask AS task (
    content_type_id, object_id, field, provider, status, priority, sort_key, available_at, batch_id,
    worker, attempts, crashes, version, fingerprint, model_id, truncated,
    error_kind, error_class, error_message, error_signature, created_at, requested_at, updated_at
)
SELECT
    content_type_id, object_id, field, provider,
    CASE WHEN delay > 0 THEN 'scheduled' ELSE 'pending' END,
    priority, now() - head_start * interval '1 second',
    CASE WHEN delay > 0 THEN now() + delay * interval '1 second' END,
    %(batch_id)s::bigint, '', 0, 0, 1, '', '', false, '', '', '', '', now(), now(), now()
FROM changed
ON CONFLICT (content_type_id, object_id, field) DO UPDATE SET
    provider = excluded.provider,
    -- In hand: it stays so, and its settling sees the moved version. Waiting for quota: it waits on.
    status = CASE
        WHEN task.status IN ('processing', 'rate_limited', 'pending') THEN task.status
        ELSE excluded.status
    END,
    -- A delay that runs already is not prolonged: saves collapse into the earlier time.
    available_at = CASE
        WHEN task.status IN ('processing', 'pending') THEN NULL
        WHEN task.status = 'rate_limited' THEN task.available_at
        WHEN task.status = 'scheduled' AND excluded.status = 'scheduled'
            THEN LEAST(task.available_at, excluded.available_at)
        ELSE excluded.available_at
    END,
    priority = CASE
        WHEN task.status IN ('processing', 'rate_limited', 'pending', 'scheduled')
            AND task.sort_key <= excluded.sort_key THEN task.priority
        ELSE excluded.priority
    END,
    sort_key = CASE
        WHEN task.status IN ('processing', 'rate_limited', 'pending', 'scheduled')
            THEN LEAST(task.sort_key, excluded.sort_key)
        ELSE excluded.sort_key
    END,
    -- A request without a batch leaves a task in its own until it is done (docs/decisions/0009).
    batch_id = COALESCE(
        excluded.batch_id, CASE WHEN task.status NOT IN ('completed', 'empty') THEN task.batch_id END
    ),
    is_shared = CASE
        WHEN excluded.batch_id = task.batch_id AND task.status NOT IN ('completed', 'empty') THEN task.is_shared
        WHEN excluded.batch_id IS NULL THEN task.batch_id IS NOT NULL AND task.status NOT IN ('completed', 'empty')
        ELSE task.status IN ('processing', 'rate_limited', 'pending', 'scheduled')
    END,
    version = task.version + 1,
    fingerprint = CASE WHEN %(is_overwritten)s THEN '' ELSE task.fingerprint END,
    attempts = 0,
    crashes = 0,
    completed_at = NULL,
    error_kind = '',
    error_class = '',
    error_message = '',
    error_signature = '',
    error_status = NULL,
    requested_at = CASE
        WHEN task.status IN ('processing', 'rate_limited', 'pending', 'scheduled') THEN task.requested_at
        ELSE excluded.requested_at
    END,
    updated_at = now()
RETURNING id
