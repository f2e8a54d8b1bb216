-- What the edges refused, by minute. One partition, so that the rows of one report are one block: they are there or not, together.

CREATE TABLE IF NOT EXISTS {database}.refusals {on_cluster} (
    minute DateTime('UTC'),
    site LowCardinality(String) COMMENT 'empty where it isn''t known',
    form LowCardinality(String) COMMENT 'empty where it isn''t known',
    door LowCardinality(String),
    code LowCardinality(String) COMMENT 'the reason, as the answer gave it (README, «Refusals»)',
    life UInt64 COMMENT 'one start of one edge',
    report UInt32 COMMENT 'its reports, from 1: a minute may be in two of them',
    count UInt64,
    sample String COMMENT 'the shape of one of them: names of fields, kinds and lengths of values, no values',
    log_epoch UInt64,
    log_partition UInt16,
    log_offset UInt64,
    INDEX ix_log_offset log_offset TYPE minmax GRANULARITY 1
) ENGINE = {replicated}ReplacingMergeTree
ORDER BY (minute, site, form, door, code, life, report)
TTL minute + INTERVAL 400 DAY
SETTINGS default_compression_codec = 'ZSTD(1)', non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Requests that the edges refused, by minute and reason. Read with FINAL. A killed edge takes the counts since its last report with it.';

CREATE TABLE IF NOT EXISTS {database}.refusals_check {on_cluster} AS {database}.refusals ENGINE = Null;
