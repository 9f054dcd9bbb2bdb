-- The tasks that may be claimed now of each provider: no more than `most` are counted.
SELECT lane.provider, (
    SELECT count(*) FROM (
        SELECT FROM embeddings_embeddingtask
        WHERE status = 'pending' AND provider = lane.provider
        LIMIT %(most)s
    ) AS task
)
FROM unnest(%(providers)s::text[]) AS lane (provider)
