-- Which parameter a refused postback was refused for, and which signs of fraud a conversion shows.

ALTER TABLE {database}.refusals {on_cluster}
    ADD COLUMN IF NOT EXISTS parameter LowCardinality(String) COMMENT 'of a postback: the parameter that it is about; never its value' AFTER code,
    MODIFY ORDER BY (minute, site, form, door, code, life, report, parameter);
ALTER TABLE {database}.refusals {on_cluster}
    MODIFY COLUMN form LowCardinality(String) COMMENT 'the form, or the postback; empty where it isn''t known';
ALTER TABLE {database}.refusals_check {on_cluster} ADD COLUMN IF NOT EXISTS parameter LowCardinality(String) AFTER code;

ALTER TABLE {database}.conversions {on_cluster}
    ADD COLUMN IF NOT EXISTS signals Array(LowCardinality(String)) COMMENT 'signs of fraud that the event itself shows: flagged, never dropped',
    ADD COLUMN IF NOT EXISTS signals_ruleset UInt16 COMMENT 'the version of the rules that said so';
ALTER TABLE {database}.conversions_check {on_cluster}
    ADD COLUMN IF NOT EXISTS signals Array(LowCardinality(String)),
    ADD COLUMN IF NOT EXISTS signals_ruleset UInt16;
