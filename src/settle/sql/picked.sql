-- What a run notes of a conversion, column by column as COLUMNS (pick.rs) has them.
    {version:UInt64}, site, event_type, event_time, id_seq, id_node,
    if(visitor_basis = 'cookie', visitor, 0),
    if(visitor_basis = 'daily_hash', toUInt64(visitor), day_hash),
    parent_click, parent_link, parent_offer, parent_affiliate,
    multiIf(event_type = 'lead', 0, source_kind = 'pixel', 1, source_kind = 's2s', 2, 0), amount, currency, goal,
    -- Whose messages it is one of: of the transaction that a server names, or of the order that a browser does.
    multiIf(source_kind = 's2s', transaction_key, source_kind != 'pixel' OR order_id = '', order_id,
        concat('pixel\x1f', if(lower(goal) IN ('sale', 'purchase', 'order'), '', goal), '\x1f', order_id)),
    if(event_type = 'lead', submission_key, 0),
    event_time + toIntervalMillisecond(received_lag_ms), upperUTF8(coupon),
    if(external_click_id = '', 0, reinterpretAsUInt128(substring(SHA256(external_click_id), 1, 16))),
    if(event_type != 'lead' AND source_kind IN ('pixel', 's2s'),
        arrayDistinct(arrayFilter(number -> number != '', [transaction_id, order_id])), []),
    event_type != 'lead' AND (source_kind = 'pixel' OR startsWith(source_profile, 'v1/')),
    offer
