-- Each conversion with its click. First the rows that only change their place among repeats (rejoined = 0), then those whose click
-- was looked for: while the latter still stand as they were, a run that is cut off is done again from the same start.
INSERT INTO conversion_clicks (site, conversion_time, conversion_seq, conversion_node, event_type, limited, goal, order_id, basis,
    click_seen, click_time, click_seq, click_node, channel, campaign, ad, creative, placement, link, mailing, affiliate, offer,
    repeat_of, counted, known_time, own_key, version)
SELECT site, conversion_time, conversion_seq, conversion_node, event_type, limited, goal, order_id, basis,
    click_seen, click_time, click_seq, click_node, channel, campaign, ad, creative, placement, link, mailing, affiliate, offer,
    repeat_of, repeat_of = 'none', known_time, own_key, version
FROM settle_rows
WHERE version = {version:UInt64} AND step = 'ready' AND rejoined = {rejoined:UInt8} AND {not_overtaken}
