-- What networks and trackers report by postback. Every message is a row of `conversions`: the rows of one transaction_key, in the order
-- of event_time, are the history of one conversion; settling says what they come to.

ALTER TABLE {database}.events {on_cluster}
    ADD COLUMN IF NOT EXISTS source_profile LowCardinality(String) COMMENT 'the postback, as in /postback/{name}',
    ADD COLUMN IF NOT EXISTS transaction_id String COMMENT 'the network''s own id of the conversion',
    ADD COLUMN IF NOT EXISTS external_click_id String COMMENT 'a click id that is not one of ours, as it was sent',
    ADD COLUMN IF NOT EXISTS coupon LowCardinality(String);

ALTER TABLE {database}.events_check {on_cluster}
    ADD COLUMN IF NOT EXISTS source_profile LowCardinality(String),
    ADD COLUMN IF NOT EXISTS transaction_id String,
    ADD COLUMN IF NOT EXISTS external_click_id String,
    ADD COLUMN IF NOT EXISTS coupon LowCardinality(String);

ALTER TABLE {database}.conversions {on_cluster}
    MODIFY COLUMN event_type Enum8('lead' = 7, 'purchase' = 12, 'conversion_status' = 15, 'conversion' = 20),
    ADD COLUMN IF NOT EXISTS offer LowCardinality(String),
    ADD COLUMN IF NOT EXISTS source_profile LowCardinality(String),
    ADD COLUMN IF NOT EXISTS transaction_key String COMMENT 'postback, offer and transaction: the rows of one key are messages about one conversion',
    ADD COLUMN IF NOT EXISTS transaction_id String,
    ADD COLUMN IF NOT EXISTS external_click_id String,
    ADD COLUMN IF NOT EXISTS original_status LowCardinality(String) COMMENT 'the network''s own word',
    ADD COLUMN IF NOT EXISTS has_amount UInt8 COMMENT '0 where no amount was said: a said amount of 0 is one',
    ADD COLUMN IF NOT EXISTS duplicate_mode Enum8('none' = 0, 'ignore' = 1, 'update' = 2, 'add' = 3, 'replace' = 4),
    ADD COLUMN IF NOT EXISTS coupon LowCardinality(String),
    ADD COLUMN IF NOT EXISTS new_customer Enum8('unknown' = 0, 'new' = 1, 'returning' = 2),
    ADD COLUMN IF NOT EXISTS tax Decimal(18, 4),
    ADD COLUMN IF NOT EXISTS shipping Decimal(18, 4),
    ADD COLUMN IF NOT EXISTS discount Decimal(18, 4),
    ADD COLUMN IF NOT EXISTS amount_text String COMMENT 'an amount with more digits than the column has, as it was sent',
    ADD COLUMN IF NOT EXISTS item_skus Array(String),
    ADD COLUMN IF NOT EXISTS item_quantities Array(Decimal(18, 4)),
    ADD COLUMN IF NOT EXISTS item_amounts Array(Decimal(18, 4)) COMMENT 'of each line, quantity included',
    ADD COLUMN IF NOT EXISTS flags Array(LowCardinality(String)),
    ADD COLUMN IF NOT EXISTS odd Map(LowCardinality(String), LowCardinality(String)) COMMENT 'which parameter was odd, and how',
    ADD INDEX IF NOT EXISTS ix_transaction_key transaction_key TYPE bloom_filter(0.01) GRANULARITY 1;

ALTER TABLE {database}.conversions_check {on_cluster}
    MODIFY COLUMN event_type Enum8('lead' = 7, 'purchase' = 12, 'conversion_status' = 15, 'conversion' = 20),
    ADD COLUMN IF NOT EXISTS offer LowCardinality(String),
    ADD COLUMN IF NOT EXISTS source_profile LowCardinality(String),
    ADD COLUMN IF NOT EXISTS transaction_key String,
    ADD COLUMN IF NOT EXISTS transaction_id String,
    ADD COLUMN IF NOT EXISTS external_click_id String,
    ADD COLUMN IF NOT EXISTS original_status LowCardinality(String),
    ADD COLUMN IF NOT EXISTS has_amount UInt8,
    ADD COLUMN IF NOT EXISTS duplicate_mode Enum8('none' = 0, 'ignore' = 1, 'update' = 2, 'add' = 3, 'replace' = 4),
    ADD COLUMN IF NOT EXISTS coupon LowCardinality(String),
    ADD COLUMN IF NOT EXISTS new_customer Enum8('unknown' = 0, 'new' = 1, 'returning' = 2),
    ADD COLUMN IF NOT EXISTS tax Decimal(18, 4),
    ADD COLUMN IF NOT EXISTS shipping Decimal(18, 4),
    ADD COLUMN IF NOT EXISTS discount Decimal(18, 4),
    ADD COLUMN IF NOT EXISTS amount_text String,
    ADD COLUMN IF NOT EXISTS item_skus Array(String),
    ADD COLUMN IF NOT EXISTS item_quantities Array(Decimal(18, 4)),
    ADD COLUMN IF NOT EXISTS item_amounts Array(Decimal(18, 4)),
    ADD COLUMN IF NOT EXISTS flags Array(LowCardinality(String)),
    ADD COLUMN IF NOT EXISTS odd Map(LowCardinality(String), LowCardinality(String));

ALTER TABLE {database}.conversion_clicks {on_cluster}
    MODIFY COLUMN event_type Enum8('lead' = 7, 'purchase' = 12, 'conversion_status' = 15, 'conversion' = 20);

ALTER TABLE {database}.settle_conversions {on_cluster}
    MODIFY COLUMN event_type Enum8('lead' = 7, 'purchase' = 12, 'conversion_status' = 15, 'conversion' = 20);

ALTER TABLE {database}.settle_rows {on_cluster}
    MODIFY COLUMN event_type Enum8('lead' = 7, 'purchase' = 12, 'conversion_status' = 15, 'conversion' = 20);

ALTER TABLE {database}.payout_attribution {on_cluster}
    MODIFY COLUMN event_type Enum8('lead' = 7, 'purchase' = 12, 'conversion_status' = 15, 'conversion' = 20),
    ADD COLUMN IF NOT EXISTS status LowCardinality(String) COMMENT 'where all messages together have brought it: pending, approved, paid, rejected, reversed; empty for what only a form or pixel reports',
    ADD COLUMN IF NOT EXISTS refunded Decimal(18, 4) COMMENT 'what refunds and reversals took; the amount is before them',
    ADD COLUMN IF NOT EXISTS messages UInt32 COMMENT 'messages about it; 0 for what only a form or pixel reports';
