-- Move or rewrite many chunks of one text in one statement; vectors are left alone.
-- Table, columns and types are identifiers of the chunk model, filled in by embeddings/chunking/rows.py.
UPDATE {table} AS chunk SET
    {index} = given.index, {start} = given.start, {end} = given."end", {context} = given.context, {text} = given.text
FROM unnest(%s::{pk_type}[], %s::int[], %s::int[], %s::int[], %s::text[], %s::text[])
    AS given (pk, index, start, "end", context, text)
WHERE chunk.{pk} = given.pk
