-- Open the task of one object that was inserted. Nearly always it has none yet; where it has, nothing happens, and
-- request.sql is to follow. That is three times as long, and most of its time is to read and to plan it.
INSERT INTO embeddings_embeddingtask (
    content_type_id, object_id, field, provider, status, priority, sort_key, available_at,
    worker, attempts, crashes, version, fingerprint, model_id, truncated,
    error_kind, error_class, error_message, error_signature, created_at, requested_at, updated_at
)
VALUES (
    %(content_type_id)s, %(object_id)s, %(field)s, %(provider)s,
    CASE WHEN %(delay)s > 0 THEN 'scheduled' ELSE 'pending' END,
    %(priority)s,
    -- Where an operator has changed a head start, that is in force for all processes at once.
    now() - COALESCE((
        SELECT CASE %(priority)s
            WHEN 'high' THEN head_start_high_seconds
            WHEN 'normal' THEN head_start_normal_seconds
            WHEN 'low' THEN head_start_low_seconds
        END
        FROM embeddings_livesettings WHERE id = 1
    ), %(head_start)s) * interval '1 second',
    CASE WHEN %(delay)s > 0 THEN now() + %(delay)s * interval '1 second' END,
    '', 0, 0, 1, '', '', false, '', '', '', '', now(), now(), now()
)
ON CONFLICT (content_type_id, object_id, field) DO NOTHING
RETURNING id
