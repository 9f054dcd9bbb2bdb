-- The tasks that may be claimed now of each provider; no more than `most` are counted. In the order of the claims' index:
-- without an order the planner, which knows no provider here, reads the whole table where much is pending.
SELECT lane.provider, (
    SELECT count(*) FROM (
        SELECT FROM embeddings_embeddingtask
        WHERE status = 'pending' AND provider = lane.provider
        ORDER BY crashes, sort_key
        LIMIT %(most)s
    ) AS task
)
FROM unnest(%(providers)s::text[]) AS lane (provider)
