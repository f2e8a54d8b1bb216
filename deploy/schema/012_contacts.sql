-- A complaint that is sent twice is told once: its submission key, as leads have it.

ALTER TABLE {database}.service_contacts {on_cluster} ADD COLUMN IF NOT EXISTS submission_key UInt64 COMMENT 'as in leads';
ALTER TABLE {database}.service_contacts_check {on_cluster} ADD COLUMN IF NOT EXISTS submission_key UInt64;
ALTER TABLE {database}.service_contacts {on_cluster} ADD INDEX IF NOT EXISTS ix_submission_key submission_key TYPE bloom_filter(0.01) GRANULARITY 1;
