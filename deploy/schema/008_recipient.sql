-- Whose mail it was: a keyed hash of the sender's own name for the recipient, for unsubscriptions, and for clicks and opens where the mailing asks for it.

ALTER TABLE {database}.events {on_cluster}
    ADD COLUMN IF NOT EXISTS recipient UInt64 COMMENT 'keyed hash of the reference that `leadtrail link sign` was given; 0: none' AFTER flags;
ALTER TABLE {database}.events_check {on_cluster}
    ADD COLUMN IF NOT EXISTS recipient UInt64 AFTER flags;
