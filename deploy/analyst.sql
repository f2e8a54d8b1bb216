-- A read-only analyst on a ClickHouse server of your own, as the embedded engine has one: what is personal stays out of reach.
-- Run it as an administrator after `leadtrail schema apply`, with your own password, and tell Leadtrail of it:
--     LEADTRAIL_WAREHOUSE__ANALYST_USER=leadtrail_analyst LEADTRAIL_WAREHOUSE__ANALYST_PASSWORD_FILE=/etc/leadtrail/analyst.password
-- `leadtrail` is the name of the database (warehouse.database).
CREATE SETTINGS PROFILE IF NOT EXISTS leadtrail_analyst SETTINGS
    readonly = 1, allow_ddl = 0, allow_introspection_functions = 0,
    max_execution_time = 60, max_memory_usage = 2000000000, max_result_rows = 1000000, max_concurrent_queries_for_user = 20;
CREATE USER IF NOT EXISTS leadtrail_analyst IDENTIFIED WITH sha256_password BY 'change me' SETTINGS PROFILE 'leadtrail_analyst';
GRANT SHOW, SELECT, dictGet ON leadtrail.* TO leadtrail_analyst;
REVOKE SHOW, SELECT, dictGet ON leadtrail.leads FROM leadtrail_analyst;
REVOKE SHOW, SELECT, dictGet ON leadtrail.lead_profiles FROM leadtrail_analyst;
REVOKE SHOW, SELECT, dictGet ON leadtrail.purchases FROM leadtrail_analyst;
REVOKE SHOW, SELECT, dictGet ON leadtrail.service_contacts FROM leadtrail_analyst;
REVOKE SHOW, SELECT, dictGet ON leadtrail.notes FROM leadtrail_analyst;
REVOKE SHOW, SELECT, dictGet ON leadtrail.quarantine FROM leadtrail_analyst;
REVOKE SHOW, SELECT, dictGet ON leadtrail.dead_letters FROM leadtrail_analyst;
