-- What only a browser claims is worth what the winner's offer says, whoever the winner is in the end: so what was claimed stays beside it.
-- Rows of before say what they were worth; those whose own evidence changes are read from their facts again.

ALTER TABLE {database}.payout_attribution {on_cluster}
    MODIFY COLUMN amount Decimal(18, 4) COMMENT 'what it is worth; the amount of the winner''s offer, where it has one and only a browser claims it',
    ADD COLUMN IF NOT EXISTS claimed_amount Decimal(18, 4) DEFAULT amount COMMENT 'what this message by itself says',
    ADD COLUMN IF NOT EXISTS claimed_currency LowCardinality(String) DEFAULT currency;

-- In the order of payout_attribution; `at` stays the last.
ALTER TABLE {database}.settle_payouts {on_cluster}
    ADD COLUMN IF NOT EXISTS claimed_amount Decimal(18, 4) AFTER share_currency,
    ADD COLUMN IF NOT EXISTS claimed_currency LowCardinality(String) AFTER claimed_amount;
