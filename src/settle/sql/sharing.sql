-- Who shares a tier or cap with a conversion of the run: everybody of the same affiliate, offer and month, now or before the run. Only
-- offers with tiers or caps are looked at; those of a month without anything new are not read.
--
-- A conversion whose winner changed before its lock has a row for each that held it (is_ghost): its place was taken for so long, so what
-- was decided meanwhile for others stays.
WITH
    mine AS (SELECT site, conversion_time, conversion_seq, conversion_node FROM settle_payouts WHERE version = {version:UInt64}),
    stood AS (
        SELECT * FROM payout_attribution FINAL
        WHERE (offer IN {offers:Array(String)} OR arrayExists(one -> one.offer IN {offers:Array(String)}, held))
          AND conversion_time >= toStartOfMonth(fromUnixTimestamp64Milli({first_ms:Int64}, 'UTC'))
          AND conversion_time < addMonths(toStartOfMonth(fromUnixTimestamp64Milli({last_ms:Int64}, 'UTC')), 1)
    ),
    holders AS (
        SELECT *, arrayJoin(arrayConcat([(toString(affiliate), toString(offer), won_time, end_time, 0)],
            arrayMap(one -> (one.affiliate, one.offer, one.since, if(end_time > toDateTime64(0, 3, 'UTC'), least(one.until, end_time), one.until), 1),
                held))) AS holder,
            (holder.1, holder.2, toStartOfMonth(conversion_time)) AS circle
        FROM (
            SELECT * EXCEPT (at), 1 AS is_mine FROM settle_payouts WHERE version = {version:UInt64}
            UNION ALL
            SELECT *, if((site, conversion_time, conversion_seq, conversion_node) IN mine, 2, 0) AS is_mine FROM stood
        )
        WHERE holder.2 IN {offers:Array(String)}
    ),
    -- As it is, and as it stood.
    touched AS (SELECT DISTINCT circle FROM holders WHERE is_mine > 0),
    members AS (SELECT * FROM holders WHERE is_mine < 2 AND circle IN touched)
SELECT holder.1 AS affiliate, holder.2 AS offer, toString(site) AS site, toUInt32(toYYYYMM(conversion_time)) AS month,
    toUnixTimestamp64Milli(conversion_time) AS time_ms, conversion_seq AS seq, conversion_node AS node,
    toUnixTimestamp64Milli(holder.3) AS known_ms, toUnixTimestamp64Milli(holder.4) AS end_ms,
    toInt64(share * 10000) AS amount, toString(share_currency) AS currency,
    toUInt8(rule != '' AND holder.5 = 0) AS pays, toUInt8(is_mine) AS is_mine, toUInt8(holder.5) AS is_ghost,
    toInt64(payout * 10000) AS payout, toString(payout_currency) AS payout_currency, toString(rule) AS rule
FROM members
WHERE holder.1 != '' AND evidence != 'repeat' AND event_type NOT IN ('lead', 'conversion_status')
  AND status NOT IN ('test', 'ignored')
