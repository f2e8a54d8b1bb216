-- How far the warehouse is: the newest stored batch, the newest event, and what is stored but not settled yet.
--
-- Batches are counted as ranges of the log, so a batch that was recorded twice counts once. `max(event_time)` is answered from
-- the parts' own minima and maxima.
SELECT
    max(newest_at) AS newest_batch,
    assumeNotNull((SELECT max(event_time) FROM events)) AS newest_event,
    sum(toUInt64(if(end_offset > next_offset, end_offset - greatest(next_offset, first_offset), 0))) AS records_unsettled,
    minIf(oldest_at, end_offset > next_offset) AS unsettled_since
FROM (
    SELECT
        batch.log_epoch AS log_epoch,
        batch.log_partition AS log_partition,
        max(batch.at) AS newest_at,
        min(batch.from_offset) AS first_offset,
        max(batch.to_offset) AS end_offset,
        any(position.next_offset) AS next_offset,
        minIf(batch.at, batch.to_offset > position.next_offset) AS oldest_at
    FROM ingest_batches AS batch
    LEFT JOIN (SELECT log_epoch, log_partition, next_offset FROM settle_positions FINAL) AS position
    ON batch.log_epoch = position.log_epoch AND batch.log_partition = position.log_partition
    GROUP BY log_epoch, log_partition
)
