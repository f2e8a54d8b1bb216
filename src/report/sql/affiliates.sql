-- Affiliates: clicks, and what the payout ledger gives them, by affiliate and offer, and one row of totals (is_total = 1).
--
-- Clicks are the affiliate's own, by their time; leads, conversions and money are those whose payout the affiliate wins, by
-- their own time; leads and repeats earn nothing. Only what was judged human counts; the rest is told apart. Amounts and statuses are the
-- ledger's, where all messages of a network are put together; what only a browser claims has its own. Report `offers` is the same with
-- {by_offer} = 1. FINAL: see ads.sql.
SELECT
    toUInt8(grouping(offer)) AS is_total,
    whose AS affiliate,
    offer,
    sum(part.clicks) AS clicks,
    sum(part.leads) AS leads,
    sum(part.conversions) AS conversions,
    sumMap(part.confirmed) AS confirmed,
    sumMap(part.pending) AS pending,
    sumMap(part.reversed) AS reversed,
    sumMap(part.payout_provisional) AS payout_provisional,
    sumMap(part.payout_locked) AS payout_locked,
    sumMap(part.taken_back) AS taken_back,
    if(sum(length(part.waits_ms)) = 0, toInt64(-1), toInt64(quantileExactArray(0.5)(part.waits_ms))) AS median_ms,
    sum(part.disputes) AS disputes,
    sum(part.not_human) AS not_human,
    sum(part.repeats) AS repeats,
    uniqExactIf((whose, offer), part.clicks + part.leads + part.conversions > 0) AS row_count
FROM (
    SELECT
        if({by_offer:UInt8}, '', toString(affiliate)) AS whose,
        toString(offer) AS offer,
        countIf(traffic_class = 'human') AS clicks,
        toUInt64(0) AS leads,
        toUInt64(0) AS conversions,
        CAST(map(), 'Map(String, Decimal(38, 4))') AS confirmed,
        CAST(map(), 'Map(String, Decimal(38, 4))') AS pending,
        CAST(map(), 'Map(String, Decimal(38, 4))') AS reversed,
        CAST(map(), 'Map(String, Decimal(38, 4))') AS payout_provisional,
        CAST(map(), 'Map(String, Decimal(38, 4))') AS payout_locked,
        CAST(map(), 'Map(String, Decimal(38, 4))') AS taken_back,
        CAST([], 'Array(Int64)') AS waits_ms,
        toUInt64(0) AS disputes,
        countIf(traffic_class != 'human') AS not_human,
        toUInt64(0) AS repeats
    FROM events FINAL
    WHERE event_time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        AND event_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        AND event_type = 'click' AND affiliate != ''
        AND ({site:String} = '' OR site = {site:String})
    GROUP BY whose, offer

    UNION ALL

    SELECT
        if({by_offer:UInt8}, '', toString(ledger.affiliate)) AS whose,
        toString(ledger.offer) AS offer,
        toUInt64(0) AS clicks,
        countIf((fact.traffic_class = 'human' AND ledger.evidence != 'repeat') AND ledger.event_type = 'lead') AS leads,
        countIf((fact.traffic_class = 'human' AND ledger.evidence != 'repeat') AND ledger.event_type != 'lead') AS conversions,
        sumMapIf(map(currency, ledger.amount), (fact.traffic_class = 'human' AND ledger.evidence != 'repeat') AND if(ledger.told_status != '', ledger.told_status, toString(fact.status)) NOT IN ('pending', 'rejected', 'reversed', 'invalid')) AS confirmed,
        sumMapIf(map(currency, ledger.amount), (fact.traffic_class = 'human' AND ledger.evidence != 'repeat') AND if(ledger.told_status != '', ledger.told_status, toString(fact.status)) = 'pending') AS pending,
        sumMapIf(map(currency, if(if(ledger.told_status != '', ledger.told_status, toString(fact.status)) IN ('rejected', 'reversed', 'invalid'), ledger.amount, ledger.refunded)), (fact.traffic_class = 'human' AND ledger.evidence != 'repeat')
            AND (if(ledger.told_status != '', ledger.told_status, toString(fact.status)) IN ('rejected', 'reversed', 'invalid') OR ledger.refunded != 0)) AS reversed,
        sumMapIf(map(payout_currency, ledger.payout), (fact.traffic_class = 'human' AND ledger.evidence != 'repeat') AND ledger.state = 'provisional') AS payout_provisional,
        sumMapIf(map(payout_currency, ledger.payout), (fact.traffic_class = 'human' AND ledger.evidence != 'repeat') AND ledger.state = 'locked') AS payout_locked,
        sumMapIf(map(payout_currency, ledger.taken_back), (fact.traffic_class = 'human' AND ledger.evidence != 'repeat') AND ledger.taken_back != 0) AS taken_back,
        groupArrayIf(toUnixTimestamp64Milli(conversion_time) - toUnixTimestamp64Milli(click_time),
            (fact.traffic_class = 'human' AND ledger.evidence != 'repeat') AND ledger.event_type != 'lead' AND click_time > toDateTime64(0, 3, 'UTC')) AS waits_ms,
        sum(length(ledger.disputes)) AS disputes,
        countIf(fact.traffic_class != 'human') AS not_human,
        countIf(fact.traffic_class = 'human' AND ledger.evidence = 'repeat') AS repeats
    FROM (
        SELECT
            site, conversion_time, conversion_seq, conversion_node, event_type,
            -- What a lock of later days holds can still change.
            if(lock_time > now64(3, 'UTC'), 'provisional', toString(state)) AS state, affiliate, offer, evidence, amount,
            payout, click_time, refunded, taken_back, disputes, toString(status) AS told_status, toString(currency) AS currency, toString(payout_currency) AS payout_currency
        FROM payout_attribution FINAL
        WHERE conversion_time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
            AND conversion_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
            AND affiliate != ''
            AND ({site:String} = '' OR site = {site:String})
    ) AS ledger
    INNER JOIN (
        SELECT site, event_time, id_seq, id_node, status, traffic_class
        FROM conversions FINAL
        WHERE event_time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
            AND event_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
            AND ({site:String} = '' OR site = {site:String})
    ) AS fact
    ON ledger.site = fact.site AND ledger.conversion_time = fact.event_time
        AND ledger.conversion_seq = fact.id_seq AND ledger.conversion_node = fact.id_node
    GROUP BY whose, offer
) AS part
GROUP BY GROUPING SETS ((whose, offer), ())
HAVING is_total OR clicks + leads + conversions > 0
ORDER BY is_total DESC, clicks DESC, leads DESC, conversions DESC, whose, offer
LIMIT {limit:UInt32} + 1
