-- One order through several doors is one conversion: what the shop reports, by pixel or by the API, of a transaction that another server
-- reports is a message about that. The same number, goal and site are the same order, unless two offers are named. A network's
-- transaction goes before the API's, the first that edges took before others; so what comes later moves nothing that stands.
INSERT INTO settle_groups (version, site, conversion_time, conversion_seq, conversion_node, group_key)
WITH
    mine AS (
        SELECT site, event_time, id_seq, id_node, limited, toString(offer) AS own_offer,
            if(lower(goal) IN ('sale', 'purchase', 'order'), '', toString(goal)) AS subject, arrayJoin(numbers) AS number
        FROM settle_conversions WHERE version = {version:UInt64} AND is_shop
    ),
    said AS (
        SELECT site, subject, number, said_offer, by_api, transaction_key, min(known) AS said_time
        FROM (
            SELECT site, if(lower(goal) IN ('sale', 'purchase', 'order'), '', toString(goal)) AS subject, toString(offer) AS said_offer,
                startsWith(source_profile, 'v1/') AS by_api, transaction_key, event_time + toIntervalMillisecond(received_lag_ms) AS known,
                arrayJoin(arrayDistinct(arrayFilter(one -> one != '', [transaction_id, order_id]))) AS number
            FROM conversions
            WHERE (order_id IN (SELECT number FROM mine) OR transaction_id IN (SELECT number FROM mine))
              AND source_kind = 's2s' AND event_type != 'lead' AND traffic_class != 'test'
        )
        GROUP BY site, subject, number, said_offer, by_api, transaction_key
    )
SELECT {version:UInt64}, site, event_time, id_seq, id_node, argMin(transaction_key, (by_api, said_time, transaction_key))
FROM mine INNER JOIN said USING (site, subject, number)
WHERE (own_offer = '' OR said_offer = '' OR own_offer = said_offer) AND (limited = 1 OR NOT by_api)
GROUP BY site, event_time, id_seq, id_node
