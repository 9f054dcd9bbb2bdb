-- The groups of failed tasks, each counted and dated. Signatures are found by jumping from one to the next in the
-- index (a loose index scan), and counted from the index alone, up to a limit.
WITH RECURSIVE groups (signature, number) AS (
    (
        SELECT error_signature, 1 FROM embeddings_embeddingtask
        WHERE status = 'failed' ORDER BY error_signature LIMIT 1
    )
    UNION ALL
    SELECT next.signature, number + 1 FROM groups, LATERAL (
        SELECT error_signature AS signature FROM embeddings_embeddingtask
        WHERE status = 'failed' AND error_signature > groups.signature ORDER BY error_signature LIMIT 1
    ) AS next
    WHERE number < %(most_looked_at)s
)
SELECT signature, counted.tasks, counted.first_seen, counted.last_seen, ARRAY(
    SELECT id FROM embeddings_embeddingtask
    WHERE status = 'failed' AND error_signature = groups.signature ORDER BY id DESC LIMIT %(examples)s
)
FROM groups, LATERAL (
    SELECT count(*) AS tasks, min(updated_at) AS first_seen, max(updated_at) AS last_seen FROM (
        SELECT updated_at FROM embeddings_embeddingtask
        WHERE status = 'failed' AND error_signature = groups.signature ORDER BY id DESC LIMIT %(most_counted)s
    ) AS latest
) AS counted
WHERE counted.tasks > 0
ORDER BY counted.tasks DESC, counted.last_seen DESC
LIMIT %(groups)s
