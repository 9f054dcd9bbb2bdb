-- Tasks that came to an end a second, over the last minute. Of those of the minute before this one the part counts that
-- is not longer ago, as if they had come evenly.
SELECT coalesce(sum((completed + failed) * least(
    1.0, extract(epoch FROM minute + interval '2 minutes' - clock_timestamp()) / 60
)), 0)::float8 / 60
FROM embeddings_targetminute
WHERE minute >= date_trunc('minute', now()) - interval '1 minute'
