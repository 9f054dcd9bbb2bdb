-- The candidates of one model among several, in types that all have in common.
(SELECT {number}, part, key::text, chunk::text, far FROM ({candidates}) AS candidate)
