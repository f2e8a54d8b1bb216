-- Who shares a tier or cap with a conversion of the run: everybody of the same affiliate, offer and month, now or before the run. Only
-- offers with tiers or caps are looked at; those of a month without anything new are not read.
WITH
    mine AS (SELECT site, conversion_time, conversion_seq, conversion_node FROM settle_payouts WHERE version = {version:UInt64}),
    stood AS (
        SELECT * FROM payout_attribution FINAL
        WHERE offer IN {offers:Array(String)}
          AND conversion_time >= toStartOfMonth(fromUnixTimestamp64Milli({first_ms:Int64}, 'UTC'))
          AND conversion_time < addMonths(toStartOfMonth(fromUnixTimestamp64Milli({last_ms:Int64}, 'UTC')), 1)
    ),
    touched AS (
        SELECT DISTINCT affiliate, offer, toStartOfMonth(conversion_time) FROM settle_payouts
        WHERE version = {version:UInt64} AND offer IN {offers:Array(String)}
        UNION DISTINCT
        SELECT DISTINCT affiliate, offer, toStartOfMonth(conversion_time) FROM stood
        WHERE (site, conversion_time, conversion_seq, conversion_node) IN mine
    ),
    members AS (
        SELECT *, 1 AS is_mine FROM settle_payouts WHERE version = {version:UInt64} AND offer IN {offers:Array(String)}
        UNION ALL
        SELECT *, now() AS at, 0 AS is_mine FROM stood
        WHERE (affiliate, offer, toStartOfMonth(conversion_time)) IN touched
          AND (site, conversion_time, conversion_seq, conversion_node) NOT IN mine
    )
SELECT toString(affiliate) AS affiliate, toString(offer) AS offer, toString(site) AS site, toUInt32(toYYYYMM(conversion_time)) AS month,
    toUnixTimestamp64Milli(conversion_time) AS time_ms, conversion_seq AS seq, conversion_node AS node,
    toUnixTimestamp64Milli(known_time) AS known_ms, toUnixTimestamp64Milli(end_time) AS end_ms,
    toInt64(amount * 10000) AS amount, toString(currency) AS currency,
    toUInt8(rule != '') AS pays, toUInt8(is_mine) AS is_mine,
    toInt64(payout * 10000) AS payout, toString(payout_currency) AS payout_currency, toString(rule) AS rule
FROM members
WHERE affiliate != '' AND evidence != 'repeat' AND event_type NOT IN ('lead', 'conversion_status')
  AND status NOT IN ('invalid', 'test', 'ignored')
