-- The hits of a search: its candidates fused by rank, each object by the best of its chunks where it has some.
WITH candidate AS MATERIALIZED ({candidates}),
placed AS (
    SELECT part, key, chunk, far, row_number() OVER (PARTITION BY part ORDER BY far, key, chunk) AS place
    FROM candidate
),
fused AS (
    SELECT key, chunk, {score} AS score,
           bool_or(part = 'semantic') AS by_meaning, bool_or(part <> 'semantic') AS by_words
    FROM placed
    GROUP BY key, chunk
),
best AS MATERIALIZED (
    SELECT DISTINCT ON (key) key, chunk, score,
           bool_or(by_meaning) OVER object AS by_meaning, bool_or(by_words) OVER object AS by_words
    FROM fused
    WINDOW object AS (PARTITION BY key)
    ORDER BY key, score DESC, chunk
)
-- A list of its own, because FOR UPDATE reaches into subqueries: it must lock the objects, not their chunks.
, hit AS (
    SELECT best.key, best.score,
           CASE WHEN NOT best.by_words THEN 'semantic' WHEN NOT best.by_meaning THEN 'keyword' ELSE 'both' END
               AS found_by
           {passage}
    FROM best {chunks}
)
SELECT * FROM hit
