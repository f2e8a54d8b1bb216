-- Standing payouts that a newly imported rate concerns: their nearest rate is another than the one that they used, or the first. The
-- ledger is a function of events, registry and rates, so a replay finds the same, whenever the rates came.
INSERT INTO settle_payouts
WITH
    rates AS (
        SELECT toString(currency) AS rate_of, date AS day_of_rate, rate AS found_rate FROM exchange_rates FINAL WHERE base = {base:String}
    ),
    concerned AS (
        SELECT site, conversion_time, conversion_seq, conversion_node, rate_date, payout_rate, toDate(conversion_time) AS day,
            toString(currency) AS of_amount, toString(payout_currency) AS of_payout
        FROM payout_attribution FINAL
        WHERE (currency NOT IN ('', {base:String}) OR payout_currency NOT IN ('', {base:String}))
          AND toDate(conversion_time) >= (SELECT min(date) FROM exchange_rates WHERE base = {base:String} AND imported > {seen:UInt64})
          AND toDate(conversion_time) <= (SELECT max(date) FROM exchange_rates WHERE base = {base:String} AND imported > {seen:UInt64})
                + {rate_days:UInt16}
    ),
    once AS (
        SELECT concerned.*, a.day_of_rate AS amount_day
        FROM concerned ASOF LEFT JOIN rates AS a ON concerned.of_amount = a.rate_of AND concerned.day >= a.day_of_rate
    ),
    twice AS (
        SELECT once.*, p.day_of_rate AS payout_day, p.found_rate AS payout_found
        FROM once ASOF LEFT JOIN rates AS p ON once.of_payout = p.rate_of AND once.day >= p.day_of_rate
    ),
    changed AS (
        SELECT site, conversion_time, conversion_seq, conversion_node FROM twice
        WHERE (of_amount != {base:String} AND amount_day + {rate_days:UInt16} >= day AND amount_day != rate_date)
           OR (of_payout != {base:String} AND payout_day + {rate_days:UInt16} >= day AND payout_found != payout_rate)
    )
SELECT * REPLACE ({version:UInt64} AS version), now() AS at FROM payout_attribution FINAL
WHERE (site, conversion_time, conversion_seq, conversion_node) IN changed
  AND (site, conversion_time, conversion_seq, conversion_node) NOT IN (
    SELECT site, conversion_time, conversion_seq, conversion_node FROM settle_payouts WHERE version = {version:UInt64})
