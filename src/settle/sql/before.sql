-- How the conversions of the run stand before it: which groups of repeats they were in.
INSERT INTO settle_rows (version, step, site, conversion_time, conversion_seq, conversion_node, limited, goal, order_id,
    click_time, click_seq, click_node)
SELECT {version:UInt64}, 'before', site, conversion_time, conversion_seq, conversion_node, limited, goal, order_id,
    click_time, click_seq, click_node
FROM conversion_clicks FINAL
WHERE limited AND (site, conversion_time, conversion_seq, conversion_node) IN (
    SELECT site, conversion_time, conversion_seq, conversion_node
    FROM settle_rows WHERE version = {version:UInt64} AND step = 'joined' AND limited)
