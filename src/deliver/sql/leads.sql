-- A few leads and service contacts, whole, with the click that settling joined a lead to and the page they came from. Personal.
WITH asked AS (
    SELECT place.1 AS site, fromUnixTimestamp64Milli(place.2, 'UTC') AS event_time, place.3 AS id_seq, place.4 AS id_node
    FROM (SELECT arrayJoin(arrayZip({sites:Array(String)}, {times_ms:Array(Int64)}, {seqs:Array(UInt32)}, {nodes:Array(UInt32)})) AS place)
),
found AS (
    SELECT site, event_time, id_seq, id_node, received_lag_ms, visitor, 'lead' AS kind, toString(form) AS form, email, country, traffic_class,
        consents, extra,
        -- Everything with a name and a value: what is empty is left out.
        arrayFilter(pair -> pair.2 != '', arrayConcat([
            ('full_name', full_name), ('first_name', first_name), ('last_name', last_name),
            ('email', email), ('phone', phone), ('mobile', mobile),
            ('company', company), ('job_title', job_title), ('website', website),
            ('street', street), ('city', city), ('state', state), ('postcode', postcode), ('country', country_typed),
            ('subject', subject), ('message', message), ('product', product), ('lead_source', lead_source)],
            arrayZip(arrayMap(name -> toString(name), mapKeys(traits)), mapValues(traits)))) AS known,
        arrayFilter(pair -> pair.2 != '', [
            ('email', email_normalised), ('phone', phone_e164), ('mobile', mobile_e164), ('country', toString(country_code))]) AS normalised
    FROM leads FINAL
    WHERE (site, event_time, id_seq, id_node) IN (SELECT site, event_time, id_seq, id_node FROM asked)
    UNION ALL
    SELECT site, event_time, id_seq, id_node, received_lag_ms, visitor, toString(kind) AS kind, toString(form) AS form, email, country, traffic_class,
        consents, extra,
        arrayFilter(pair -> pair.2 != '', arrayConcat([
            ('full_name', full_name), ('first_name', first_name), ('last_name', last_name),
            ('email', email), ('phone', phone), ('company', company),
            ('case_type', toString(case_type)), ('case_reason', toString(case_reason)), ('case_priority', toString(case_priority)),
            ('order_id', order_id), ('product', product), ('subject', subject), ('message', message)],
            arrayZip(arrayMap(name -> toString(name), mapKeys(traits)), mapValues(traits)))) AS known,
        arrayFilter(pair -> pair.2 != '', [('email', email_normalised), ('phone', phone_e164)]) AS normalised
    FROM service_contacts FINAL
    WHERE (site, event_time, id_seq, id_node) IN (SELECT site, event_time, id_seq, id_node FROM asked)
)
SELECT
    toString(lead.site) AS site,
    toUnixTimestamp64Milli(lead.event_time) AS event_time_ms,
    lead.id_seq AS id_seq,
    lead.id_node AS id_node,
    lead.received_lag_ms AS received_lag_ms,
    lead.kind AS kind,
    lead.form AS form,
    lead.email AS email,
    lead.known AS known,
    lead.normalised AS normalised,
    arrayZip(arrayMap(name -> toString(name), mapKeys(lead.consents)), arrayMap(word -> toString(word), mapValues(lead.consents))) AS consents,
    arrayZip(arrayMap(name -> toString(name), mapKeys(lead.extra)), mapValues(lead.extra)) AS extra,
    arrayFilter(pair -> pair.2 != '', [
        ('page', concat(toString(event.landing_host), toString(event.landing_path))),
        ('referrer', concat(toString(event.referrer_host), toString(event.referrer_path))),
        ('source', toString(event.utm_source)), ('medium', toString(event.utm_medium)),
        ('country', toString(lead.country)), ('verdict', toString(lead.traffic_class))]) AS circumstances,
    if(click.basis = 'none', [], arrayFilter(pair -> pair.2 != '', [
        ('basis', toString(click.basis)), ('channel', toString(click.channel)), ('campaign', toString(click.campaign)),
        ('ad', toString(click.ad)), ('creative', toString(click.creative)), ('placement', toString(click.placement)),
        ('link', toString(click.link)), ('mailing', toString(click.mailing)), ('affiliate', toString(click.affiliate)),
        ('offer', toString(click.offer))])) AS click,
    toUnixTimestamp64Milli(click.click_time) AS click_time_ms
FROM found AS lead
LEFT JOIN (
    SELECT * FROM conversion_clicks FINAL
    WHERE event_type = 'lead'
      AND (site, conversion_time, conversion_seq, conversion_node) IN (SELECT site, event_time, id_seq, id_node FROM asked)
) AS click
ON lead.site = click.site AND lead.event_time = click.conversion_time
    AND lead.id_seq = click.conversion_seq AND lead.id_node = click.conversion_node
LEFT JOIN (
    SELECT site, visitor, event_time, id_seq, id_node, landing_host, landing_path, referrer_host, referrer_path, utm_source, utm_medium
    FROM events
    WHERE (site, visitor, event_time, id_seq, id_node) IN (SELECT site, visitor, event_time, id_seq, id_node FROM found)
    LIMIT 1 BY site, visitor, event_time, id_seq, id_node
) AS event
ON lead.site = event.site AND lead.visitor = event.visitor AND lead.event_time = event.event_time
    AND lead.id_seq = event.id_seq AND lead.id_node = event.id_node
