-- A page of dead letters, by their place in the log. Payloads are whole records, so a page is small.
SELECT log_epoch, log_partition, log_offset, reason, base64Encode(payload) AS payload
FROM dead_letters FINAL
WHERE ({is_first:UInt8} = 1 OR (log_epoch, log_partition, log_offset) > ({epoch:UInt64}, {partition:UInt16}, {offset:UInt64}))
  AND ({reason:String} = '' OR reason = {reason:String})
  AND ({only_partition:Int32} < 0 OR log_partition = {only_partition:Int32})
  AND toUnixTimestamp64Milli(at) >= {from_ms:Int64} AND toUnixTimestamp64Milli(at) < {to_ms:Int64}
ORDER BY log_epoch, log_partition, log_offset
LIMIT 200
