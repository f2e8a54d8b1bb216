-- What a form's fields mean: the canonical fields of a lead, copies in one spelling beside what was typed, consents; and service contacts.

ALTER TABLE {database}.leads {on_cluster}
    ADD COLUMN IF NOT EXISTS dialect LowCardinality(String) COMMENT 'whose conventions the names follow' AFTER form,
    ADD COLUMN IF NOT EXISTS email_normalised String COMMENT 'lower case, domain in ASCII; empty when it is no address' AFTER email,
    ADD COLUMN IF NOT EXISTS phone_e164 String COMMENT 'empty when it is no number, or of a country that nobody knows' AFTER phone,
    ADD COLUMN IF NOT EXISTS mobile String AFTER phone_e164,
    ADD COLUMN IF NOT EXISTS mobile_e164 String AFTER mobile,
    ADD COLUMN IF NOT EXISTS job_title String AFTER company,
    ADD COLUMN IF NOT EXISTS website String AFTER job_title,
    ADD COLUMN IF NOT EXISTS street String AFTER website,
    ADD COLUMN IF NOT EXISTS city String AFTER street,
    ADD COLUMN IF NOT EXISTS state String AFTER city,
    ADD COLUMN IF NOT EXISTS postcode String AFTER state,
    ADD COLUMN IF NOT EXISTS country_typed String AFTER postcode,
    ADD COLUMN IF NOT EXISTS country_code LowCardinality(String) COMMENT 'ISO 3166-1, of what was typed; `country` is where the network is' AFTER country_typed,
    ADD COLUMN IF NOT EXISTS subject String AFTER country_code,
    ADD COLUMN IF NOT EXISTS product String AFTER message,
    ADD COLUMN IF NOT EXISTS lead_source String COMMENT 'as the form says' AFTER product,
    ADD COLUMN IF NOT EXISTS traits Map(LowCardinality(String), String) COMMENT 'canonical fields without a column' AFTER lead_source,
    ADD COLUMN IF NOT EXISTS consents Map(LowCardinality(String), LowCardinality(String)) COMMENT 'channel: yes, no, or declared by the page for everybody; the words are in extra' AFTER traits;
ALTER TABLE {database}.leads_check {on_cluster}
    ADD COLUMN IF NOT EXISTS dialect LowCardinality(String) AFTER form,
    ADD COLUMN IF NOT EXISTS email_normalised String AFTER email,
    ADD COLUMN IF NOT EXISTS phone_e164 String AFTER phone,
    ADD COLUMN IF NOT EXISTS mobile String AFTER phone_e164,
    ADD COLUMN IF NOT EXISTS mobile_e164 String AFTER mobile,
    ADD COLUMN IF NOT EXISTS job_title String AFTER company,
    ADD COLUMN IF NOT EXISTS website String AFTER job_title,
    ADD COLUMN IF NOT EXISTS street String AFTER website,
    ADD COLUMN IF NOT EXISTS city String AFTER street,
    ADD COLUMN IF NOT EXISTS state String AFTER city,
    ADD COLUMN IF NOT EXISTS postcode String AFTER state,
    ADD COLUMN IF NOT EXISTS country_typed String AFTER postcode,
    ADD COLUMN IF NOT EXISTS country_code LowCardinality(String) AFTER country_typed,
    ADD COLUMN IF NOT EXISTS subject String AFTER country_code,
    ADD COLUMN IF NOT EXISTS product String AFTER message,
    ADD COLUMN IF NOT EXISTS lead_source String AFTER product,
    ADD COLUMN IF NOT EXISTS traits Map(LowCardinality(String), String) AFTER lead_source,
    ADD COLUMN IF NOT EXISTS consents Map(LowCardinality(String), LowCardinality(String)) AFTER traits;

CREATE TABLE IF NOT EXISTS {database}.service_contacts {on_cluster} (
    site LowCardinality(String),
    event_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    id_seq UInt32,
    id_node UInt32,
    received_lag_ms Int64,
    visitor UInt128,
    kind Enum8('complaint' = 16, 'service_contact' = 17),
    form LowCardinality(String),
    dialect LowCardinality(String),
    status LowCardinality(String) COMMENT 'open as it arrives',
    case_type LowCardinality(String),
    case_reason LowCardinality(String),
    case_priority LowCardinality(String),
    subject String,
    message String,
    order_id String,
    product String,
    email String,
    email_normalised String,
    email_key FixedString(16),
    phone String,
    phone_e164 String,
    phone_key FixedString(16),
    first_name String,
    last_name String,
    full_name String,
    company String,
    traits Map(LowCardinality(String), String),
    extra Map(LowCardinality(String), String) COMMENT 'every field that has no place, in order, repeats included',
    consents Map(LowCardinality(String), LowCardinality(String)),
    country LowCardinality(String),
    traffic_class LowCardinality(String),
    spam_score UInt8,
    spam_reasons Array(LowCardinality(String)),
    spam_ruleset UInt16,
    log_epoch UInt64,
    log_partition UInt16,
    log_offset UInt64,
    tracking UUID ALIAS reinterpretAsUUID(concat(
        reinterpretAsFixedString(bitOr(bitShiftLeft(toUInt64(toUnixTimestamp64Milli(event_time) + received_lag_ms), 16),
            toUInt64(28672 + bitShiftRight(id_seq, 20)))),
        reinterpretAsFixedString(bitOr(bitOr(toUInt64(9223372036854775808), bitShiftLeft(toUInt64(bitAnd(id_seq, 1048575)), 42)),
            bitShiftLeft(toUInt64(id_node), 10))))) COMMENT 'the event''s id: the number to ask by',
    INDEX ix_log_offset log_offset TYPE minmax GRANULARITY 1,
    CONSTRAINT site_is_named CHECK site != ''
) ENGINE = {replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (site, event_time, id_seq, id_node)
SETTINGS default_compression_codec = 'ZSTD(1)', non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
    enable_block_number_column = 1, enable_block_offset_column = 1
COMMENT 'Personal: complaints, and requests for help with what somebody has.';

CREATE TABLE IF NOT EXISTS {database}.service_contacts_check {on_cluster} AS {database}.service_contacts ENGINE = Null;

-- What is known of somebody: of each field the latest value that says something. A later step of a wizard, or a post of half a form, blanks nothing.
CREATE VIEW IF NOT EXISTS {database}.lead_profiles {on_cluster} AS
SELECT
    site,
    if(email_key != toFixedString('', 16), email_key, phone_key) AS key,
    count() AS leads,
    min(event_time) AS first_lead,
    max(event_time) AS last_lead,
    argMaxIf(email_normalised, event_time, email_normalised != '') AS email,
    argMaxIf(if(phone_e164 != '', phone_e164, phone), event_time, phone != '') AS phone,
    argMaxIf(if(mobile_e164 != '', mobile_e164, mobile), event_time, mobile != '') AS mobile,
    argMaxIf(first_name, event_time, first_name != '') AS first_name,
    argMaxIf(last_name, event_time, last_name != '') AS last_name,
    argMaxIf(full_name, event_time, full_name != '') AS full_name,
    argMaxIf(company, event_time, company != '') AS company,
    argMaxIf(job_title, event_time, job_title != '') AS job_title,
    argMaxIf(website, event_time, website != '') AS website,
    argMaxIf(street, event_time, street != '') AS street,
    argMaxIf(city, event_time, city != '') AS city,
    argMaxIf(state, event_time, state != '') AS state,
    argMaxIf(postcode, event_time, postcode != '') AS postcode,
    argMaxIf(country_code, event_time, country_code != '') AS country_code
FROM {database}.leads FINAL
WHERE key != toFixedString('', 16)
GROUP BY site, key;
