-- Count the ledger by all that anybody asks about it. {sample} is nothing, or the part of the table that is read.
-- A vector of no text is none: what was empty has been estimated at 0 tokens. A regenerate forgets the fingerprint,
-- but the vector and the model that made it stay until the new one comes.
-- A task whose time has not come does not wait: it is where it should be.
SELECT
    content_type_id, field, provider, status,
    model_id <> '' AND tokens_estimated IS DISTINCT FROM 0 AS has_vector,
    model_id, dimensions, count(*), coalesce(sum(tokens_estimated), 0),
    min(requested_at) FILTER (
        WHERE status IN ('pending', 'rate_limited') OR status = 'scheduled' AND available_at <= now()
    )
FROM embeddings_embeddingtask {sample}
GROUP BY content_type_id, field, provider, status, has_vector, model_id, dimensions
