-- The payout ledger: evidence and its proof, the lock, disputes, rules with tiers and caps, and what money is worth in the base currency.

ALTER TABLE {database}.touch_keys {on_cluster}
    MODIFY COLUMN kind Enum8('click_id' = 1, 'day_hash' = 2, 'network_click_id' = 3);

ALTER TABLE {database}.touch_keys_check {on_cluster}
    MODIFY COLUMN kind Enum8('click_id' = 1, 'day_hash' = 2, 'network_click_id' = 3);

ALTER TABLE {database}.conversion_clicks {on_cluster}
    MODIFY COLUMN basis Enum8('none' = 0, 'click_id' = 1, 'cookie' = 2, 'daily_hash' = 3, 'network_click_id' = 5) COMMENT 'how the click was found';

ALTER TABLE {database}.settle_registry {on_cluster}
    MODIFY COLUMN kind Enum8('link' = 1, 'offer' = 2, 'affiliate' = 3, 'coupon' = 4),
    ADD COLUMN IF NOT EXISTS affiliate LowCardinality(String) COMMENT 'of a coupon',
    ADD COLUMN IF NOT EXISTS offer LowCardinality(String) COMMENT 'of a coupon',
    ADD COLUMN IF NOT EXISTS payout_percent Decimal(18, 4) COMMENT 'of an offer that pays a share of the amount',
    ADD COLUMN IF NOT EXISTS lock_after_ms Int64 COMMENT 'of an offer: how long a payout stays provisional without an approval; 0: until the approval',
    ADD COLUMN IF NOT EXISTS has_rule UInt8 COMMENT '1 where tiers or caps decide';

ALTER TABLE {database}.settle_conversions {on_cluster}
    ADD COLUMN IF NOT EXISTS known_time DateTime64(3, 'UTC'),
    ADD COLUMN IF NOT EXISTS coupon String,
    ADD COLUMN IF NOT EXISTS network_click UInt128;

ALTER TABLE {database}.settle_rows {on_cluster}
    MODIFY COLUMN basis Enum8('none' = 0, 'click_id' = 1, 'cookie' = 2, 'daily_hash' = 3, 'network_click_id' = 5),
    MODIFY COLUMN found_by Enum8('none' = 0, 'click_id' = 1, 'last_affiliate_click_cookie' = 2, 'last_affiliate_click_daily_hash' = 3,
        'network_click_id' = 5, 'coupon' = 6),
    ADD COLUMN IF NOT EXISTS known_time DateTime64(3, 'UTC'),
    ADD COLUMN IF NOT EXISTS proof Array(Tuple(evidence String, affiliate String, offer String, click_time DateTime64(3, 'UTC'), verdict String));

ALTER TABLE {database}.payout_attribution {on_cluster}
    MODIFY COLUMN evidence Enum8('none' = 0, 'click_id' = 1, 'last_affiliate_click_cookie' = 2, 'last_affiliate_click_daily_hash' = 3,
        'repeat' = 4, 'network_click_id' = 5, 'coupon' = 6),
    MODIFY COLUMN found_by Enum8('none' = 0, 'click_id' = 1, 'last_affiliate_click_cookie' = 2, 'last_affiliate_click_daily_hash' = 3,
        'network_click_id' = 5, 'coupon' = 6),
    ADD COLUMN IF NOT EXISTS known_time DateTime64(3, 'UTC') DEFAULT conversion_time COMMENT 'when an edge took the conversion: caps and tiers count in this order',
    ADD COLUMN IF NOT EXISTS end_time DateTime64(3, 'UTC') COMMENT 'when an edge took its rejection or reversal; 1970: none',
    ADD COLUMN IF NOT EXISTS lock_time DateTime64(3, 'UTC') COMMENT 'from here on nothing changes winner and payout; 1970: not known yet',
    ADD COLUMN IF NOT EXISTS own Tuple(found_by Int8, affiliate String, offer String, click_time DateTime64(3, 'UTC'), click_seq UInt32, click_node UInt32)
        DEFAULT (toInt8(found_by), affiliate, offer, click_time, click_seq, click_node) COMMENT 'what this message by itself is evidence of',
    ADD COLUMN IF NOT EXISTS proof Array(Tuple(evidence String, affiliate String, offer String, click_time DateTime64(3, 'UTC'), verdict String))
        COMMENT 'all that was considered, the strongest first, and what was found of it',
    ADD COLUMN IF NOT EXISTS disputes Array(Tuple(known_time DateTime64(3, 'UTC'), evidence String, affiliate String, offer String))
        COMMENT 'evidence for another affiliate that came after the lock',
    ADD COLUMN IF NOT EXISTS rule LowCardinality(String) COMMENT 'what the payout came from: fixed, percent, tier 2; cap_day and cap_month: nothing was left',
    ADD COLUMN IF NOT EXISTS taken_back Decimal(18, 4) COMMENT 'of the payout, by a reversal or refund after the lock',
    ADD COLUMN IF NOT EXISTS rate Decimal(18, 8) COMMENT 'units of the amount''s currency for one of the base currency; 0: no rate was known',
    ADD COLUMN IF NOT EXISTS rate_date Date,
    ADD COLUMN IF NOT EXISTS rate_source LowCardinality(String),
    ADD COLUMN IF NOT EXISTS payout_rate Decimal(18, 8) COMMENT 'the same of the payout''s currency',
    ADD COLUMN IF NOT EXISTS base_currency LowCardinality(String),
    ADD COLUMN IF NOT EXISTS amount_base Nullable(Decimal(18, 4)) COMMENT 'NULL: no rate, so nobody knows',
    ADD COLUMN IF NOT EXISTS payout_base Nullable(Decimal(18, 4));

CREATE TABLE IF NOT EXISTS {database}.exchange_rates {on_cluster} (
    base LowCardinality(String),
    currency LowCardinality(String),
    date Date,
    rate Decimal(18, 8) COMMENT 'units of the currency for one of the base',
    source LowCardinality(String) COMMENT 'the file that said so',
    imported UInt64 COMMENT 'number of the import; settling takes up what is new'
) ENGINE = {replicated}ReplacingMergeTree
ORDER BY (base, currency, date)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Daily rates, imported by `leadtrail rates import`. What stands is never changed: a second rate for a day is refused.';

-- Two more working tables of a run.

CREATE TABLE IF NOT EXISTS {database}.settle_payouts {on_cluster} AS {database}.payout_attribution
ENGINE = {replicated}MergeTree
PARTITION BY intDiv(version, 1000)
ORDER BY (version, site, conversion_time, conversion_seq, conversion_node)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Working rows of a settling run: payouts before tiers and caps.';

ALTER TABLE {database}.settle_payouts {on_cluster}
    ADD COLUMN IF NOT EXISTS at DateTime('UTC') DEFAULT now();

ALTER TABLE {database}.settle_payouts {on_cluster}
    MODIFY TTL at + INTERVAL 2 HOUR;

CREATE TABLE IF NOT EXISTS {database}.settle_allotted {on_cluster} (
    version UInt64,
    site LowCardinality(String),
    conversion_time DateTime64(3, 'UTC'),
    conversion_seq UInt32,
    conversion_node UInt32,
    payout Decimal(18, 4),
    payout_currency LowCardinality(String),
    rule LowCardinality(String),
    at DateTime('UTC') DEFAULT now()
) ENGINE = {replicated}MergeTree
PARTITION BY toStartOfHour(at)
ORDER BY (version, site, conversion_time, conversion_seq, conversion_node)
TTL at + INTERVAL 2 HOUR
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000
COMMENT 'Working rows of a settling run: what tiers and caps leave of payouts. Dropped after two hours.';
