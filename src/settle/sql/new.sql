-- The conversions of the new ranges. {new_rows}: see look.sql; the columns: see picked.sql.
INSERT INTO settle_conversions ({columns})
SELECT {picked}
FROM conversions
WHERE {new_rows}
