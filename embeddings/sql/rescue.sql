-- Free tasks whose worker died: their lease ran out, or the worker's parent saw it die.
-- A task that was in hand at too many deaths in a row is the likely cause and is failed.
UPDATE embeddings_embeddingtask AS task SET
    status = CASE WHEN crashes + 1 >= %(max_crashes)s THEN 'failed' ELSE 'pending' END,
    crashes = crashes + 1,
    attempts = GREATEST(attempts - 1, 0),
    error_kind = 'crash',
    error_class = 'WorkerDied',
    error_message = format('The worker died while it had this task in hand (%%s times in a row).', crashes + 1),
    error_signature = 'crash: WorkerDied',
    lease_token = NULL,
    lease_until = NULL,
    updated_at = clock_timestamp()
WHERE id = ANY(ARRAY(
    SELECT id FROM embeddings_embeddingtask
    WHERE status = 'processing' AND (lease_until < clock_timestamp() OR worker = %(worker)s)
    ORDER BY id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
))
RETURNING status
