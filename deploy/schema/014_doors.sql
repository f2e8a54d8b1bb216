-- One order through several doors is one conversion; and a locked winner stays: what each message is evidence of, since when and until
-- when, who held a conversion before its winner, and what a share is a share of.

ALTER TABLE {database}.conversions {on_cluster}
    ADD INDEX IF NOT EXISTS ix_order_id order_id TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS ix_transaction_id transaction_id TYPE bloom_filter(0.01) GRANULARITY 1;

ALTER TABLE {database}.conversion_clicks {on_cluster}
    MODIFY COLUMN order_id String COMMENT 'whose messages it is one of: the key of the transaction, or of the order that a browser named',
    ADD COLUMN IF NOT EXISTS known_time DateTime64(3, 'UTC') DEFAULT conversion_time COMMENT 'when an edge took it: the first counts',
    ADD COLUMN IF NOT EXISTS own_key String COMMENT 'its own transaction''s key, where order_id is another''s';

ALTER TABLE {database}.settle_conversions {on_cluster}
    ADD COLUMN IF NOT EXISTS numbers Array(String) COMMENT 'what it calls its order or transaction',
    ADD COLUMN IF NOT EXISTS is_shop UInt8 COMMENT '1 for what the shop itself reports: by pixel or by the API',
    ADD COLUMN IF NOT EXISTS offer LowCardinality(String);

ALTER TABLE {database}.settle_rows {on_cluster}
    ADD COLUMN IF NOT EXISTS own_key String,
    ADD COLUMN IF NOT EXISTS voices Array(Tuple(found_by Int8, affiliate String, offer String, click_time DateTime64(3, 'UTC'), click_seq UInt32,
        click_node UInt32, until_time DateTime64(3, 'UTC')));

ALTER TABLE {database}.payout_attribution {on_cluster}
    ADD COLUMN IF NOT EXISTS voices Array(Tuple(found_by Int8, affiliate String, offer String, click_time DateTime64(3, 'UTC'), click_seq UInt32,
        click_node UInt32, until_time DateTime64(3, 'UTC')))
        DEFAULT if(own.affiliate = '', [], [(own.found_by, own.affiliate, own.offer, own.click_time, own.click_seq, own.click_node,
            toDateTime64('2200-01-01 00:00:00', 3, 'UTC'))])
        COMMENT 'what this message by itself is evidence of, the strongest first, and until when: a hash that a second visitor has tells nothing',
    ADD COLUMN IF NOT EXISTS won_time DateTime64(3, 'UTC') DEFAULT known_time COMMENT 'since when the winner is the winner: caps and tiers count in this order',
    ADD COLUMN IF NOT EXISTS held Array(Tuple(affiliate String, offer String, since DateTime64(3, 'UTC'), until DateTime64(3, 'UTC')))
        COMMENT 'who would have won before that: they took a place of their caps for so long',
    ADD COLUMN IF NOT EXISTS share Decimal(18, 4) DEFAULT amount COMMENT 'what a percentage is of: the amount as it was known at the lock',
    ADD COLUMN IF NOT EXISTS share_currency LowCardinality(String) DEFAULT currency;

-- In the order of payout_attribution; `at` stays the last.
ALTER TABLE {database}.settle_payouts {on_cluster}
    ADD COLUMN IF NOT EXISTS voices Array(Tuple(found_by Int8, affiliate String, offer String, click_time DateTime64(3, 'UTC'), click_seq UInt32,
        click_node UInt32, until_time DateTime64(3, 'UTC'))) AFTER payout_base,
    ADD COLUMN IF NOT EXISTS won_time DateTime64(3, 'UTC') AFTER voices,
    ADD COLUMN IF NOT EXISTS held Array(Tuple(affiliate String, offer String, since DateTime64(3, 'UTC'), until DateTime64(3, 'UTC'))) AFTER won_time,
    ADD COLUMN IF NOT EXISTS share Decimal(18, 4) AFTER held,
    ADD COLUMN IF NOT EXISTS share_currency LowCardinality(String) AFTER share;

CREATE TABLE IF NOT EXISTS {database}.settle_groups {on_cluster} (
    version UInt64,
    site LowCardinality(String),
    conversion_time DateTime64(3, 'UTC'),
    conversion_seq UInt32,
    conversion_node UInt32,
    group_key String COMMENT 'the transaction that a server reports and this row is of',
    at DateTime('UTC') DEFAULT now()
) ENGINE = {replicated}MergeTree
PARTITION BY toStartOfHour(at)
ORDER BY (version, site, conversion_time, conversion_seq, conversion_node)
TTL at + INTERVAL 2 HOUR
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000
COMMENT 'Working rows of a settling run: what the shop reports of transactions that others report too. Dropped after two hours.';

CREATE TABLE IF NOT EXISTS {database}.settle_members {on_cluster} (
    version UInt64,
    site LowCardinality(String),
    group_key String,
    conversion_time DateTime64(3, 'UTC'),
    conversion_seq UInt32,
    conversion_node UInt32,
    limited UInt8,
    known_time DateTime64(3, 'UTC'),
    own_key String,
    voices Array(Tuple(found_by Int8, affiliate String, offer String, click_time DateTime64(3, 'UTC'), click_seq UInt32, click_node UInt32,
        until_time DateTime64(3, 'UTC'))),
    at DateTime('UTC') DEFAULT now()
) ENGINE = {replicated}MergeTree
PARTITION BY toStartOfHour(at)
ORDER BY (version, site, group_key)
TTL at + INTERVAL 2 HOUR
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000
COMMENT 'Working rows of a settling run: all messages of the transactions that it touches. Dropped after two hours.';
