-- All messages of the transactions that the run touches: its own, and those that stand, each with what it is evidence of.
INSERT INTO settle_members (version, site, group_key, conversion_time, conversion_seq, conversion_node, limited, known_time, own_key, voices)
WITH
    ready AS (
        SELECT site, order_id, conversion_time, conversion_seq, conversion_node, limited, known_time, own_key, voices
        FROM settle_rows WHERE version = {version:UInt64} AND step = 'ready' AND limited AND order_id != '' AND NOT startsWith(order_id, 'pixel\x1f')
    )
SELECT {version:UInt64}, site, order_id, conversion_time, conversion_seq, conversion_node, limited, known_time,
    if(own_key = '', order_id, own_key), voices
FROM ready
UNION ALL
SELECT {version:UInt64}, site, order_id, conversion_time, conversion_seq, conversion_node, limited, known_time,
    if(own_key = '', order_id, own_key), stood_voices
FROM (
    SELECT site, order_id, conversion_time, conversion_seq, conversion_node, limited, known_time, own_key
    FROM conversion_clicks FINAL
    WHERE order_id IN (SELECT order_id FROM ready)
      AND (site, conversion_time, conversion_seq, conversion_node) NOT IN (
        SELECT site, conversion_time, conversion_seq, conversion_node FROM ready)
) AS standing
LEFT JOIN (
    SELECT site, conversion_time, conversion_seq, conversion_node, voices AS stood_voices
    FROM payout_attribution FINAL
    WHERE (site, conversion_time, conversion_seq, conversion_node) IN (
        SELECT site, conversion_time, conversion_seq, conversion_node
        FROM conversion_clicks WHERE order_id IN (SELECT order_id FROM ready))
) AS stood USING (site, conversion_time, conversion_seq, conversion_node)
