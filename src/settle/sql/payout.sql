-- The payout ledger's rows, before the clicks' rows: what stands in conversion_clicks tells the next run which groups a conversion
-- was in, so a run that is cut off here is done again from the same start.
--
-- What a server reports comes in messages: the rows of one transaction_key. They are put together here, from all that are stored, in the
-- order of their time; each message's own run does it again, so the last one sees them all.
INSERT INTO payout_attribution (site, conversion_time, conversion_seq, conversion_node, event_type, state, affiliate, offer, evidence,
    found_by, click_time, click_seq, click_node, amount, currency, payout, payout_currency, status, refunded, messages, version)
WITH
    told AS (
        SELECT site, transaction_key,
            (event_time, id_seq, id_node) AS place,
            traffic_class != 'test' AS is_real,
            is_real AND event_type != 'conversion_status' AS is_claim,
            is_real AND status IN ('rejected', 'reversed', 'invalid') AS is_end,
            status, amount, currency, has_amount, duplicate_mode
        FROM conversions FINAL
        WHERE source_kind = 's2s' AND transaction_key IN (
            SELECT order_id FROM settle_rows WHERE version = {version:UInt64} AND step = 'ready' AND limited = 2)
    ),
    folded AS (
        SELECT site, transaction_key,
            toUInt32(count()) AS messages,
            -- The first end stays; what says less than what is known comes too late.
            multiIf(
                countIf(is_end) > 0, argMinIf(status, place, is_end),
                countIf(is_real AND status = 'paid') > 0, 'paid',
                countIf(is_real AND status = 'approved') > 0, 'approved',
                countIf(is_real AND status = 'pending') > 0, 'pending',
                argMax(status, place)) AS state,
            argMaxIf(duplicate_mode, place, is_claim) AS mode,
            -- A shop's refunds are parts that add up, whatever its orders do.
            argMaxIf(duplicate_mode, place, is_real AND amount < 0) AS refund_mode,
            -- A message of a further status is none that repeats: the first of the furthest says the amount.
            argMinIf((amount, currency), (status != 'approved', place), is_claim AND has_amount) AS first,
            argMaxIf((amount, currency), place, is_claim AND has_amount) AS last,
            argMaxIf((amount, currency), place, is_claim) AS whole,
            sumIf(amount, is_claim AND has_amount AND currency = first_currency) AS added,
            multiIf(mode = 'add', (toDecimal64(added, 4), first.2), mode = 'update', last, mode = 'replace', whole, first) AS worth,
            if(refund_mode = 'add', sumIf(-amount, is_real AND amount < 0), -minIf(amount, is_real AND amount < 0)) AS taken_back
        FROM (
            SELECT *, first_value(currency) OVER (PARTITION BY site, transaction_key ORDER BY is_claim AND has_amount DESC, place
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS first_currency
            FROM told
        )
        GROUP BY site, transaction_key
    ),
    ready.limited = 2 AS is_told,
    payee != '' AND repeat_of = 'none' AND ready.event_type NOT IN ('lead', 'conversion_status')
        AND NOT (is_told AND folded.state IN ('rejected', 'reversed', 'invalid', 'test', 'ignored')) AS pays
SELECT ready.site, conversion_time, conversion_seq, conversion_node, ready.event_type, 'provisional', payee, payee_offer,
    if(repeat_of = 'none', toInt8(found_by), 4), found_by, payee_click_time, payee_click_seq, payee_click_node,
    if(is_told, folded.worth.1, ready.amount), if(is_told, folded.worth.2, ready.currency),
    if(pays, offers.payout, 0), if(pays, offers.currency, ''),
    if(is_told, folded.state, ''),
    -- A whole reversal need not say how much; none takes more than there was.
    multiIf(NOT is_told, 0, folded.state = 'reversed' AND folded.taken_back = 0, folded.worth.1, least(folded.taken_back, folded.worth.1)),
    if(is_told, folded.messages, 0),
    version
FROM (SELECT * FROM settle_rows WHERE version = {version:UInt64} AND step = 'ready') AS ready
LEFT JOIN (SELECT * FROM settle_registry FINAL WHERE fingerprint = {registry:UInt64} AND kind = 'offer') AS offers
    ON ready.payee_offer = offers.name
LEFT JOIN folded ON ready.site = folded.site AND ready.order_id = folded.transaction_key
