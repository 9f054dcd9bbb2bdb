-- Add what a process has counted to the rows of this minute. Nothing, if another process is about it: so nobody waits.
INSERT INTO embeddings_providerminute AS stored (
    provider, minute, requests, failed, rate_limited, inputs, tokens, cost, latency
)
SELECT
    provider, date_trunc('minute', clock_timestamp()), requests, failed, rate_limited, inputs, tokens, cost, durations
FROM jsonb_to_recordset(%(rows)s::jsonb) AS given (
    provider text, requests bigint, failed bigint, rate_limited bigint, inputs bigint, tokens bigint,
    cost numeric, durations bigint[]
)
WHERE (SELECT pg_try_advisory_xact_lock(hashtext('embeddings_providerminute')))
ON CONFLICT (minute, provider) DO UPDATE SET
    requests = stored.requests + excluded.requests,
    failed = stored.failed + excluded.failed,
    rate_limited = stored.rate_limited + excluded.rate_limited,
    inputs = stored.inputs + excluded.inputs,
    tokens = stored.tokens + excluded.tokens,
    cost = stored.cost + excluded.cost,
    latency = ARRAY(
        SELECT coalesce(one, 0) + coalesce(other, 0)
        FROM unnest(stored.latency, excluded.latency) WITH ORDINALITY AS bucket (one, other, number)
        ORDER BY number
    )
RETURNING id
