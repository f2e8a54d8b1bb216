//! The engine's config files: limits, users, what each may do, and where the data lies.
//!
//! In: ports and paths, the passwords, whether the sandbox holds. Out: `config.xml` and `users.xml`. Refuses: nothing.
//! Promises: no password and no key is in these files (hashes of random passwords are), since SQL can read them.
//!
//! The engine has no writable user storage (`CREATE USER` fails), so `users.xml` is all the access control there is.

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::access::{ADMIN, ANALYST, INGEST, Kept, Secret, hexadecimal};

/// Tables that hold personal data: no analyst reads them, in any database of the installation. A new personal table has
/// to be named here before it is made.
///
/// An analyst can read the definition of any table, view or dictionary by the scalar function `file()`, and the text of
/// a mutation: neither may hold a password or a personal value.
pub const PERSONAL_TABLES: &[&str] = &[
    "leads",
    "lead_profiles",
    "purchases",
    "service_contacts",
    "notes",
    "quarantine",
    "dead_letters",
];

/// The variable through which the engine gets the key of its data.
pub(super) const KEY_VARIABLE: &str = "LEADTRAIL_ENGINE_DATA_KEY";

/// What `config.xml` depends on.
pub(super) struct ServerSettings<'a> {
    /// Where `users.xml` is.
    pub users_config: &'a Path,
    /// Holds everything that the engine writes.
    pub data: &'a Path,
    /// Holds the tables' rows, encrypted.
    pub tables: &'a Path,
    /// Holds the tables' deduplication logs.
    pub tokens: &'a Path,
    pub http_port: u16,
    pub memory_bytes_max: u64,
}

/// What inserts and merges leave free on the disk. They are refused in order from there on, while a write into a disk that is full to the
/// last byte ends the engine (`library/refusals.rs`). Twice what the journal leaves free: on a disk of both, forms go on longer.
const ROOM_BYTES: u64 = 512 << 20;

/// `config.xml`.
///
/// All rows lie on an encrypted disk. The scalar function `file()` gives any user any file that the process itself
/// can read, thus also the columns of the personal tables; encrypted, they tell nothing. AES in counter mode costs
/// little beside decompression: 5 % more processor time per insert, 12 % per raw scan were measured.
///
/// Two traps of 26.7.2.1 are stepped around, each found by a test:
/// - With a path of its own on the disk below, the encrypted disk joins its root twice when `fsync_part_directory` is
///   set, and the insert fails. So the disk below has the whole path.
/// - What is appended to a file on an encrypted disk stays in a buffer of the process. The log of deduplication tokens is
///   such a file: after a kill -9 of the engine the retry of an insert doubled it (2 of 20 times). A table keeps that
///   log on its policy's first disk, so the first disk is a plain one, and takes no part that has a byte in it.
///
/// Against its limit the engine counts what it has allocated. By its defaults it also holds against it, every few
/// milliseconds, what its control group uses, which in a group with other programs is theirs too. That was read in the
/// settings' own descriptions and not seen: on a machine with version 1 of control groups neighbours never counted. So it
/// looks once, at the start, and at its allocator: a year is later than any start. Seen: the limit holds, and thirty
/// queries beyond it left no drift. Much that is allocated is never touched: a table that was written to has 0.8 MB,
/// mostly buffers, so three thousand tables "use" 2.7 GB of which 0.7 are resident.
pub(super) fn server(settings: &ServerSettings<'_>) -> String {
    let path = |path: &Path| escaped(&path.display().to_string());
    let ServerSettings { users_config, data, tables, tokens, http_port, memory_bytes_max } =
        settings;
    format!(
        r#"<clickhouse>
    <path>{data}/</path>
    <tmp_path>{data}/tmp/</tmp_path>
    <user_files_path>{data}/user_files/</user_files_path>
    <format_schema_path>{data}/format_schemas/</format_schema_path>
    <users_config>{users_config}</users_config>
    <listen_host>127.0.0.1</listen_host>
    <http_port>{http_port}</http_port>
    <timezone>UTC</timezone>
    <max_server_memory_usage>{memory_bytes_max}</max_server_memory_usage>
    <memory_worker_use_cgroup>0</memory_worker_use_cgroup>
    <memory_worker_period_ms>31536000000</memory_worker_period_ms>
    <max_concurrent_queries>100</max_concurrent_queries>
    <mark_cache_size>268435456</mark_cache_size>
    <background_pool_size>4</background_pool_size>
    <background_schedule_pool_size>8</background_schedule_pool_size>
    <storage_configuration>
        <disks>
            <default><keep_free_space_bytes>{ROOM_BYTES}</keep_free_space_bytes></default>
            <tokens><type>local</type><path>{tokens}/</path></tokens>
            <bare><type>local</type><path>{tables}/</path><keep_free_space_bytes>{ROOM_BYTES}</keep_free_space_bytes></bare>
            <sealed>
                <type>encrypted</type>
                <disk>bare</disk>
                <path></path>
                <algorithm>AES_256_CTR</algorithm>
                <key_hex from_env="{KEY_VARIABLE}"/>
            </sealed>
        </disks>
        <policies>
            <sealed>
                <volumes>
                    <tokens><disk>tokens</disk><max_data_part_size_bytes>1</max_data_part_size_bytes></tokens>
                    <rows><disk>sealed</disk></rows>
                </volumes>
                <move_factor>0</move_factor>
            </sealed>
        </policies>
    </storage_configuration>
    <merge_tree>
        <storage_policy>sealed</storage_policy>
    </merge_tree>
    <backups>
        <allowed_path>{data}/backups/</allowed_path>
    </backups>
    <access_control_improvements>
        <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>
        <select_from_information_schema_requires_grant>true</select_from_information_schema_requires_grant>
        <settings_constraints_replace_previous>true</settings_constraints_replace_previous>
    </access_control_improvements>
    {query_log}
    {part_log}
</clickhouse>
"#,
        data = path(data),
        tables = path(tables),
        tokens = path(tokens),
        users_config = path(users_config),
        query_log = system_log("query_log"),
        part_log = system_log("part_log"),
    )
}

/// A log of the engine's own, for three days: long enough for a weekend, and it can't fill the disk.
fn system_log(table: &str) -> String {
    format!(
        "<{table}><database>system</database><table>{table}</table><partition_by>event_date</partition_by>\
         <ttl>event_date + INTERVAL 3 DAY DELETE</ttl>\
         <flush_interval_milliseconds>7500</flush_interval_milliseconds></{table}>"
    )
}

/// `users.xml`. `analyst_open` is false where the engine runs without a sandbox.
pub(super) fn users(kept: &Kept, databases: &[String], analyst_open: bool) -> String {
    let mut users = String::new();
    user(&mut users, ADMIN, &kept.admin, "service", &["GRANT ALL ON *.*".to_owned()]);
    user(&mut users, INGEST, &kept.ingest, "ingest", &ingest_grants(databases));
    if analyst_open {
        user(&mut users, ANALYST, &kept.analyst, "analyst", &analyst_grants(databases));
    }
    format!(
        r#"<clickhouse>
    <profiles>
        <default><async_insert>0</async_insert></default>
        <service>
            <async_insert>0</async_insert>
            <optimize_on_insert>0</optimize_on_insert>
        </service>
        <!-- Not logged: a failed insert's text quotes the value that it could not read. -->
        <ingest>
            <async_insert>0</async_insert>
            <optimize_on_insert>0</optimize_on_insert>
            <log_queries>0</log_queries>
        </ingest>
        <analyst>
            <readonly>1</readonly>
            <allow_ddl>0</allow_ddl>
            <allow_introspection_functions>0</allow_introspection_functions>
            <max_execution_time>60</max_execution_time>
            <max_memory_usage>2000000000</max_memory_usage>
            <max_result_rows>1000000</max_result_rows>
            <max_concurrent_queries_for_user>20</max_concurrent_queries_for_user>
        </analyst>
        <!-- The engine's own session, the one that opens the listener, is `default` without a password, whatever is
             configured. One session at a time: that one lasts as long as the engine, so nobody else gets in. -->
        <nobody>
            <max_sessions_for_user>1</max_sessions_for_user>
        </nobody>
    </profiles>
    <quotas>
        <unlimited></unlimited>
        <analyst>
            <interval><duration>60</duration><queries>6000</queries><read_rows>20000000000</read_rows></interval>
        </analyst>
    </quotas>
    <users>
        <default>
            <password></password>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>nobody</profile>
            <quota>unlimited</quota>
            <grants><query>GRANT SYSTEM LISTEN ON *.*</query></grants>
        </default>
{users}    </users>
</clickhouse>
"#
    )
}

/// Everything inside the databases, tables of every engine included. Not ALL: that would also name users and sources
/// after the database.
fn ingest_grants(databases: &[String]) -> Vec<String> {
    let rights = "SHOW, SELECT, INSERT, ALTER, CREATE, DROP, TRUNCATE, OPTIMIZE, CHECK, dictGet";
    let inside =
        databases.iter().map(|database| format!("GRANT {rights} ON {}.*", quoted(database)));
    let outside = ["GRANT TABLE ENGINE ON *", "GRANT SELECT ON system.*"].map(str::to_owned);
    inside.chain(outside).collect()
}

/// Reading everything but the personal tables.
fn analyst_grants(databases: &[String]) -> Vec<String> {
    let mut grants = Vec::new();
    for database in databases {
        let database = quoted(database);
        grants.push(format!("GRANT SHOW, SELECT, dictGet ON {database}.*"));
        for table in PERSONAL_TABLES {
            grants.push(format!("REVOKE SHOW, SELECT, dictGet ON {database}.{table}"));
        }
    }
    grants
}

fn user(users: &mut String, name: &str, password: &Secret, profile: &str, grants: &[String]) {
    let hash = hexadecimal(&Sha256::digest(password.expose().as_bytes()));
    let quota = if name == ANALYST { "analyst" } else { "unlimited" };
    let grants: String =
        grants.iter().map(|grant| format!("<query>{}</query>", escaped(grant))).collect();
    writeln!(
        users,
        "        <{name}>
            <password_sha256_hex>{hash}</password_sha256_hex>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>{profile}</profile>
            <quota>{quota}</quota>
            <grants>{grants}</grants>
        </{name}>"
    )
    .expect("a String takes everything");
}

/// A name as SQL quotes it.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// A text as XML holds it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        let text = r#"{"http_port":1,"sandbox":"full","admin":"first","ingest":"second","analyst":"third"}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn no_password_stands_in_the_files_that_sql_can_read() {
        let text = users(&kept(), &["leadtrail".to_owned()], true);
        for secret in ["first", "second", "third"] {
            assert!(!text.contains(secret), "{secret}");
        }
        let hash = hexadecimal(&Sha256::digest(b"third"));
        assert!(text.contains(&hash));
    }

    #[test]
    fn without_a_sandbox_there_is_no_analyst() {
        let databases = ["leadtrail".to_owned()];
        let user = format!("<{ANALYST}>\n            <password");
        assert!(users(&kept(), &databases, true).contains(&user));
        assert!(!users(&kept(), &databases, false).contains(&user));
    }

    #[test]
    fn names_cannot_break_out_of_their_quotes() {
        assert_eq!(quoted("a`b\\"), "`a\\`b\\\\`");
        assert_eq!(escaped("<a & b>"), "&lt;a &amp; b&gt;");
    }
}
