-- Writes payouts: those of the run (others = 0), or of conversions that share a tier or cap with one of the run (others = 1). The others
-- go first: while the run's own stand as they were, a run that is cut off finds the same neighbours again.
--
-- Each row keeps the rate that it used: the newest of its day or of the {rate_days} days before. Without one there is no base amount.
-- Division and share are rounded half up at the fourth decimal place, in whole numbers.
INSERT INTO payout_attribution (site, conversion_time, conversion_seq, conversion_node, event_type, state, affiliate, offer, evidence,
    found_by, click_time, click_seq, click_node, amount, currency, payout, payout_currency, status, refunded, messages,
    known_time, end_time, lock_time, own, proof, disputes, rule, taken_back, rate, rate_date, rate_source, payout_rate, base_currency,
    amount_base, payout_base, voices, won_time, held, share, share_currency, claimed_amount, claimed_currency, version)
WITH
    toDateTime64(0, 3, 'UTC') AS never,
    rates AS (
        SELECT toString(currency) AS rate_of, date AS day_of_rate, rate AS found_rate, toString(source) AS found_source
        FROM exchange_rates FINAL WHERE base = {base:String}
    ),
    allotted AS (
        SELECT site, conversion_time, conversion_seq, conversion_node, payout AS allotted_payout, payout_currency AS allotted_currency,
            rule AS allotted_rule, 1 AS is_allotted
        FROM settle_allotted WHERE version = {version:UInt64}
    ),
    chosen AS (
        SELECT * EXCEPT (at) FROM settle_payouts WHERE version = {version:UInt64} AND {others:UInt8} = 0
        UNION ALL
        SELECT * FROM payout_attribution FINAL
        WHERE {others:UInt8} = 1
          AND (site, conversion_time, conversion_seq, conversion_node) IN (
            SELECT site, conversion_time, conversion_seq, conversion_node FROM settle_allotted WHERE version = {version:UInt64})
          AND (site, conversion_time, conversion_seq, conversion_node) NOT IN (
            SELECT site, conversion_time, conversion_seq, conversion_node FROM settle_payouts WHERE version = {version:UInt64})
    ),
    due AS (
        SELECT *, toDate(conversion_time) AS day, toString(currency) AS of_amount, toString(due_currency) AS of_payout,
            if(is_allotted, allotted_payout, payout) AS due_payout, if(is_allotted, allotted_currency, payout_currency) AS due_currency,
            if(is_allotted, allotted_rule, rule) AS due_rule,
            toInt256(toDecimal128(abs(due_payout), 4) * 10000) AS payout_units, toInt256(toDecimal128(abs(amount), 4) * 10000) AS amount_units,
            multiIf(
                end_time > never AND lock_time > never AND end_time > lock_time, due_payout,
                due_rule != 'fixed' AND refunded > 0 AND amount > 0 AND due_currency = currency,
                    toDecimal128(intDiv(2 * payout_units * toInt256(toDecimal128(refunded, 4) * 10000) + amount_units, 2 * amount_units), 4) / 10000,
                0) AS due_back
        FROM chosen LEFT JOIN allotted USING (site, conversion_time, conversion_seq, conversion_node)
    ),
    rated AS (
        SELECT due.*, r.found_rate AS table_rate, r.day_of_rate AS table_day, r.found_source AS table_source
        FROM due ASOF LEFT JOIN rates AS r ON due.of_amount = r.rate_of AND due.day >= r.day_of_rate
    ),
    rated_twice AS (
        SELECT rated.*, p.found_rate AS payout_table_rate, p.day_of_rate AS payout_table_day
        FROM rated ASOF LEFT JOIN rates AS p ON rated.of_payout = p.rate_of AND rated.day >= p.day_of_rate
    )
SELECT site, conversion_time, conversion_seq, conversion_node, event_type, state, affiliate, offer, evidence,
    found_by, click_time, click_seq, click_node, amount, currency, due_payout, due_currency, status, refunded, messages,
    known_time, end_time, lock_time, own, proof, disputes, due_rule, due_back,
    multiIf(of_amount = {base:String}, toDecimal64(1, 8), table_rate > 0 AND table_day + {rate_days:UInt16} >= day, table_rate, toDecimal64(0, 8)) AS used,
    if(used > 0, if(of_amount = {base:String}, day, table_day), toDate(0)),
    multiIf(used = 0, '', of_amount = {base:String}, 'base', table_source),
    multiIf(of_payout = {base:String}, toDecimal64(1, 8), payout_table_rate > 0 AND payout_table_day + {rate_days:UInt16} >= day, payout_table_rate,
        toDecimal64(0, 8)) AS payout_used,
    {base:String},
    multiIf(amount = 0, 0, used > 0, sign(amount) * toDecimal128(intDiv(2 * amount_units * 100000000 + toInt256(toDecimal128(used, 8) * 100000000),
        2 * toInt256(toDecimal128(used, 8) * 100000000)), 4) / 10000, NULL),
    multiIf(due_payout = 0, 0, payout_used > 0,
        sign(due_payout) * toDecimal128(intDiv(2 * payout_units * 100000000 + toInt256(toDecimal128(payout_used, 8) * 100000000),
            2 * toInt256(toDecimal128(payout_used, 8) * 100000000)), 4) / 10000, NULL),
    voices, won_time, held, share, share_currency, claimed_amount, claimed_currency, {version:UInt64}
FROM rated_twice
WHERE {not_overtaken}
