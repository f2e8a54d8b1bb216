-- The same submission sent twice is one lead with a count: its key, made at the edge, and what settling says of it.

ALTER TABLE {database}.leads {on_cluster} ADD COLUMN IF NOT EXISTS submission_key UInt64 COMMENT 'keyed hash of form, browser and fields: the same submission has it again; 0: none';
ALTER TABLE {database}.leads_check {on_cluster} ADD COLUMN IF NOT EXISTS submission_key UInt64;
ALTER TABLE {database}.conversions {on_cluster} ADD COLUMN IF NOT EXISTS submission_key UInt64 COMMENT 'as in leads';
ALTER TABLE {database}.conversions_check {on_cluster} ADD COLUMN IF NOT EXISTS submission_key UInt64;
ALTER TABLE {database}.conversions {on_cluster} ADD INDEX IF NOT EXISTS ix_submission_key submission_key TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE {database}.settle_conversions {on_cluster} ADD COLUMN IF NOT EXISTS submission_key UInt64;
ALTER TABLE {database}.settle_rows {on_cluster} MODIFY COLUMN repeat_of Enum8('none' = 0, 'click' = 1, 'order' = 2, 'both' = 3, 'submission' = 4);
ALTER TABLE {database}.conversion_clicks {on_cluster} MODIFY COLUMN repeat_of Enum8('none' = 0, 'click' = 1, 'order' = 2, 'both' = 3, 'submission' = 4) COMMENT 'an earlier one has the same click and goal, or the same order and goal; of a lead: the same submission came shortly before';
