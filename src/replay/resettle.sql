-- Under the version that stands there: of two rows with one version the later one counts, and every later run has a higher one.
INSERT INTO settle_positions (log_epoch, log_partition, next_offset, version)
SELECT log_epoch, log_partition, {offset:UInt64}, version
FROM settle_positions FINAL
WHERE log_epoch = {epoch:UInt64} AND log_partition = {partition:UInt16} AND next_offset > {offset:UInt64}
