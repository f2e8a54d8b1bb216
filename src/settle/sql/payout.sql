-- The payout ledger's rows, before the clicks' rows: what stands in conversion_clicks tells the next run which groups a conversion
-- was in, so a run that is cut off here is done again from the same start.
INSERT INTO payout_attribution (site, conversion_time, conversion_seq, conversion_node, event_type, state, affiliate, offer, evidence,
    found_by, click_time, click_seq, click_node, amount, currency, payout, payout_currency, version)
WITH payee != '' AND repeat_of = 'none' AND event_type != 'lead' AS pays
SELECT ready.site, conversion_time, conversion_seq, conversion_node, event_type, 'provisional', payee, payee_offer,
    if(repeat_of = 'none', toInt8(found_by), 4), found_by, payee_click_time, payee_click_seq, payee_click_node, ready.amount, ready.currency,
    if(pays, offers.payout, 0), if(pays, offers.currency, ''), version
FROM (SELECT * FROM settle_rows WHERE version = {version:UInt64} AND step = 'ready') AS ready
LEFT JOIN (SELECT * FROM settle_registry FINAL WHERE fingerprint = {registry:UInt64} AND kind = 'offer') AS offers
    ON ready.payee_offer = offers.name
