-- What a postback was refused for, by minute: a row that is missing here may be one of those.
SELECT toInt64(toUnixTimestamp(minute)) AS at_s, toString(code) AS code, toString(parameter) AS parameter, sum(count) AS requests
FROM refusals FINAL
WHERE door = 'postback' AND form = {postback:String}
  AND minute >= toDateTime(fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC'), 'UTC') AND minute < toDateTime(fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC'), 'UTC')
GROUP BY minute, code, parameter
ORDER BY at_s, code, parameter
LIMIT 100000
