-- The payouts of the run's conversions, before tiers and caps: into the working table `settle_payouts`.
--
-- What a server reports comes in messages: the rows of one transaction_key. They are put together here, from all that are stored, in the
-- order of their time; each message's own run does it again, so the last one sees them all.
--
-- Each message is evidence by itself (`own`). The strongest that an edge took up to the lock wins, the earliest of equals; what names
-- another affiliate later is a dispute and changes nothing. All of these times were fixed at the edges, so neither the order of
-- arrival nor the clock of this run matters.
INSERT INTO settle_payouts (site, conversion_time, conversion_seq, conversion_node, event_type, state, affiliate, offer, evidence,
    found_by, click_time, click_seq, click_node, amount, currency, payout, payout_currency, status, refunded, messages,
    known_time, end_time, lock_time, own, proof, disputes, rule, version)
WITH
    toDateTime64(0, 3, 'UTC') AS never,
    told_rows AS (
        SELECT site, transaction_key, event_time, id_seq, id_node, received_lag_ms, traffic_class, event_type, status, amount, currency,
            has_amount, duplicate_mode
        FROM conversions FINAL
        WHERE source_kind = 's2s' AND transaction_key IN (
            SELECT order_id FROM settle_rows WHERE version = {version:UInt64} AND step = 'ready' AND limited = 2)
    ),
    told AS (
        SELECT site, transaction_key,
            (event_time, id_seq, id_node) AS place,
            event_time + toIntervalMillisecond(received_lag_ms) AS known,
            traffic_class != 'test' AS is_real,
            is_real AND event_type != 'conversion_status' AS is_claim,
            is_real AND status IN ('rejected', 'reversed', 'invalid') AS is_end,
            status, amount, currency, has_amount, duplicate_mode
        FROM told_rows
    ),
    folded AS (
        SELECT site, transaction_key,
            toUInt32(count()) AS messages,
            minIf(known, is_real AND status IN ('approved', 'paid')) AS approved_time,
            if(countIf(is_end) > 0, argMinIf(known, place, is_end), never) AS end_time,
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
            -- What the payout is a share of: as it was known at the approval.
            argMinIf(amount, (status != 'approved', place), is_claim AND has_amount AND is_timely) AS timely_first,
            argMaxIf(amount, place, is_claim AND has_amount AND is_timely) AS timely_last,
            argMaxIf(amount, place, is_claim AND is_timely) AS timely_whole,
            toDecimal64(sumIf(amount, is_claim AND has_amount AND is_timely AND currency = first_currency), 4) AS timely_added,
            multiIf(mode = 'add', timely_added, mode = 'update', timely_last, mode = 'replace', timely_whole, timely_first) AS share_of,
            sumIf(amount, is_claim AND has_amount AND currency = first_currency) AS added,
            multiIf(mode = 'add', (toDecimal64(added, 4), first.2), mode = 'update', last, mode = 'replace', whole, first) AS worth,
            if(refund_mode = 'add', sumIf(-amount, is_real AND amount < 0), -minIf(amount, is_real AND amount < 0)) AS taken_back
        FROM (
            SELECT *, first_value(currency) OVER (PARTITION BY site, transaction_key ORDER BY is_claim AND has_amount DESC, place
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS first_currency,
                minIf(known, is_real AND status IN ('approved', 'paid')) OVER (PARTITION BY site, transaction_key) AS approval,
                approval = never OR known <= approval AS is_timely
            FROM told
        )
        GROUP BY site, transaction_key
    ),
    messages_of AS (
        SELECT site, order_id AS transaction_key, known_time, toInt8(found_by) AS found_by, payee AS affiliate, payee_offer AS offer,
            payee_click_time AS click_time, payee_click_seq AS click_seq, payee_click_node AS click_node
        FROM settle_rows WHERE version = {version:UInt64} AND step = 'ready' AND limited = 2
        UNION ALL
        SELECT site, transaction_key, known_time, own.1, own.2, own.3, own.4, own.5, own.6
        FROM payout_attribution FINAL
        INNER JOIN (
            SELECT site, transaction_key, event_time AS conversion_time, id_seq AS conversion_seq, id_node AS conversion_node
            FROM told_rows
        ) AS standing USING (site, conversion_time, conversion_seq, conversion_node)
        WHERE (site, conversion_time, conversion_seq, conversion_node) IN (
                SELECT site, event_time, id_seq, id_node FROM told_rows)
          AND (site, conversion_time, conversion_seq, conversion_node) NOT IN (
                SELECT site, conversion_time, conversion_seq, conversion_node
                FROM settle_rows WHERE version = {version:UInt64} AND step = 'ready')
    ),
    voices AS (
        SELECT site, transaction_key,
            arraySort(groupArray((-transform(toInt64(found_by), [1, 5, 6, 2, 3], [5, 4, 3, 2, 1], 0), known_time, affiliate, offer,
                found_by, click_time, click_seq, click_node))) AS voices
        FROM messages_of
        WHERE affiliate != ''
        GROUP BY site, transaction_key
    ),
    weighed AS (
        SELECT *,
            -- A repeat has no state of its own: what became of the conversion stands at the one that counts.
            limited = 2 AND repeat_of = 'none' AS is_told,
            (-transform(toInt64(found_by), [1, 5, 6, 2, 3], [5, 4, 3, 2, 1], 0), known_time, toString(payee), toString(payee_offer),
                toInt8(found_by), payee_click_time, payee_click_seq, payee_click_node) AS own_voice,
            -- What only browsers report has no approval.
            arrayFilter(one -> one > never AND repeat_of = 'none', [
                if(is_told, approved_time, never),
                if(lock_after_ms > 0, known_time + toIntervalMillisecond(lock_after_ms), never)]) AS lock_times,
            if(empty(lock_times), never, arrayMin(lock_times)) AS lock_time,
            is_told AS has_voices,
            if(has_voices, arrayFilter(one -> lock_time = never OR one.2 <= lock_time, voices), []) AS in_time,
            if(empty(in_time), own_voice, in_time[1]) AS winner,
            arrayMap(one -> (one.2, transform(toInt64(one.5), [1, 5, 6, 2, 3], ['click_id', 'network_click_id', 'coupon',
                    'last_affiliate_click_cookie', 'last_affiliate_click_daily_hash'], ''), one.3, one.4),
                if(has_voices AND lock_time > never, arrayFilter(one -> one.2 > lock_time AND one.3 != winner.3, voices), [])) AS disputes
        FROM (SELECT * FROM settle_rows WHERE version = {version:UInt64} AND step = 'ready') AS ready
        LEFT JOIN (
            SELECT name AS lock_offer, lock_after_ms FROM settle_registry FINAL WHERE fingerprint = {registry:UInt64} AND kind = 'offer'
        ) AS locks ON ready.payee_offer = locks.lock_offer
        LEFT JOIN (SELECT * EXCEPT (site, transaction_key), site AS folded_site, transaction_key AS folded_key FROM folded) AS folded
            ON ready.site = folded.folded_site AND ready.order_id = folded.folded_key
        LEFT JOIN (SELECT voices, site AS voices_site, transaction_key AS voices_key FROM voices) AS voices
            ON ready.site = voices.voices_site AND ready.order_id = voices.voices_key
    )
SELECT site, conversion_time, conversion_seq, conversion_node, event_type, if(lock_time > never, 'locked', 'provisional'),
    winner.3, winner.4, if(repeat_of = 'none', winner.5, 4), winner.5, winner.6, winner.7, winner.8,
    worth_amount, worth_currency, if(pays, if(terms.payout_percent != 0,
            -- Half up at the fourth decimal place, in whole numbers.
            sign(share) * toDecimal128(intDiv(2 * toInt256(toDecimal128(abs(share), 4) * 10000)
                * toInt256(toDecimal128(terms.payout_percent, 4) * 10000) + 1000000, 2000000), 4) / 10000,
            terms.payout), 0),
    multiIf(NOT pays, '', terms.payout_percent != 0, worth_currency, terms.currency),
    told_status, refunded, told_messages, known_time, told_end, lock_time,
    (own_voice.5, own_voice.3, own_voice.4, own_voice.6, own_voice.7, own_voice.8), proof, disputes,
    multiIf(NOT pays, '', terms.has_rule, 'by rule', terms.payout_percent != 0, 'percent', terms.payout != 0, 'fixed', ''),
    {version:UInt64}
FROM (
    SELECT site, conversion_time, conversion_seq, conversion_node, event_type, lock_time, winner, repeat_of,
        own_voice, proof, disputes, known_time,
        if(is_told, worth.1, amount) AS worth_amount, if(is_told, worth.2, currency) AS worth_currency,
        if(is_told, share_of, amount) AS share,
        if(is_told, state, '') AS told_status, if(is_told, messages, 0) AS told_messages,
        if(is_told, end_time, never) AS told_end,
        -- A whole reversal need not say how much; none takes more than there was.
        multiIf(NOT is_told, 0, state = 'reversed' AND taken_back = 0, worth_amount, least(taken_back, worth_amount)) AS refunded,
        winner.3 != '' AND repeat_of = 'none' AND event_type NOT IN ('lead', 'conversion_status')
            -- What ended before the lock earns nothing. After it the payout stands, and is taken back (see written.sql).
            AND NOT (is_told AND (told_status IN ('invalid', 'test', 'ignored')
                OR (told_end > never AND (lock_time = never OR told_end <= lock_time)))) AS pays
    FROM weighed
) AS due
LEFT JOIN (SELECT * FROM settle_registry FINAL WHERE fingerprint = {registry:UInt64} AND kind = 'offer') AS terms ON due.winner.4 = terms.name
