-- The approximate indexes of the database, each with all that it takes to build it again.
--
-- An index that was cut off while it was dropped is still in the catalogue, neither valid nor live. Indexes of an
-- expression, such as a cast to halfvec, say which columns they read by what they depend on.
SELECT namespace.nspname AS schema,
       class.relname AS name,
       method.amname AS method,
       pg_get_indexdef(index.indexrelid) AS definition,
       coalesce(space.spcname, '') AS tablespace,
       coalesce(obj_description(index.indexrelid, 'pg_class'), '') AS comment,
       index.indisvalid AND index.indisready AND index.indislive AS is_valid,
       class.relkind = 'I' AS is_partitioned,
       format('%I.%I', table_namespace.nspname, table_class.relname) AS table,
       ARRAY(
           SELECT attribute.attname::text
           FROM pg_depend
           JOIN pg_attribute AS attribute ON attribute.attrelid = refobjid AND attribute.attnum = refobjsubid
           WHERE classid = 'pg_class'::regclass AND objid = index.indexrelid
               AND refclassid = 'pg_class'::regclass AND refobjid = index.indrelid
               AND (attribute.attnum = ANY (index.indkey) OR 0 = ANY (index.indkey))
       ) AS columns,
       CASE WHEN class.relkind = 'i' THEN pg_relation_size(index.indexrelid) ELSE 0 END AS size,
       pg_table_size(index.indrelid) AS table_size
FROM pg_index AS index
JOIN pg_class AS class ON class.oid = index.indexrelid
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
JOIN pg_am AS method ON method.oid = class.relam
JOIN pg_class AS table_class ON table_class.oid = index.indrelid
JOIN pg_namespace AS table_namespace ON table_namespace.oid = table_class.relnamespace
LEFT JOIN pg_tablespace AS space ON space.oid = class.reltablespace
WHERE method.amname IN ('hnsw', 'ivfflat') AND class.relkind IN ('i', 'I')
ORDER BY namespace.nspname, class.relname
