-- The payouts of the run's conversions, before tiers and caps: into the working table `settle_payouts`.
--
-- What servers report comes in messages about a transaction (settle_rows.order_id), and what a browser reports of the same order is one
-- of them (see groups.sql). They are put together here, from all that is settled; each message's own run does it again, so the
-- last one sees them all.
--
-- Each message is evidence by itself (`voices`), since an edge took it, and until something takes it away. From one such time to the next
-- (`points`) the best of what holds wins: a server's before any browser's, the strongest first, the earliest of equals. In the first
-- of these stretches in which the lock falls, it is final; what names another affiliate later is a dispute and changes nothing.
-- All of these times were fixed at the edges, so neither the order of arrival nor the clock of this run matters.
INSERT INTO settle_payouts (site, conversion_time, conversion_seq, conversion_node, event_type, state, affiliate, offer, evidence,
    found_by, click_time, click_seq, click_node, amount, currency, payout, payout_currency, status, refunded, messages,
    known_time, end_time, lock_time, own, proof, disputes, rule, voices, won_time, held, share, share_currency,
    claimed_amount, claimed_currency, version)
WITH
    toDateTime64(0, 3, 'UTC') AS never,
    toDateTime64('2200-01-01 00:00:00', 3, 'UTC') AS for_ever,
    (
        SELECT CAST((groupArray(toString(name)), groupArray(lock_after_ms)), 'Map(String, Int64)')
        FROM settle_registry FINAL WHERE fingerprint = {registry:UInt64} AND kind = 'offer'
    ) AS lock_after,
    ready AS (SELECT * FROM settle_rows WHERE version = {version:UInt64} AND step = 'ready'),
    members AS (SELECT * FROM settle_members WHERE version = {version:UInt64}),
    (
        SELECT CAST((groupArray(toString(name)), groupArray((amount, toString(currency)))), 'Map(String, Tuple(Decimal(18, 4), String))')
        FROM settle_registry FINAL WHERE fingerprint = {registry:UInt64} AND kind = 'offer' AND has_amount
    ) AS offer_amount,
    told AS (
        SELECT members.site AS site, members.group_key AS group_key,
            (event_time, id_seq, id_node) AS place,
            event_time + toIntervalMillisecond(received_lag_ms) AS known,
            traffic_class != 'test' AS is_real,
            is_real AND event_type != 'conversion_status' AS is_claim,
            is_real AND status IN ('rejected', 'reversed', 'invalid') AS is_end,
            toString(status) AS word, amount, toString(currency) AS code, has_amount, toString(duplicate_mode) AS mode
        FROM (
            SELECT site, event_time, id_seq, id_node, received_lag_ms, traffic_class, event_type, status, amount, currency, has_amount,
                duplicate_mode
            FROM conversions FINAL
            WHERE source_kind = 's2s' AND transaction_key IN (SELECT own_key FROM members WHERE limited = 2)
        ) AS facts
        INNER JOIN (SELECT * FROM members WHERE limited = 2) AS members ON facts.site = members.site
            AND facts.event_time = members.conversion_time AND facts.id_seq = members.conversion_seq AND facts.id_node = members.conversion_node
    ),
    folded AS (
        SELECT site, group_key,
            toUInt32(count()) AS messages,
            minIf(known, is_claim) AS claimed_time,
            minIf(known, is_real AND word IN ('approved', 'paid')) AS approved_time,
            minIf(known, is_end) AS end_time,
            -- The first end stays; what says less than what is known comes too late.
            multiIf(
                countIf(is_end) > 0, argMinIf(word, (known, place), is_end),
                countIf(is_real AND word = 'paid') > 0, 'paid',
                countIf(is_real AND word = 'approved') > 0, 'approved',
                countIf(is_real AND word = 'pending') > 0, 'pending',
                argMax(word, place)) AS state,
            arraySort(groupArrayIf((place, known, word, amount, code, has_amount, mode), is_claim)) AS claims,
            -- A shop's refunds are parts that add up, whatever its orders do.
            argMaxIf(mode, place, is_real AND amount < 0) AS refund_mode,
            if(refund_mode = 'add', sumIf(-amount, is_real AND amount < 0), -minIf(amount, is_real AND amount < 0)) AS taken_back
        FROM told
        GROUP BY site, group_key
    ),
    browsers AS (SELECT site, group_key, min(known_time) AS browser_time FROM members WHERE limited = 1 GROUP BY site, group_key),
    -- Every evidence once, since it was first known.
    voices_of AS (
        SELECT site, group_key, groupArray((by_browser, weakness, earliest.1, evidence_affiliate, evidence_offer, way, earliest.2,
            earliest.3, earliest.4,
            until_time)) AS group_voices
        FROM (
            SELECT site, group_key, by_browser, voice.1 AS way, -transform(toInt64(way), [1, 5, 6, 2, 3], [5, 4, 3, 2, 1], 0) AS weakness,
                voice.2 AS evidence_affiliate, voice.3 AS evidence_offer, voice.7 AS until_time,
                min((known_time, voice.4, voice.5, voice.6)) AS earliest
            FROM (SELECT site, group_key, limited = 1 AS by_browser, known_time, arrayJoin(voices) AS voice FROM members)
            GROUP BY site, group_key, by_browser, way, evidence_affiliate, evidence_offer, until_time
        )
        GROUP BY site, group_key
    ),
    gathered AS (
        SELECT ready.*, folded.*, voices_of.*, browsers.*,
            -- A repeat has no state of its own: what became of the conversion stands at the one that counts.
            folded.messages > 0 AND repeat_of = 'none' AS is_told,
            arrayMap(one -> (limited = 1, -transform(toInt64(one.1), [1, 5, 6, 2, 3], [5, 4, 3, 2, 1], 0), ready.known_time, one.2, one.3, one.1,
                one.4, one.5, one.6, one.7), ready.voices) AS own_voices,
            arraySort(if(is_told, group_voices, own_voices)) AS evidence,
            if(is_told, arrayMin(arrayFilter(one -> one > never, [claimed_time, browser_time, ready.known_time])), ready.known_time) AS begins,
            if(is_told AND approved_time > never, approved_time, for_ever) AS approval
        FROM ready
        LEFT JOIN (SELECT * EXCEPT (site, group_key), site AS folded_site, group_key AS folded_key FROM folded) AS folded
            ON ready.site = folded.folded_site AND ready.order_id = folded.folded_key
        LEFT JOIN (SELECT group_voices, site AS voices_site, group_key AS voices_key FROM voices_of) AS voices_of
            ON ready.site = voices_of.voices_site AND ready.order_id = voices_of.voices_key
        LEFT JOIN (SELECT browser_time, site AS browsers_site, group_key AS browsers_key FROM browsers) AS browsers
            ON ready.site = browsers.browsers_site AND ready.order_id = browsers.browsers_key
    ),
    weighed AS (
        SELECT *,
            arraySort(arrayDistinct(arrayFilter(one -> one >= begins AND one < for_ever, arrayConcat(
                [begins], arrayMap(one -> one.3, evidence), arrayMap(one -> one.10, evidence))))) AS points,
            arrayMap(point -> arrayFilter(one -> one.3 <= point AND one.10 > point, evidence)[1], points) AS winners,
            arrayPushBack(arrayPopFront(points), for_ever) AS stops,
            -- What only browsers report has no approval. Where nobody wins yet, an approval waits a day for evidence: a shop's server is
            -- often quicker than the browser that knows the click.
            arrayMap((point, one) -> greatest(point, least(if(one.4 = '', approval + toIntervalDay(1), approval),
                if(lock_after[one.5] > 0, begins + toIntervalMillisecond(lock_after[one.5]), for_ever))), points, winners) AS locks,
            if(repeat_of = 'none', arrayFirstIndex((lock, stop) -> lock < stop, locks, stops), 0) AS stretch,
            if(stretch = 0, never, locks[stretch]) AS lock_time,
            if(stretch = 0, length(points), stretch) AS decided,
            winners[decided] AS winner,
            -- Since when it is the winner without a break, and who was before.
            1 + arrayLastIndex(one -> (one.4, one.5) != (winner.4, winner.5), arraySlice(winners, 1, decided)) AS won,
            points[won] AS won_time,
            arrayFilter(one -> one.1 != '', arrayMap((one, since, until) -> (one.4, one.5, since, until),
                arraySlice(winners, 1, won - 1), arraySlice(points, 1, won - 1), arraySlice(stops, 1, won - 1))) AS held,
            if(lock_time = never, [], arrayFilter(one -> one.3 > lock_time AND one.4 != winner.4, evidence)) AS disputed,
            -- All claims, and those that were known at the lock: what a percentage is of.
            arrayMap(known_claims -> (known_claims, arrayFilter(one -> one.6, known_claims), known_claims[-1].7),
                [claims, arrayFilter(one -> lock_time = never OR one.2 <= lock_time, claims)]) AS tellings,
            arrayMap(telling -> multiIf(
                telling.3 = 'add', (toDecimal64(arraySum(arrayMap(one -> one.4, arrayFilter(one -> one.5 = telling.2[1].5, telling.2))), 4),
                    telling.2[1].5),
                telling.3 = 'update', (telling.2[-1].4, telling.2[-1].5),
                telling.3 = 'replace', (telling.1[-1].4, telling.1[-1].5),
                -- A message of a further status is none that repeats: the first of the furthest says the amount.
                (arraySort(one -> (one.3 != 'approved', one.1), telling.2)[1].4, arraySort(one -> (one.3 != 'approved', one.1), telling.2)[1].5)),
                tellings) AS worths,
            -- What only a browser claims is worth what the winner's offer says, and else what it claims.
            is_told AND notEmpty(claims) AS has_worth,
            if(limited = 1 AND mapContains(offer_amount, winner.5), offer_amount[winner.5], (amount, toString(currency))) AS browser_worth
        FROM gathered
    )
SELECT site, conversion_time, conversion_seq, conversion_node, event_type, if(lock_time > never, 'locked', 'provisional'),
    winner.4, winner.5, if(repeat_of = 'none', winner.6, 4), winner.6, winner.7, winner.8, winner.9,
    worth_amount, worth_currency, if(pays, if(terms.payout_percent != 0,
            -- Half up at the fourth decimal place, in whole numbers.
            sign(share) * toDecimal128(intDiv(2 * toInt256(toDecimal128(abs(share), 4) * 10000)
                * toInt256(toDecimal128(terms.payout_percent, 4) * 10000) + 1000000, 2000000), 4) / 10000,
            terms.payout), 0),
    multiIf(NOT pays, '', terms.payout_percent != 0, share_currency, terms.currency),
    told_status, refunded, told_messages, known_time, told_end, lock_time, own, proof,
    arrayMap(one -> (one.3, transform(toInt64(one.6), [1, 5, 6, 2, 3], ['click_id', 'network_click_id', 'coupon',
        'last_affiliate_click_cookie', 'last_affiliate_click_daily_hash'], ''), one.4, one.5), disputed),
    multiIf(NOT pays, '', terms.has_rule, 'by rule', terms.payout_percent != 0, 'percent', terms.payout != 0, 'fixed', ''),
    voices, won_time, held, share, share_currency, claimed_amount, claimed_currency, {version:UInt64}
FROM (
    SELECT site, conversion_time, conversion_seq, conversion_node, event_type, lock_time, winner, repeat_of, disputed, known_time, won_time, held,
        proof, voices,
        (toInt8(found_by), toString(payee), toString(payee_offer), payee_click_time, payee_click_seq, payee_click_node) AS own,
        amount AS claimed_amount, currency AS claimed_currency,
        if(has_worth, worths[1].1, browser_worth.1) AS worth_amount, if(has_worth, worths[1].2, browser_worth.2) AS worth_currency,
        if(has_worth AND notEmpty(tellings[2].1), worths[2].1, worth_amount) AS share,
        if(has_worth AND notEmpty(tellings[2].1), worths[2].2, worth_currency) AS share_currency,
        if(is_told, state, '') AS told_status, if(is_told, messages, 0) AS told_messages,
        if(is_told, end_time, never) AS told_end,
        -- A whole reversal need not say how much; none takes more than there was.
        multiIf(NOT is_told, 0, state = 'reversed' AND taken_back = 0, worth_amount, least(taken_back, worth_amount)) AS refunded,
        winner.4 != '' AND repeat_of = 'none' AND event_type NOT IN ('lead', 'conversion_status')
            -- What ended before the lock earns nothing. After it the payout stands, and is taken back (see written.sql).
            AND NOT (is_told AND (told_status IN ('test', 'ignored')
                OR (told_end > never AND (lock_time = never OR told_end <= lock_time)))) AS pays
    FROM weighed
) AS due
LEFT JOIN (SELECT * FROM settle_registry FINAL WHERE fingerprint = {registry:UInt64} AND kind = 'offer') AS terms ON due.winner.5 = terms.name
