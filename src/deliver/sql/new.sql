-- The leads and service contacts of new ranges for one endpoint: those that are not a repeat of an earlier one, and that it has not had before
-- (a replay, or a step that was cut off). {new_rows}: which rows are new, whole numbers written by the program. Settling says which leads are
-- repeats; of service contacts it is said here, by the same rule: the same submission within so many minutes after the one before.
WITH fresh AS (
    SELECT site, event_time, id_seq, id_node, any(received_lag_ms) AS lag_ms, any(its_form) AS its_form, any(submission_key) AS submission_key,
        any(is_lead) AS is_lead
    FROM (
        SELECT site, event_time, id_seq, id_node, received_lag_ms, toString(form) AS its_form, submission_key, toUInt8(1) AS is_lead
        FROM leads
        WHERE ({new_rows}) AND has({kinds:Array(String)}, 'lead')
            AND (empty({forms:Array(String)}) OR has({forms:Array(String)}, form))
        UNION ALL
        SELECT site, event_time, id_seq, id_node, received_lag_ms, toString(form) AS its_form, submission_key, toUInt8(0) AS is_lead
        FROM service_contacts
        WHERE ({new_rows}) AND has({kinds:Array(String)}, toString(kind))
            AND (empty({forms:Array(String)}) OR has({forms:Array(String)}, form))
    )
    GROUP BY site, event_time, id_seq, id_node
),
same_contacts AS (
    SELECT site, event_time, id_seq, id_node,
        lagInFrame(toUnixTimestamp64Milli(event_time), 1, -1) OVER (PARTITION BY site, submission_key ORDER BY event_time, id_seq, id_node
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS before_ms
    FROM service_contacts FINAL
    WHERE submission_key != 0 AND (site, submission_key) IN (SELECT site, submission_key FROM fresh WHERE NOT is_lead)
)
SELECT toString(fresh.site) AS site_name, toUnixTimestamp64Milli(fresh.event_time) AS event_time_ms, id_seq, id_node, lag_ms,
    its_form AS form_name
FROM fresh
WHERE (site, event_time, id_seq, id_node) NOT IN (
        SELECT site, conversion_time, conversion_seq, conversion_node
        FROM conversion_clicks FINAL
        WHERE (site, conversion_time, conversion_seq, conversion_node) IN (SELECT site, event_time, id_seq, id_node FROM fresh)
          AND event_type = 'lead' AND counted = 0)
  AND (site, event_time, id_seq, id_node) NOT IN (
        SELECT site, event_time, id_seq, id_node
        FROM same_contacts
        WHERE before_ms >= 0 AND toUnixTimestamp64Milli(event_time) - before_ms <= {repeat_ms:Int64})
  AND (site, event_time, id_seq, id_node) NOT IN (
        SELECT site, event_time, id_seq, id_node
        FROM deliveries
        WHERE endpoint = {endpoint:String}
          AND (site, event_time, id_seq, id_node) IN (SELECT site, event_time, id_seq, id_node FROM fresh))
ORDER BY event_time, id_seq, id_node, site
