-- About how many rows tables have: as dense as at the last ANALYZE, and as long as they are now.
-- Without one, some 40 rows are taken to fill a page.
SELECT given.name, CASE
    WHEN known.oid IS NULL THEN NULL
    WHEN known.relpages > 0 AND known.reltuples >= 0
        THEN greatest(known.reltuples / known.relpages * measured.pages, 0)
    ELSE greatest(known.reltuples, 40.0 * measured.pages)
END
FROM unnest(%(tables)s::text[]) AS given (name)
LEFT JOIN pg_class AS known ON known.oid = to_regclass(given.name)
CROSS JOIN LATERAL (
    SELECT pg_relation_size(known.oid) / current_setting('block_size')::int AS pages
) AS measured
