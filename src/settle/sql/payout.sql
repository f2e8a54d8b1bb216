-- The payout ledger's rows, before the clicks' rows: what stands in conversion_clicks tells the next run which groups a conversion
-- was in, so a run that is cut off here is done again from the same start.
INSERT INTO payout_attribution (site, conversion_time, conversion_seq, conversion_node, event_type, state, affiliate, offer, evidence,
    found_by, click_time, click_seq, click_node, amount, currency, payout, payout_currency, version)
WITH
    transform(toString(payee_offer), {offer_names:Array(String)}, {offer_places:Array(UInt32)}, toUInt32(1)) AS place,
    payee != '' AND repeat_of = 'none' AND event_type != 'lead' AS pays
SELECT site, conversion_time, conversion_seq, conversion_node, event_type, 'provisional', payee, payee_offer,
    if(repeat_of = 'none', toInt8(found_by), 4), found_by, payee_click_time, payee_click_seq, payee_click_node, amount, currency,
    if(pays, reinterpret({offer_payouts:Array(Int64)}[place], 'Decimal(18, 4)'), 0),
    if(pays, {offer_currencies:Array(String)}[place], ''),
    version
FROM settle_rows
WHERE version = {version:UInt64} AND step = 'ready'
