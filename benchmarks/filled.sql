-- Pages number %(first)s to %(last)s with a vector and a completed task each, as embedding their texts leaves them. The
-- vector is the same in all: what is measured looks whether one is there.
INSERT INTO benchmarks_embeddedpage (id, title, body, embedding)
SELECT number, 'Page ' || number, trim(repeat('It says so and so much. ', 4)), vector.same
FROM generate_series(%(first)s, %(last)s) AS number,
    (SELECT array_agg(1.0 / n)::real[]::vector AS same FROM generate_series(1, %(dimensions)s) AS n) AS vector;

INSERT INTO embeddings_embeddingtask (
    content_type_id, object_id, field, provider, status, priority, sort_key, worker, attempts, crashes, version,
    fingerprint, model_id, dimensions, tokens_estimated, tokens, truncated,
    error_kind, error_class, error_message, error_signature,
    created_at, requested_at, updated_at, claimed_at, completed_at
)
SELECT
    %(content_type)s, page.id::text, 'embedding', 'default', 'completed', 'normal', now(), 'worker-1.example', 1, 0, 1,
    -- As embeddings.text.fingerprint makes it.
    encode(sha256(
        convert_to(%(model_id)s, 'UTF8') || '\x00' || convert_to(%(dimensions)s::text, 'UTF8') || '\x00'
            || convert_to(page.title || E'\n\n' || page.body, 'UTF8')
    ), 'hex'),
    %(model_id)s, %(dimensions)s, 25, 25, false, '', '', '', '', now(), now(), now(), now(), now()
FROM benchmarks_embeddedpage AS page WHERE page.id BETWEEN %(first)s AND %(last)s;
