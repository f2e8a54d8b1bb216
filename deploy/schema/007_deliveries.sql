-- Deliveries: which lead went to which endpoint (a webhook, a mailbox), and how far each endpoint has come. Nothing personal stands here:
-- a lead's values are read from `leads` at the moment of sending, so that what was erased there is not sent any more.

CREATE TABLE IF NOT EXISTS {database}.deliveries {on_cluster} (
    endpoint LowCardinality(String),
    site LowCardinality(String),
    event_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    id_seq UInt32,
    id_node UInt32,
    received_lag_ms Int64,
    form LowCardinality(String),
    state Enum8('pending' = 1, 'delivered' = 2, 'failed' = 3) COMMENT 'failed: given up, until `leadtrail webhook retry`',
    attempts UInt32,
    reason LowCardinality(String) COMMENT 'why the last attempt failed, one of a closed list; empty: it did not, or there was none',
    status UInt16 COMMENT 'what the receiver answered to the last attempt: an HTTP status or an SMTP code; 0: nothing',
    since DateTime64(3, 'UTC') COMMENT 'when it was first due: from then on the time until it is given up counts',
    at DateTime64(3, 'UTC') COMMENT 'when this row was written',
    version UInt32 COMMENT '0 for the first row, so that taking a lead up twice changes nothing; one more with each change',
    event_id UUID ALIAS reinterpretAsUUID(concat(
        reinterpretAsFixedString(bitOr(bitShiftLeft(toUInt64(toUnixTimestamp64Milli(event_time) + received_lag_ms), 16),
            toUInt64(28672 + bitShiftRight(id_seq, 20)))),
        reinterpretAsFixedString(bitOr(bitOr(toUInt64(9223372036854775808), bitShiftLeft(toUInt64(bitAnd(id_seq, 1048575)), 42)),
            bitShiftLeft(toUInt64(id_node), 10)))))
) ENGINE = {replicated}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(event_time)
ORDER BY (endpoint, site, event_time, id_seq, id_node)
-- Far longer than the log keeps anything, so that no replay sends a lead again.
TTL toDateTime(at) + INTERVAL 400 DAY
SETTINGS default_compression_codec = 'ZSTD(1)', non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Each lead and endpoint: whether it was delivered. Read with FINAL.';

CREATE TABLE IF NOT EXISTS {database}.delivery_endpoints {on_cluster} (
    endpoint LowCardinality(String),
    state Enum8('enabled' = 1, 'disabled' = 2),
    reason LowCardinality(String) COMMENT 'why it was disabled: gone, or why its attempts failed',
    at DateTime64(3, 'UTC'),
    version UInt32 COMMENT 'one more with each change; also with each `leadtrail webhook retry`, which the deliverer sees by it'
) ENGINE = {replicated}ReplacingMergeTree(version)
ORDER BY endpoint
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'The endpoints that were ever configured, and whether they are used. Read with FINAL.';

CREATE TABLE IF NOT EXISTS {database}.delivery_positions {on_cluster} (
    endpoint LowCardinality(String),
    log_epoch UInt64,
    log_partition UInt16,
    next_offset UInt64 COMMENT 'of every lead before it there is a row in deliveries, if it is for this endpoint'
) ENGINE = {replicated}ReplacingMergeTree(next_offset)
ORDER BY (endpoint, log_epoch, log_partition)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'How far each endpoint has come in what is settled. Read with FINAL.';
