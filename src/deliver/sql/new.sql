-- The leads of new ranges for one endpoint: those that are not a repeat of an earlier one, and that it has not had before (a replay, or
-- a step that was cut off). {new_rows}: which rows are new, whole numbers written by the program.
WITH fresh AS (
    SELECT site, event_time, id_seq, id_node, any(received_lag_ms) AS lag_ms, any(form) AS its_form
    FROM leads
    WHERE ({new_rows}) AND (empty({forms:Array(String)}) OR has({forms:Array(String)}, form))
    GROUP BY site, event_time, id_seq, id_node
)
SELECT toString(fresh.site) AS site_name, toUnixTimestamp64Milli(fresh.event_time) AS event_time_ms, id_seq, id_node, lag_ms,
    toString(its_form) AS form_name
FROM fresh
WHERE (site, event_time, id_seq, id_node) NOT IN (
        SELECT site, conversion_time, conversion_seq, conversion_node
        FROM conversion_clicks FINAL
        WHERE (site, conversion_time, conversion_seq, conversion_node) IN (SELECT site, event_time, id_seq, id_node FROM fresh)
          AND event_type = 'lead' AND counted = 0)
  AND (site, event_time, id_seq, id_node) NOT IN (
        SELECT site, event_time, id_seq, id_node
        FROM deliveries
        WHERE endpoint = {endpoint:String}
          AND (site, event_time, id_seq, id_node) IN (SELECT site, event_time, id_seq, id_node FROM fresh))
ORDER BY event_time, id_seq, id_node, site
