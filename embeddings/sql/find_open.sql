-- A task that a claim of the given open targets would find (claim_open.sql), with at least so many crashes.
SELECT found.id
FROM unnest(%(content_types)s::int[], %(fields)s::text[], %(providers)s::text[])
        AS target (content_type_id, field, provider),
    LATERAL (
        SELECT id FROM embeddings_embeddingtask
        WHERE status = 'pending' AND provider = target.provider
            AND (content_type_id, field, crashes) >= (target.content_type_id, target.field, %(crashes)s)
            AND (content_type_id, field) <= (target.content_type_id, target.field)
        ORDER BY content_type_id, field, crashes, sort_key
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) AS found
LIMIT 1
