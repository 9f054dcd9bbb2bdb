-- How the ledger's table and its database are, from the catalogs alone: it takes no longer for a larger table.
-- Another role's transactions have no start here unless the role may read all statistics.
SELECT pg_relation_size(stats.relid),
       pg_indexes_size(stats.relid),
       stats.n_live_tup,
       stats.n_dead_tup,
       greatest(stats.last_vacuum, stats.last_autovacuum),
       oldest.pid,
       oldest.application_name,
       extract(epoch FROM clock_timestamp() - oldest.xact_start)::float8
  FROM pg_stat_user_tables stats
  LEFT JOIN LATERAL (
       SELECT pid, application_name, xact_start
         FROM pg_stat_activity
        WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
              AND backend_type = 'client backend'
        ORDER BY xact_start
        LIMIT 1
       ) oldest ON true
 WHERE stats.relid = %(table)s::regclass
