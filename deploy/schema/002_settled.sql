-- Settled: what `leadtrail settle` computes from the facts, again whenever they change. Each row is replaced whole by a row of a
-- higher version, which is the offset of the run's record in the settle log: a zombie's rows are older and lose.

CREATE TABLE IF NOT EXISTS {database}.conversion_clicks {on_cluster} (
    site LowCardinality(String),
    conversion_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    conversion_seq UInt32,
    conversion_node UInt32,
    event_type Enum8('lead' = 7, 'purchase' = 12, 'conversion' = 20),
    basis Enum8('none' = 0, 'click_id' = 1, 'cookie' = 2, 'daily_hash' = 3) COMMENT 'how the click was found; strongest first',
    click_seen UInt8 COMMENT '0 when the click is known by its signed id alone',
    click_time DateTime64(3, 'UTC'),
    click_seq UInt32,
    click_node UInt32,
    channel LowCardinality(String),
    campaign LowCardinality(String),
    ad LowCardinality(String),
    creative LowCardinality(String),
    placement LowCardinality(String),
    link LowCardinality(String),
    mailing LowCardinality(String),
    affiliate LowCardinality(String),
    offer LowCardinality(String),
    counted UInt8 COMMENT '0 for a repeat: a browser may report one conversion per click and goal, and one per order',
    version UInt64
) ENGINE = {replicated}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(conversion_time)
ORDER BY (site, conversion_time, conversion_seq, conversion_node)
SETTINGS default_compression_codec = 'ZSTD(1)', non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Each lead and conversion with the click it follows and how that is known. Read with FINAL.';

CREATE TABLE IF NOT EXISTS {database}.payout_attribution {on_cluster} (
    site LowCardinality(String),
    conversion_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    conversion_seq UInt32,
    conversion_node UInt32,
    event_type Enum8('lead' = 7, 'purchase' = 12, 'conversion' = 20),
    state Enum8('provisional' = 1, 'locked' = 2),
    affiliate LowCardinality(String) COMMENT 'who wins the payout; empty: nobody',
    offer LowCardinality(String),
    evidence Enum8('none' = 0, 'click_id' = 1, 'last_affiliate_click_cookie' = 2, 'last_affiliate_click_daily_hash' = 3, 'repeat' = 4),
    click_time DateTime64(3, 'UTC'),
    click_seq UInt32,
    click_node UInt32,
    amount Decimal(18, 4),
    payout Decimal(18, 4),
    currency LowCardinality(String),
    version UInt64
) ENGINE = {replicated}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(conversion_time)
ORDER BY (site, conversion_time, conversion_seq, conversion_node)
SETTINGS default_compression_codec = 'ZSTD(1)', non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'The payout ledger: one winner for each conversion, by evidence. Read with FINAL. Never add it to model credit.';

CREATE TABLE IF NOT EXISTS {database}.settle_positions {on_cluster} (
    log_epoch UInt64,
    log_partition UInt16,
    next_offset UInt64 COMMENT 'everything before it is settled',
    version UInt64
) ENGINE = {replicated}ReplacingMergeTree(version)
ORDER BY (log_epoch, log_partition)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'How far settling has come: a position for each partition over ingest_batches, never a clock.';
