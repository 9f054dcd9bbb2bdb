-- The minutes of some time up to `until`, or now, in intervals without gaps: (start, completed, failed, rate limited,
-- inputs, tokens, cost, counts of durations). What is read and added up is of {table}, filled in by
-- embeddings/stats/traffic.py. The counts are added place by place: by measurement in a sixth of the time that unnesting
-- takes.
WITH span AS (
    SELECT stop - %(points)s * %(step)s * interval '1 second' AS start
    FROM (SELECT date_trunc('minute', coalesce(%(until)s::timestamptz, now())) + interval '1 minute' AS stop) AS one
), binned AS (
    SELECT date_bin(%(step)s * interval '1 second', minute, (SELECT start FROM span)) AS start, {sums}
    FROM {table}
    WHERE minute >= date_trunc('minute', coalesce(%(until)s::timestamptz, now())) + interval '1 minute'
            - %(points)s * %(step)s * interval '1 second'
        AND minute <= date_trunc('minute', coalesce(%(until)s::timestamptz, now()))
        AND {condition}
    GROUP BY 1
)
SELECT point.start, completed, failed, rate_limited, inputs, tokens, cost, durations
FROM span, generate_series(0, %(points)s - 1) AS number,
    LATERAL (SELECT span.start + number * %(step)s * interval '1 second') AS point (start)
LEFT JOIN binned USING (start)
ORDER BY number
