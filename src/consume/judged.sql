-- What was judged spam, by offset: 1 held, 0 not. The flag in `events` is the verdict; without it the table that has the row.
SELECT log_offset, argMin(is_held, place) AS held
FROM (
    SELECT log_offset, toUInt8(has(flags, ?)) AS is_held, 1 AS place FROM events
    WHERE log_epoch = ? AND log_partition = ? AND log_offset >= ? AND log_offset < ?
    UNION ALL
    SELECT log_offset, toUInt8(1), 2 FROM quarantine
    WHERE state = 'held' AND log_epoch = ? AND log_partition = ? AND log_offset >= ? AND log_offset < ?
    UNION ALL
    SELECT log_offset, toUInt8(0), 3 FROM leads
    WHERE log_epoch = ? AND log_partition = ? AND log_offset >= ? AND log_offset < ?
    UNION ALL
    SELECT log_offset, toUInt8(0), 3 FROM service_contacts
    WHERE log_epoch = ? AND log_partition = ? AND log_offset >= ? AND log_offset < ?
)
GROUP BY log_offset
