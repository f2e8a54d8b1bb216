-- Settled: what `leadtrail settle` computes from the facts, again whenever they change. Each row is replaced whole by a row of a
-- higher version, which is the offset of the run's record in the settle log: a zombie's rows are older and lose.

CREATE TABLE IF NOT EXISTS {database}.conversion_clicks {on_cluster} (
    site LowCardinality(String),
    conversion_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    conversion_seq UInt32,
    conversion_node UInt32,
    event_type Enum8('lead' = 7, 'purchase' = 12, 'conversion' = 20),
    limited UInt8 COMMENT '1 for what a browser reports by a pixel: only these can be repeats',
    goal LowCardinality(String),
    order_id String,
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
    repeat_of Enum8('none' = 0, 'click' = 1, 'order' = 2, 'both' = 3) COMMENT 'an earlier one has the same click and goal, or the same order and goal',
    counted UInt8 COMMENT '0 for a repeat: a browser may report one conversion per click and goal, and one per order and goal',
    version UInt64,
    -- Settling asks "which others follow this click" and "which others are of this order".
    INDEX ix_click_time click_time TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_order_id order_id TYPE bloom_filter(0.01) GRANULARITY 1
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
    affiliate LowCardinality(String) COMMENT 'who wins; of a repeat: who would have won; empty: nobody',
    offer LowCardinality(String),
    evidence Enum8('none' = 0, 'click_id' = 1, 'last_affiliate_click_cookie' = 2, 'last_affiliate_click_daily_hash' = 3, 'repeat' = 4),
    found_by Enum8('none' = 0, 'click_id' = 1, 'last_affiliate_click_cookie' = 2, 'last_affiliate_click_daily_hash' = 3) COMMENT 'the evidence that a repeat would have had; else the same as evidence',
    click_time DateTime64(3, 'UTC'),
    click_seq UInt32,
    click_node UInt32,
    amount Decimal(18, 4) COMMENT 'what it is worth; the offer''s own amount, where it has one and only a browser claims it',
    currency LowCardinality(String) COMMENT 'of the amount',
    payout Decimal(18, 4) COMMENT '0 for leads and repeats',
    payout_currency LowCardinality(String),
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

-- The two working tables of a run. Rows of different runs never meet: the version stands first in the key.

CREATE TABLE IF NOT EXISTS {database}.settle_conversions {on_cluster} (
    version UInt64,
    site LowCardinality(String),
    event_type Enum8('lead' = 7, 'purchase' = 12, 'conversion' = 20),
    event_time DateTime64(3, 'UTC'),
    id_seq UInt32,
    id_node UInt32,
    visitor UInt128 COMMENT 'only where it is a cookie''s; else 0',
    day_hash UInt64,
    parent_click UInt128,
    parent_link UInt32,
    parent_offer UInt32,
    parent_affiliate UInt32,
    limited UInt8,
    amount Decimal(18, 4),
    currency LowCardinality(String),
    goal LowCardinality(String),
    order_id String,
    at DateTime('UTC') DEFAULT now()
) ENGINE = {replicated}MergeTree
PARTITION BY toStartOfHour(at)
ORDER BY (version, site, event_time, id_seq, id_node)
TTL at + INTERVAL 2 HOUR
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000
COMMENT 'Working rows of a settling run: the conversions to settle. Dropped after two hours.';

CREATE TABLE IF NOT EXISTS {database}.settle_rows {on_cluster} (
    version UInt64,
    step Enum8('joined' = 1, 'before' = 2, 'other' = 3, 'ready' = 4) COMMENT 'joined: click found; before: how it stood; other: meets one of them as a repeat; ready: to be written',
    rejoined UInt8 COMMENT '0 for a row whose click stays and whose place among repeats changed',
    site LowCardinality(String),
    conversion_time DateTime64(3, 'UTC'),
    conversion_seq UInt32,
    conversion_node UInt32,
    event_type Enum8('lead' = 7, 'purchase' = 12, 'conversion' = 20),
    limited UInt8,
    goal LowCardinality(String),
    order_id String,
    basis Enum8('none' = 0, 'click_id' = 1, 'cookie' = 2, 'daily_hash' = 3),
    click_seen UInt8,
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
    repeat_of Enum8('none' = 0, 'click' = 1, 'order' = 2, 'both' = 3),
    found_by Enum8('none' = 0, 'click_id' = 1, 'last_affiliate_click_cookie' = 2, 'last_affiliate_click_daily_hash' = 3),
    payee LowCardinality(String),
    payee_offer LowCardinality(String),
    payee_click_time DateTime64(3, 'UTC'),
    payee_click_seq UInt32,
    payee_click_node UInt32,
    amount Decimal(18, 4),
    currency LowCardinality(String),
    at DateTime('UTC') DEFAULT now()
) ENGINE = {replicated}MergeTree
PARTITION BY toStartOfHour(at)
ORDER BY (version, step, site, conversion_time, conversion_seq, conversion_node)
TTL at + INTERVAL 2 HOUR
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000
COMMENT 'Working rows of a settling run: conversions with their clicks. Dropped after two hours.';

CREATE TABLE IF NOT EXISTS {database}.settle_registry {on_cluster} (
    fingerprint UInt64 COMMENT 'of all the rows of one registry: a run reads those of its own',
    kind Enum8('link' = 1, 'offer' = 2, 'affiliate' = 3),
    number UInt32,
    name LowCardinality(String),
    site LowCardinality(String),
    campaign LowCardinality(String),
    ad LowCardinality(String),
    creative LowCardinality(String),
    placement LowCardinality(String),
    mailing LowCardinality(String),
    window_ms Int64 COMMENT 'of an offer: how long a click earns a conversion',
    has_amount UInt8,
    amount Decimal(18, 4) COMMENT 'of an offer: what a conversion is worth when only a browser claims it',
    payout Decimal(18, 4),
    currency LowCardinality(String)
) ENGINE = {replicated}ReplacingMergeTree
ORDER BY (fingerprint, kind, number)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'The names and terms that settling reads: what a signed click id''s numbers mean, and what an offer pays.';
