-- What %(tasks)s tasks leave behind in a production of some months. The same rows every time: what looks random is a
-- hash of the row's number.

CREATE OR REPLACE FUNCTION pg_temp.draw(number bigint, salt int) RETURNS double precision IMMUTABLE LANGUAGE sql
    RETURN (hashint8(number * 1000 + salt)::bigint + 2147483648) / 4294967296.0;

-- {status: its share}, as ranges of a draw.
CREATE TEMP TABLE bench_status ON COMMIT DROP AS
SELECT
    key AS status,
    sum(value::numeric) OVER (ORDER BY key) - value::numeric AS first,
    sum(value::numeric) OVER (ORDER BY key) AS last
FROM jsonb_each_text(%(statuses)s::jsonb);

-- Each target was imported at once, so that the tasks of an old one are far from the end of every list.
CREATE TEMP TABLE bench_target ON COMMIT DROP AS
SELECT
    number,
    (target ->> 'content_type_id')::int AS content_type_id,
    target ->> 'field' AS field,
    target ->> 'provider' AS provider,
    target ->> 'label' AS label,
    (sum((target ->> 'share')::numeric) OVER up_to - (target ->> 'share')::numeric) * %(tasks)s AS first,
    sum((target ->> 'share')::numeric) OVER up_to * %(tasks)s AS last
FROM jsonb_array_elements(%(targets)s::jsonb) WITH ORDINALITY AS targets (target, number)
WINDOW up_to AS (ORDER BY number);

-- A few things go wrong often, most of them rarely.
CREATE TEMP TABLE bench_failure ON COMMIT DROP AS
SELECT
    number,
    (ARRAY['input', 'transient', 'input', 'crash'])[mod(number, 4) + 1] AS kind,
    (ARRAY['InputRejected', 'ProviderUnavailable', 'SourceError', 'WorkerCrash'])[mod(number, 4) + 1] AS class,
    'Refused for reason ' || chr(65 + number / 26) || chr(65 + mod(number, 26)) || ': the text …' AS message,
    (ARRAY[400, 503, NULL, NULL])[mod(number, 4) + 1] AS http_status,
    ln(number + 1) / ln(41) AS first,
    ln(number + 2) / ln(41) AS last
FROM generate_series(0, 39) AS number;

-- One batch holds a third of everything, as after a change of the model.
INSERT INTO embeddings_embeddingbatch (name, parameters, total, created_at)
SELECT
    'import', '{"source": "benchmark"}', CASE number WHEN 200 THEN %(tasks)s / 3 ELSE %(tasks)s / 1000 END,
    now() - (200 - number) * interval '6 hours'
FROM generate_series(1, 200) AS number;

INSERT INTO embeddings_embeddingtask (
    id, content_type_id, object_id, field, provider, status, priority, sort_key, available_at, batch_id, is_shared,
    worker,
    lease_token, lease_until, attempts, crashes, version, fingerprint, model_id, dimensions, tokens_estimated, tokens,
    truncated, error_kind, error_class, error_message, error_signature, error_status, created_at, requested_at,
    updated_at, claimed_at, completed_at
)
SELECT
    task,
    target.content_type_id,
    task::text,
    target.field,
    target.provider,
    status.status,
    (ARRAY['low', 'normal', 'high'])[mod(task, 3) + 1],
    asked.at - interval '10 minutes',
    CASE WHEN status.status IN ('scheduled', 'rate_limited') THEN now() + draws.a * interval '10 minutes' END,
    CASE
        WHEN draws.b < 1.0 / 3 THEN (SELECT max(id) FROM embeddings_embeddingbatch)
        WHEN draws.b < 0.53 THEN (SELECT min(id) FROM embeddings_embeddingbatch) + mod(task, 199)
    END,
    false,
    CASE WHEN status.status NOT IN ('pending', 'empty') THEN 'worker-' || mod(task, 20) || '.example' ELSE '' END,
    CASE WHEN status.status = 'processing' THEN gen_random_uuid() END,
    CASE WHEN status.status = 'processing' THEN now() + interval '40 seconds' END,
    CASE status.status WHEN 'failed' THEN 3 WHEN 'completed' THEN 1 ELSE 0 END,
    0,
    1 + mod(task, 3),
    CASE WHEN has_vector.yes THEN md5(task::text) || md5(task::text) ELSE '' END,
    CASE WHEN has_vector.yes THEN (ARRAY['dummy', 'dummy', 'dummy', 'dummy-old'])[mod(task, 4) + 1] ELSE '' END,
    CASE WHEN has_vector.yes THEN 256 END,
    20 + mod(task, 200),
    CASE WHEN status.status = 'completed' THEN 20 + mod(task, 190) END,
    mod(task, 500) = 0,
    coalesce(failure.kind, CASE WHEN status.status = 'scheduled' THEN 'transient' ELSE '' END),
    coalesce(failure.class, CASE WHEN status.status = 'scheduled' THEN 'ProviderUnavailable' ELSE '' END),
    coalesce(failure.message, CASE WHEN status.status = 'scheduled' THEN 'No answer in time.' ELSE '' END),
    coalesce(failure.kind || ': ' || failure.class || ': ' || failure.message, ''),
    failure.http_status,
    now() - (%(tasks)s - task) * interval '90 days' / %(tasks)s,
    asked.at,
    asked.at + interval '5 seconds',
    CASE WHEN status.status NOT IN ('pending', 'scheduled', 'empty') THEN asked.at + interval '4 seconds' END,
    CASE WHEN status.status = 'completed' THEN asked.at + interval '5 seconds' END
FROM generate_series(1, %(tasks)s) AS task
CROSS JOIN LATERAL (
    SELECT pg_temp.draw(task, 1) AS a, pg_temp.draw(task, 2) AS b, pg_temp.draw(task, 3) AS c, pg_temp.draw(task, 4) AS d
) AS draws
JOIN bench_status AS status ON draws.c >= status.first AND draws.c < status.last
-- Of late, objects of two models are saved, in any order.
JOIN bench_target AS target
    ON CASE
        WHEN task <= 0.9 * %(tasks)s THEN task > target.first AND task <= target.last
        ELSE target.number = %(last_target)s - mod(task, 2)
    END
LEFT JOIN bench_failure AS failure ON status.status = 'failed' AND draws.d >= failure.first AND draws.d < failure.last
CROSS JOIN LATERAL (SELECT status.status = 'completed' OR (status.status <> 'empty' AND draws.a < 0.3) AS yes) AS has_vector
CROSS JOIN LATERAL (
    SELECT now() - draws.a * CASE
        WHEN status.status IN ('completed', 'empty') THEN interval '30 days'
        WHEN status.status IN ('failed', 'cancelled') THEN interval '3 days'
        ELSE interval '5 minutes'
    END AS at
) AS asked
ORDER BY 1;

SELECT setval(pg_get_serial_sequence('embeddings_embeddingtask', 'id'), max(id)) FROM embeddings_embeddingtask;

-- The history of a week. One task is saved every minute.
INSERT INTO embeddings_taskattempt (
    task_id, outcome, is_final, number, version, worker, claimed_at, ended_at, tokens, model_id, error_kind,
    error_class, error_message
)
SELECT
    picked.task_id,
    CASE WHEN ended.well THEN 'completed' ELSE 'failed' END,
    true,
    1,
    1,
    'worker-' || mod(number, 20) || '.example',
    now() - (%(attempts)s - number) * interval '7 days' / %(attempts)s - interval '1 second',
    now() - (%(attempts)s - number) * interval '7 days' / %(attempts)s,
    CASE WHEN ended.well THEN 120 END,
    CASE WHEN ended.well THEN 'dummy' ELSE '' END,
    CASE WHEN ended.well THEN '' ELSE 'transient' END,
    CASE WHEN ended.well THEN '' ELSE 'ProviderUnavailable' END,
    CASE WHEN ended.well THEN '' ELSE 'No answer in time.' END
FROM generate_series(1, %(attempts)s) AS number
CROSS JOIN (SELECT min(id) AS first, max(id) AS last FROM embeddings_embeddingtask) AS tasks
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN mod(number, 20) = 0 THEN tasks.last
        ELSE tasks.first + (pg_temp.draw(number, 5) * (tasks.last - tasks.first))::bigint
    END AS task_id
) AS picked
CROSS JOIN LATERAL (SELECT pg_temp.draw(number, 6) < 0.98 AS well) AS ended;

-- What was refused for its configuration is long ago.
INSERT INTO embeddings_providercall (
    provider, model_id, inputs, tokens, cost, latency_ms, outcome, worker, created_at
)
SELECT
    CASE WHEN mod(number, 10) = 0 AND number < %(calls)s / 2 THEN 'second' ELSE 'default' END,
    'dummy',
    256,
    30000,
    0.0006,
    100 + 900 * pg_temp.draw(number, 7),
    CASE
        WHEN number < %(calls)s / 1000 THEN 'configuration'
        WHEN pg_temp.draw(number, 8) < 0.97 THEN 'ok'
        WHEN pg_temp.draw(number, 8) < 0.99 THEN 'rate_limit'
        ELSE 'transient'
    END,
    'worker-' || mod(number, 20) || '.example',
    now() - (%(calls)s - number) * interval '30 days' / %(calls)s
FROM generate_series(1, %(calls)s) AS number;

INSERT INTO embeddings_auditevent (kind, subject, message, by, details, created_at)
SELECT
    CASE
        WHEN number < %(events)s / 1000 THEN 'settings'
        ELSE (ARRAY['rescued', 'blocked', 'unblocked', 'retried', 'operation'])[mod(number, 5) + 1]
    END,
    CASE WHEN mod(number, 5) IN (1, 2) THEN 'provider default' ELSE '' END,
    'Something was done to ' || mod(number, 50) || ' tasks.',
    CASE WHEN mod(number, 5) = 3 THEN 'operator' ELSE '' END,
    '{"tasks": 12}',
    now() - (%(events)s - number) * interval '300 days' / %(events)s
FROM generate_series(1, %(events)s) AS number;

INSERT INTO django_admin_log (action_time, object_id, object_repr, action_flag, change_message, content_type_id, user_id)
SELECT
    now() - (%(events)s - number) * interval '300 days' / %(events)s,
    mod(number * 7, %(tasks)s),
    'a task',
    2,
    'Retried.',
    %(task_type)s,
    %(operator)s
FROM generate_series(1, %(events)s) AS number;

INSERT INTO embeddings_targetminute (target, minute, completed, attempts_failed, failed, waiting)
SELECT
    label, date_trunc('minute', now()) - minute * interval '1 minute', 100 + mod(minute, 50), mod(minute, 7),
    mod(minute, 3), %(waiting)s::bigint[]
FROM bench_target, generate_series(0, 1439) AS minute;

INSERT INTO embeddings_providerminute (
    provider, minute, requests, failed, rate_limited, inputs, tokens, cost, latency
)
SELECT
    provider, date_trunc('minute', now()) - minute * interval '1 minute', 12, mod(minute, 3), mod(minute, 2), 2500,
    300000, 0.006, %(latency)s::bigint[]
FROM unnest(ARRAY['default', 'second']) AS provider, generate_series(0, 1439) AS minute;

-- What the minutes add up to.
INSERT INTO embeddings_targettotal (target, completed, attempts_failed, failed, waiting, seconds)
SELECT target, sum(completed), sum(attempts_failed), sum(failed), %(waiting)s::bigint[], 1000
FROM embeddings_targetminute GROUP BY target;

INSERT INTO embeddings_providertotal (
    provider, requests, failed, rate_limited, inputs, tokens, cost, latency, seconds
)
SELECT
    provider, sum(requests), sum(failed), sum(rate_limited), sum(inputs), sum(tokens), sum(cost), %(latency)s::bigint[],
    1000
FROM embeddings_providerminute GROUP BY provider;

INSERT INTO embeddings_workerstatus (
    name, hostname, pid, state, claimed, completed, failed, rate_limited, last_error, started_at, heartbeat_at, stopped_at
)
SELECT
    'worker-' || number || '.example', 'host-' || mod(number, 4), 1000 + number,
    (ARRAY['active', 'idle', 'active', 'stopped', 'error'])[mod(number, 5) + 1], 256, 50000, 500, 20, '',
    now() - interval '2 days', now() - number * interval '3 seconds',
    CASE WHEN mod(number, 5) = 3 THEN now() - number * interval '3 seconds' END
FROM generate_series(0, 19) AS number;

INSERT INTO embeddings_embeddingoperation (
    kind, target, parameters, state, cursor, rows_total, rows_read, changed, batch_id, by, worker, error_message,
    created_at, started_at, finished_at
)
SELECT
    (ARRAY['regenerate', 'requeue'])[mod(numbers.number, 2) + 1],
    label,
    '{}',
    CASE WHEN numbers.number < 100 THEN (ARRAY['done', 'stopped', 'failed'])[mod(numbers.number, 3) + 1] ELSE 'running' END,
    '{}', %(tasks)s / 3, %(tasks)s / 4, %(tasks)s / 5,
    -- The last one is the batch that holds a third of everything.
    (SELECT max(id) FROM embeddings_embeddingbatch) - 100 + numbers.number,
    'operator', 'worker-1.example',
    '', now() - (101 - numbers.number) * interval '12 hours', now() - (101 - numbers.number) * interval '12 hours',
    CASE WHEN numbers.number < 100 THEN now() - (100 - numbers.number) * interval '12 hours' END
FROM generate_series(1, 100) AS numbers (number)
JOIN bench_target ON bench_target.number = mod(numbers.number, 10) + 1;

INSERT INTO embeddings_alert (kind, subject, message, raised_at, over_at)
SELECT
    (ARRAY['failed', 'waiting', 'no_worker', 'provider'])[mod(number, 4) + 1],
    CASE WHEN mod(number, 4) = 3 THEN 'default' ELSE '' END,
    'Something was wrong: look at the failures.',
    now() - (%(events)s / 20 - number) * interval '1 hour',
    CASE WHEN number < %(events)s / 20 THEN now() - (%(events)s / 20 - number) * interval '50 minutes' END
FROM generate_series(1, %(events)s / 20) AS number;

INSERT INTO embeddings_webhookendpoint (
    name, url, events, targets, secret, former_secret, is_enabled, disabled_reason, created_at, created_by
)
SELECT
    'receiver ' || number, 'https://8.8.8.8/' || number, ARRAY['task.completed', 'task.failed'], ARRAY[]::text[],
    'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '', number < 3, CASE WHEN number < 3 THEN '' ELSE 'It was gone.' END,
    now(), 'operator'
FROM generate_series(1, 3) AS number;

INSERT INTO embeddings_webhookdelivery (
    endpoint_id, kind, message_id, payload, events, state, attempts, worker, history, error_message, delivered_at
)
SELECT
    (SELECT min(id) FROM embeddings_webhookendpoint) + mod(number, 3),
    (ARRAY['task.completed', 'task.failed', 'batch.finished'])[mod(number, 3) + 1],
    'msg_' || number, '{"type": "task.completed", "timestamp": "2030-01-31T18:00:00+00:00", "data": {"tasks": []}}',
    500, (ARRAY['delivered', 'failed', 'cancelled'])[mod(number / 3, 3) + 1], 1, '', '[]', '',
    CASE WHEN mod(number / 3, 3) = 0 THEN now() END
FROM generate_series(1, %(events)s) AS number;

INSERT INTO embeddings_pause (kind, name, reason, by, created_at, ends_at)
VALUES
    ('provider', 'second', 'The account is being moved.', 'operator', now(), now() + interval '2 hours'),
    ('target', %(paused)s, 'The texts are being corrected.', 'operator', now(), NULL);

INSERT INTO embeddings_livesettings (id, batch_size, updated_at, updated_by) VALUES (1, 256, now(), 'operator');

INSERT INTO embeddings_providerstate (
    alias, blocked_until, blocked_reason, failures_in_a_row, last_error, updated_at
)
VALUES
    ('default', NULL, '', 0, '', now()),
    ('second', now() + interval '20 seconds', 'circuit', 5, 'No answer in time.', now());

-- Labels of targets, but for the field, are those of tables.
INSERT INTO embeddings_census (id, taken_at, due_at, took_seconds, share, table_rows)
SELECT
    1, now() - interval '12 seconds', now() + interval '48 seconds', 0.8, 1.0,
    jsonb_object_agg(regexp_replace(label, '\.[^.]*$', ''), jsonb_build_array((last - first)::bigint, false))
FROM bench_target;

INSERT INTO embeddings_censuscount (
    content_type_id, field, provider, status, has_vector, model_id, dimensions, count, tokens_estimated, waiting_since
)
SELECT
    content_type_id, field, provider, status, fingerprint <> '', model_id, dimensions, count(*), sum(tokens_estimated),
    min(requested_at) FILTER (WHERE status IN ('pending', 'scheduled', 'rate_limited'))
FROM embeddings_embeddingtask
GROUP BY 1, 2, 3, 4, 5, 6, 7;

-- The objects of the oldest target, and some without a task.
INSERT INTO content_article (id, slug, title, signature, keywords, content, source, kind, updated_at)
SELECT task, 'article-' || task, 'Article ' || task, '', '', 'Some words.', 'benchmark', 'written', now()
FROM generate_series(1, %(objects)s) AS task;

SELECT setval(pg_get_serial_sequence('content_article', 'id'), max(id)) FROM content_article;
