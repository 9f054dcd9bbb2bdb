-- Fill the vector column of many rows in one statement; binary arrays are 5 to 20 times as fast as text.
-- Table, column and types are identifiers of the embedded model, filled in by embeddings/writer.py.
UPDATE {table} AS target SET {column} = source.vector
FROM unnest(%b::{pk_type}[], %b::{vector_type}[]) AS source (pk, vector)
WHERE target.{pk} = source.pk
