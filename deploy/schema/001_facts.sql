-- Facts: what the consumer writes. After DATA_MODEL.md; what differs is said where it stands.
--
-- {database}, {replicated} and {on_cluster} are filled in by `leadtrail schema apply`: on one server the last two are empty, on
-- a cluster `Replicated` and `ON CLUSTER 'name'`. Sort and partition keys hold only columns that are fixed at the edge, so a
-- record that arrives twice collapses onto itself. Tokens settle quick retries: 100,000 of them are remembered. Inserts are fsynced:
-- where the journal is the log, it is the only other copy. (`fsync_after_insert` is a table's setting, not a query's.)

CREATE TABLE IF NOT EXISTS {database}.events {on_cluster} (
    site LowCardinality(String),
    visitor UInt128 COMMENT 'a browser: a cookie, a daily hash (upper half zero), or nothing (0)',
    event_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    id_seq UInt32 CODEC(Delta(4), ZSTD(1)),
    id_node UInt32,
    event_type Enum8('impression' = 1, 'email_send' = 2, 'email_open' = 3, 'click' = 4, 'page_view' = 5, 'form_view' = 6, 'lead' = 7,
        'lead_stage' = 8, 'call' = 9, 'site_visit' = 10, 'rep_note' = 11, 'purchase' = 12, 'refund' = 13, 'chargeback' = 14,
        'conversion_status' = 15, 'complaint' = 16, 'service_contact' = 17, 'consent' = 18, 'unsubscribe' = 19, 'conversion' = 20),
    -- Int64, not Int32 as measured: 400 days of milliseconds need 36 bits. Almost always 0, so it costs nothing.
    received_lag_ms Int64,
    claimed_time_ms Int64 COMMENT 'the time that the sender claimed, where it was out of bounds; else 0',
    source_kind Enum8('web_form' = 1, 'redirect' = 2, 'pixel' = 3, 's2s' = 4, 'api' = 5, 'manual' = 6, 'import' = 7),
    visitor_basis Enum8('none' = 0, 'cookie' = 1, 'daily_hash' = 2),
    day_hash UInt64 COMMENT 'keyed hash of the browser''s day; the key is deleted after 48 hours',
    email_key FixedString(16),
    phone_key FixedString(16),
    channel LowCardinality(String),
    utm_source LowCardinality(String),
    utm_medium LowCardinality(String),
    utm_campaign LowCardinality(String),
    utm_term LowCardinality(String),
    utm_content LowCardinality(String),
    link LowCardinality(String),
    campaign LowCardinality(String),
    ad LowCardinality(String),
    creative LowCardinality(String),
    placement LowCardinality(String),
    mailing LowCardinality(String),
    affiliate LowCardinality(String),
    offer LowCardinality(String),
    parent_click UInt128 COMMENT 'the event id of the click that this event named, verified; 0 when it named none',
    sub_ids Map(LowCardinality(String), String),
    click_ids Map(LowCardinality(String), String),
    landing_host LowCardinality(String),
    landing_path LowCardinality(String),
    referrer_host LowCardinality(String),
    referrer_path LowCardinality(String),
    language LowCardinality(String),
    product LowCardinality(String),
    price_variant LowCardinality(String),
    price_shown Decimal(18, 4),
    price_currency LowCardinality(String),
    amount Decimal(18, 4),
    currency LowCardinality(String),
    order_id String,
    goal LowCardinality(String),
    status LowCardinality(String),
    form LowCardinality(String),
    country LowCardinality(String),
    region LowCardinality(String),
    city LowCardinality(String),
    device_type LowCardinality(String),
    browser LowCardinality(String),
    browser_major UInt16,
    os LowCardinality(String),
    ua_hash UInt64,
    ip_net IPv6 COMMENT 'the network: /24 of IPv4, /48 of IPv6',
    traffic_class Enum8('human' = 1, 'suspect' = 2, 'scanner' = 3, 'prefetch' = 4, 'proxy_open' = 5, 'bot' = 6, 'test' = 7, 'internal' = 8),
    ivt Enum8('none' = 0, 'givt' = 1, 'sivt' = 2),
    reasons Array(LowCardinality(String)),
    score UInt8,
    ruleset UInt16,
    gpc UInt8,
    flags Array(LowCardinality(String)),
    log_epoch UInt64,
    log_partition UInt16,
    log_offset UInt64 CODEC(Delta(8), ZSTD(1)),
    received_time DateTime64(3, 'UTC') ALIAS event_time + toIntervalMillisecond(received_lag_ms),
    event_id UUID ALIAS reinterpretAsUUID(concat(
        reinterpretAsFixedString(bitOr(bitShiftLeft(toUInt64(toUnixTimestamp64Milli(event_time) + received_lag_ms), 16),
            toUInt64(28672 + bitShiftRight(id_seq, 20)))),
        reinterpretAsFixedString(bitOr(bitOr(toUInt64(9223372036854775808), bitShiftLeft(toUInt64(bitAnd(id_seq, 1048575)), 42)),
            bitShiftLeft(toUInt64(id_node), 10))))),
    -- "Which offsets of [a, b) do you hold": new offsets are only in new parts, so minima and maxima prune well.
    INDEX ix_log_offset log_offset TYPE minmax GRANULARITY 1,
    CONSTRAINT site_is_named CHECK site != '',
    CONSTRAINT time_is_sane CHECK event_time >= toDateTime64('2000-01-01 00:00:00', 3, 'UTC') AND event_time < toDateTime64('2200-01-01 00:00:00', 3, 'UTC')
) ENGINE = {replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (site, visitor, event_time, id_seq, id_node)
SETTINGS default_compression_codec = 'ZSTD(1)', non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
    enable_block_number_column = 1, enable_block_offset_column = 1
COMMENT 'Every hit, with its verdict. No personal value: keyed hashes and a cut address only.';

CREATE TABLE IF NOT EXISTS {database}.leads {on_cluster} (
    site LowCardinality(String),
    event_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    id_seq UInt32,
    id_node UInt32,
    received_lag_ms Int64,
    visitor UInt128,
    form LowCardinality(String),
    email String,
    email_key FixedString(16),
    phone String,
    phone_key FixedString(16),
    first_name String,
    last_name String,
    full_name String,
    company String,
    message String,
    extra Map(LowCardinality(String), String) COMMENT 'every field that has no column, in order, repeats included',
    country LowCardinality(String),
    traffic_class LowCardinality(String),
    log_epoch UInt64,
    log_partition UInt16,
    log_offset UInt64,
    INDEX ix_log_offset log_offset TYPE minmax GRANULARITY 1,
    CONSTRAINT site_is_named CHECK site != ''
) ENGINE = {replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (site, event_time, id_seq, id_node)
SETTINGS default_compression_codec = 'ZSTD(1)', non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
    enable_block_number_column = 1, enable_block_offset_column = 1
COMMENT 'Personal: what people typed into forms.';

CREATE TABLE IF NOT EXISTS {database}.conversions {on_cluster} (
    site LowCardinality(String),
    event_type Enum8('lead' = 7, 'purchase' = 12, 'conversion' = 20),
    event_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    visitor UInt128,
    id_seq UInt32,
    id_node UInt32,
    received_lag_ms Int64,
    source_kind Enum8('web_form' = 1, 'redirect' = 2, 'pixel' = 3, 's2s' = 4, 'api' = 5, 'manual' = 6, 'import' = 7),
    visitor_basis Enum8('none' = 0, 'cookie' = 1, 'daily_hash' = 2),
    day_hash UInt64,
    parent_click UInt128,
    parent_link UInt32 COMMENT 'the numbers that the signed click id holds: they name link, offer and affiliate although the click is lost',
    parent_offer UInt32,
    parent_affiliate UInt32,
    amount Decimal(18, 4),
    currency LowCardinality(String),
    order_id String,
    goal LowCardinality(String),
    status LowCardinality(String),
    form LowCardinality(String),
    country LowCardinality(String),
    traffic_class LowCardinality(String),
    log_epoch UInt64,
    log_partition UInt16,
    log_offset UInt64,
    INDEX ix_log_offset log_offset TYPE minmax GRANULARITY 1,
    CONSTRAINT site_is_named CHECK site != ''
) ENGINE = {replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (site, event_type, toDate(event_time), visitor, event_time, id_seq, id_node)
SETTINGS default_compression_codec = 'ZSTD(1)', non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
    enable_block_number_column = 1, enable_block_offset_column = 1
COMMENT 'Leads, sales and other conversions, narrow: what settling and money reports read.';

-- Not in DATA_MODEL.md: `events` is ordered by visitor, so a conversion that knows only a click id or a day's hash can't find
-- its click there. This says which visitor and time to look for. It is also what `changed` was to be: settling reads the rows
-- of the log ranges that are new.
CREATE TABLE IF NOT EXISTS {database}.touch_keys {on_cluster} (
    site LowCardinality(String),
    kind Enum8('click_id' = 1, 'day_hash' = 2),
    key UInt128,
    event_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    id_seq UInt32,
    id_node UInt32,
    received_lag_ms Int64,
    visitor UInt128,
    log_epoch UInt64,
    log_partition UInt16,
    log_offset UInt64,
    INDEX ix_log_offset log_offset TYPE minmax GRANULARITY 1
) ENGINE = {replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (site, kind, key, event_time, id_seq, id_node)
SETTINGS default_compression_codec = 'ZSTD(1)', non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'From a click id or a day''s hash to the visitor and time of the click.';

CREATE TABLE IF NOT EXISTS {database}.dead_letters {on_cluster} (
    log_epoch UInt64,
    log_partition UInt16,
    log_offset UInt64,
    event_id UUID COMMENT 'all zero when the record could not be read',
    reason LowCardinality(String),
    detail String COMMENT 'where and why; never what stood there',
    payload String COMMENT 'the record as the log held it: personal' CODEC(ZSTD(3)),
    at DateTime64(3, 'UTC')
) ENGINE = {replicated}ReplacingMergeTree
ORDER BY (log_epoch, log_partition, log_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Personal: records that could not be read or stored, with the reason and their place in the log.';

CREATE TABLE IF NOT EXISTS {database}.ingest_batches {on_cluster} (
    log_epoch UInt64,
    log_partition UInt16,
    from_offset UInt64,
    to_offset UInt64 COMMENT 'the first offset after the batch',
    records UInt32,
    dead UInt32,
    at DateTime64(3, 'UTC')
) ENGINE = {replicated}ReplacingMergeTree
ORDER BY (log_epoch, log_partition, from_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Which ranges of the log are stored. Written last: what stands here is complete in every table.';
