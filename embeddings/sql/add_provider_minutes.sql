-- Add what a process has counted to the rows of this minute, and to the totals. Nothing, if another process is about
-- it: so nobody waits.
WITH given AS MATERIALIZED (
    SELECT *
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS row (
        provider text, requests bigint, failed bigint, rate_limited bigint, inputs bigint, tokens bigint,
        cost numeric, durations bigint[], seconds float8
    )
    WHERE (SELECT pg_try_advisory_xact_lock(hashtext('embeddings_providerminute')))
), totalled AS (
    INSERT INTO embeddings_providertotal AS stored (
        provider, requests, failed, rate_limited, inputs, tokens, cost, latency, seconds
    )
    SELECT provider, requests, failed, rate_limited, inputs, tokens, cost, durations, seconds FROM given
    ON CONFLICT (provider) DO UPDATE SET
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
        ),
        seconds = stored.seconds + excluded.seconds
)
INSERT INTO embeddings_providerminute AS stored (
    provider, minute, requests, failed, rate_limited, inputs, tokens, cost, latency
)
SELECT
    provider, date_trunc('minute', clock_timestamp()), requests, failed, rate_limited, inputs, tokens, cost, durations
FROM given
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
