-- The candidates of a search, each list best first, as (part, key, chunk, far).
--
-- An approximate index reads its settings when its scan begins. They are set for this statement alone, and without SET,
-- which behind a pooler others would get: the scans wait for `setting`, the answer for `restored`, that for the scans.
WITH was AS MATERIALIZED (
    SELECT current_setting('hnsw.iterative_scan', true) AS iterative_scan,
           current_setting('hnsw.ef_search', true) AS ef_search
),
setting AS MATERIALIZED (
    -- strict_order would drop what the scan meets too late; in this order it is kept, and ordered by whoever reads it.
    SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '{ef_search}', true)
    FROM was
),
{lists},
restored AS MATERIALIZED (
    SELECT set_config('hnsw.iterative_scan', coalesce(was.iterative_scan, 'off'), true),
           set_config('hnsw.ef_search', coalesce(was.ef_search, '40'), true)
    FROM was, (SELECT {scanned} AS rows) AS done
    WHERE done.rows >= 0
)
SELECT part, key, chunk, min(far) AS far FROM ({candidates}) AS candidate (part, key, chunk, far)
WHERE (SELECT count(*) FROM restored) = 1
GROUP BY part, key, chunk
