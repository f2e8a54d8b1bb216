-- Twins that check types and constraints and write nothing: with them the consumer finds the rows that ClickHouse refuses.

CREATE TABLE IF NOT EXISTS {database}.events_check {on_cluster} AS {database}.events ENGINE = Null;
CREATE TABLE IF NOT EXISTS {database}.leads_check {on_cluster} AS {database}.leads ENGINE = Null;
CREATE TABLE IF NOT EXISTS {database}.conversions_check {on_cluster} AS {database}.conversions ENGINE = Null;
CREATE TABLE IF NOT EXISTS {database}.touch_keys_check {on_cluster} AS {database}.touch_keys ENGINE = Null;
