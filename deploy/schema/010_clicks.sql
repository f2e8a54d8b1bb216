-- What a click or view says besides: campaign values of every family, macros that nobody filled in, and how the browser came to ask.
-- Raw values are kept as they came. What is made from them is an ALIAS: it takes no room, and a better rule needs no new rows.

ALTER TABLE {database}.events {on_cluster}
    ADD COLUMN IF NOT EXISTS tags Map(LowCardinality(String), String) COMMENT 'campaign values beyond the five, by parameter: utm_id, mtm_source, hsa_cam, keyword',
    ADD COLUMN IF NOT EXISTS macros Map(LowCardinality(String), LowCardinality(String)) COMMENT 'parameter -> macro that nobody filled in; its value is empty then',
    ADD COLUMN IF NOT EXISTS purpose LowCardinality(String) COMMENT 'Sec-Purpose, Purpose, X-Purpose or X-Moz',
    ADD COLUMN IF NOT EXISTS method LowCardinality(String) COMMENT 'where it was not the usual one of the door',
    ADD COLUMN IF NOT EXISTS fetch_dest LowCardinality(String),
    ADD COLUMN IF NOT EXISTS fetch_mode LowCardinality(String),
    ADD COLUMN IF NOT EXISTS fetch_site LowCardinality(String),
    ADD COLUMN IF NOT EXISTS fetch_user UInt8,
    -- When each ad click id was clicked: now, but for Meta's cookie, which says it.
    ADD COLUMN IF NOT EXISTS click_id_times Map(LowCardinality(String), DateTime64(3, 'UTC'))
        ALIAS mapApply((name, id) -> (name, if(name = '_fbc' AND toInt64OrZero(splitByChar('.', id)[3]) > 0,
            fromUnixTimestamp64Milli(toInt64OrZero(splitByChar('.', id)[3]), 'UTC'), event_time)), click_ids),
    -- For grouping: trimmed, in lower case, decoded once more, Matomo's and HubSpot's names where there is no utm.
    ADD COLUMN IF NOT EXISTS utm_source_group String
        ALIAS lower(trimBoth(decodeURLComponent(arrayFirst(value -> value != '', [toString(utm_source), tags['mtm_source'], tags['pk_source'], tags['hsa_src']])))),
    ADD COLUMN IF NOT EXISTS utm_medium_group String
        ALIAS lower(trimBoth(decodeURLComponent(arrayFirst(value -> value != '', [toString(utm_medium), tags['mtm_medium'], tags['pk_medium']])))),
    ADD COLUMN IF NOT EXISTS utm_campaign_group String
        ALIAS lower(trimBoth(decodeURLComponent(arrayFirst(value -> value != '', [toString(utm_campaign), tags['mtm_campaign'], tags['pk_campaign'], tags['hsa_cam']])))),
    ADD COLUMN IF NOT EXISTS utm_term_group String
        ALIAS lower(trimBoth(decodeURLComponent(arrayFirst(value -> value != '', [toString(utm_term), tags['mtm_keyword'], tags['mtm_kwd'], tags['pk_keyword'], tags['pk_kwd'], tags['hsa_kw'], tags['keyword']])))),
    ADD COLUMN IF NOT EXISTS utm_content_group String
        ALIAS lower(trimBoth(decodeURLComponent(arrayFirst(value -> value != '', [toString(utm_content), tags['mtm_content'], tags['pk_content'], tags['hsa_ad']]))));

ALTER TABLE {database}.events_check {on_cluster}
    ADD COLUMN IF NOT EXISTS tags Map(LowCardinality(String), String),
    ADD COLUMN IF NOT EXISTS macros Map(LowCardinality(String), LowCardinality(String)),
    ADD COLUMN IF NOT EXISTS purpose LowCardinality(String),
    ADD COLUMN IF NOT EXISTS method LowCardinality(String),
    ADD COLUMN IF NOT EXISTS fetch_dest LowCardinality(String),
    ADD COLUMN IF NOT EXISTS fetch_mode LowCardinality(String),
    ADD COLUMN IF NOT EXISTS fetch_site LowCardinality(String),
    ADD COLUMN IF NOT EXISTS fetch_user UInt8;
