-- Makes deliveries pending again: those that were given up, or the named ones, delivered ones too. Their time begins anew.
INSERT INTO deliveries (endpoint, site, event_time, id_seq, id_node, received_lag_ms, form, state, attempts, reason, status, since, at, version)
SELECT endpoint, site, event_time, id_seq, id_node, received_lag_ms, form, 'pending', attempts, reason, status,
    now64(3, 'UTC'), now64(3, 'UTC'), version + 1
FROM deliveries FINAL
WHERE endpoint = {endpoint:String}
  AND if(empty({ids:Array(String)}), state = 'failed', state != 'pending' AND has({ids:Array(String)}, toString(event_id)))
