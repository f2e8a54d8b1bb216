-- A new endpoint begins after what is settled already: old leads are not sent to it.
INSERT INTO delivery_positions (endpoint, log_epoch, log_partition, next_offset)
SELECT {endpoint:String}, log_epoch, log_partition, next_offset FROM settle_positions FINAL
