-- The conversions of the new ranges. {new_rows}: see look.sql.
INSERT INTO settle_conversions (version, site, event_type, event_time, id_seq, id_node, visitor, day_hash,
    parent_click, parent_link, parent_offer, parent_affiliate, limited, amount, currency, goal, order_id, submission_key,
    known_time, coupon, network_click)
SELECT {version:UInt64}, site, event_type, event_time, id_seq, id_node,
    if(visitor_basis = 'cookie', visitor, 0),
    if(visitor_basis = 'daily_hash', toUInt64(visitor), day_hash),
    parent_click, parent_link, parent_offer, parent_affiliate,
    multiIf(event_type = 'lead', 0, source_kind = 'pixel', 1, source_kind = 's2s', 2, 0), amount, currency, goal,
    if(source_kind = 's2s', transaction_key, order_id), if(event_type = 'lead', submission_key, 0),
    event_time + toIntervalMillisecond(received_lag_ms), upperUTF8(coupon),
    if(external_click_id = '', 0, reinterpretAsUInt128(substring(SHA256(external_click_id), 1, 16)))
FROM conversions
WHERE {new_rows}
