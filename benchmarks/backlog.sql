-- %(tasks)s tasks that wait, in the order of their numbers, and the objects of the first %(pages)s of them.
INSERT INTO benchmarks_embeddedpage (id, title, body)
SELECT number, 'Page ' || number, repeat('It says so and so much. ', 4)
FROM generate_series(1, %(pages)s) AS number;

INSERT INTO embeddings_embeddingtask (
    content_type_id, object_id, field, provider, status, priority, sort_key, worker, attempts, crashes, version,
    fingerprint, model_id, truncated, error_kind, error_class, error_message, error_signature,
    created_at, requested_at, updated_at
)
SELECT
    %(content_type)s, number::text, 'embedding', 'default', 'pending', 'low',
    now() - interval '1 hour' + number * interval '1 millisecond', '', 0, 0, 1,
    '', '', false, '', '', '', '', now(), now(), now()
FROM generate_series(1, %(tasks)s) AS number;
