-- Quarantine: submissions that were held as spam, and what a person decided about them.
--
-- A held submission has a row here and one in `events` (flag `quarantined`, traffic class at least suspect), and none in `leads` or `conversions`: so it is
-- counted in no report. A decision is an event of its own in the log; its row here has a higher version and no payload. Released beats
-- dropped, dropped beats held, so the order of arrival and a second insert change nothing.

CREATE TABLE IF NOT EXISTS {database}.quarantine {on_cluster} (
    site LowCardinality(String),
    event_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    id_seq UInt32,
    id_node UInt32,
    received_lag_ms Int64,
    form LowCardinality(String),
    state LowCardinality(String) COMMENT 'held, dropped or released',
    score UInt8,
    reasons Array(LowCardinality(String)),
    ruleset UInt16,
    payload String COMMENT 'the record as the log held it, while it is held: personal' CODEC(ZSTD(3)),
    at DateTime64(3, 'UTC') COMMENT 'when it was held or decided',
    version UInt8 COMMENT '1 held, 2 dropped, 3 released',
    log_epoch UInt64,
    log_partition UInt16,
    log_offset UInt64,
    event_id UUID ALIAS reinterpretAsUUID(concat(
        reinterpretAsFixedString(bitOr(bitShiftLeft(toUInt64(toUnixTimestamp64Milli(event_time) + received_lag_ms), 16),
            toUInt64(28672 + bitShiftRight(id_seq, 20)))),
        reinterpretAsFixedString(bitOr(bitOr(toUInt64(9223372036854775808), bitShiftLeft(toUInt64(bitAnd(id_seq, 1048575)), 42)),
            bitShiftLeft(toUInt64(id_node), 10))))),
    INDEX ix_log_offset log_offset TYPE minmax GRANULARITY 1,
    CONSTRAINT site_is_named CHECK site != ''
) ENGINE = {replicated}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(event_time)
ORDER BY (site, event_time, id_seq, id_node)
SETTINGS default_compression_codec = 'ZSTD(1)', non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
    enable_block_number_column = 1, enable_block_offset_column = 1
COMMENT 'Personal: submissions held as spam. Read with FINAL.';

CREATE TABLE IF NOT EXISTS {database}.quarantine_check {on_cluster} AS {database}.quarantine ENGINE = Null;

-- What the rules said of a lead that was not held.
ALTER TABLE {database}.leads {on_cluster}
    ADD COLUMN IF NOT EXISTS spam_score UInt8 AFTER traffic_class,
    ADD COLUMN IF NOT EXISTS spam_reasons Array(LowCardinality(String)) AFTER spam_score,
    ADD COLUMN IF NOT EXISTS spam_ruleset UInt16 AFTER spam_reasons;
ALTER TABLE {database}.leads_check {on_cluster}
    ADD COLUMN IF NOT EXISTS spam_score UInt8 AFTER traffic_class,
    ADD COLUMN IF NOT EXISTS spam_reasons Array(LowCardinality(String)) AFTER spam_score,
    ADD COLUMN IF NOT EXISTS spam_ruleset UInt16 AFTER spam_reasons;
