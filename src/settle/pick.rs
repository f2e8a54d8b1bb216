//! Picking: which conversions a run settles.
//!
//! In: a version, a plan, the registry's terms. Out: rows of `settle_conversions`, and how many there are. Refuses: as
//! [`Statements`] does. Promises: whatever the new ranges can change is picked, as long as it lies in a settled range itself;
//! the rest waits for its own range.

use clickhouse::Row;
use serde::Deserialize;

use crate::settle::SettleError;
use crate::settle::ranges::Plan;
use crate::settle::statements::{Statements, with_ends};
use crate::settle::terms::Terms;
use crate::settle::versions::Versions;

const LOOK: &str = include_str!("sql/look.sql");
const NEW: &str = include_str!("sql/new.sql");
const REACHED: &str = include_str!("sql/reached.sql");
const AGAIN: &str = include_str!("sql/again.sql");
const LEFTOVERS: &str = include_str!("sql/leftovers.sql");
const LINKED: &str = include_str!("sql/linked.sql");

/// What is noted of a conversion: the columns, and the expressions that fill them.
const COLUMNS: &str = "version, site, event_type, event_time, id_seq, id_node, visitor, day_hash, parent_click, parent_link, \
     parent_offer, parent_affiliate, limited, amount, currency, goal, order_id, submission_key, known_time, coupon, network_click, \
     numbers, is_shop, offer";
const EXPRESSIONS: &str = include_str!("sql/picked.sql");

const SUBMISSIONS: &str = "SELECT countIf(submission_key != 0) AS leads, countIf(limited = 2 AND notEmpty(numbers)) AS told, \
     toUnixTimestamp64Milli(minIf(event_time, submission_key != 0)) AS first_ms, \
     toUnixTimestamp64Milli(maxIf(event_time, submission_key != 0)) AS last_ms FROM settle_conversions WHERE version = {version:UInt64}";
const PICKED: &str = "SELECT count() AS conversions, countIf(limited) AS limited, countIf(is_shop AND notEmpty(numbers)) AS of_shops, \
     toUnixTimestamp64Milli(min(event_time)) AS first_ms, \
     toUnixTimestamp64Milli(max(event_time)) AS last_ms FROM settle_conversions WHERE version = {version:UInt64}";

/// With the columns and expressions in their places.
fn noted(sql: &str) -> String {
    sql.replace("{columns}", COLUMNS).replace("{picked}", EXPRESSIONS)
}

/// New clicks: how many, and the bounds of their times.
#[derive(Row, Deserialize)]
struct Look {
    clicks: u64,
    first_ms: i64,
    last_ms: i64,
}

/// New leads that can be repeated: how many, and the bounds of their times. And what can make older reports messages of another.
#[derive(Row, Deserialize)]
struct Submissions {
    leads: u64,
    /// Servers' messages that name an order or transaction.
    told: u64,
    first_ms: i64,
    last_ms: i64,
}

/// The conversions that a run settles: how many, how many of them can be repeats, and the bounds of their times.
#[derive(Row, Deserialize)]
pub(super) struct Picked {
    pub conversions: u64,
    pub limited: u64,
    /// Shops' own reports that name an order.
    pub of_shops: u64,
    pub first_ms: i64,
    pub last_ms: i64,
}

impl Statements {
    /// Notes which conversions the run settles: the new ones, older leads that repeat a new one, older ones that a new click can reach, and
    /// what an unfinished run left.
    pub(super) async fn pick(
        &self,
        version: u64,
        (plan, leftovers): (&Plan, bool),
        terms: &Terms,
        versions: &Versions,
    ) -> Result<Picked, SettleError> {
        let new_rows = plan.new_rows();
        let within = |sql: &str| self.query(&noted(sql).replace("{new_rows}", &new_rows));
        let look: Look = self.ask_one("looking at new clicks", within(LOOK)).await?;
        let query = within(NEW).param("version", version);
        self.write("picking new conversions", version, query, versions).await?;
        self.pick_again(version, plan, terms, versions).await?;
        if look.clicks > 0 {
            let query = with_ends(within(REACHED), plan)
                .param("version", version)
                .param("first_ms", look.first_ms)
                .param("last_ms", look.last_ms)
                .param("window_ms_max", terms.window_ms_max());
            self.write("picking reached conversions", version, query, versions).await?;
        }
        if leftovers {
            let query = with_ends(within(LEFTOVERS), plan).param("version", version);
            self.write("picking what an unfinished run left", version, query, versions).await?;
        }
        let query = self.query(PICKED).param("version", version);
        self.ask_one("counting conversions", query).await
    }

    /// Adds the older leads that become repeats of new ones, and the older reports that become messages of a new one's.
    async fn pick_again(
        &self,
        version: u64,
        plan: &Plan,
        terms: &Terms,
        versions: &Versions,
    ) -> Result<(), SettleError> {
        let query = self.query(SUBMISSIONS).param("version", version);
        let fresh: Submissions = self.ask_one("looking at what is new", query).await?;
        let new_rows = plan.new_rows();
        let within = |sql: &str| self.query(&noted(sql).replace("{new_rows}", &new_rows));
        if fresh.told > 0 {
            let query = with_ends(within(LINKED), plan).param("version", version);
            self.write("picking shops' reports", version, query, versions).await?;
        }
        if fresh.leads == 0 {
            return Ok(());
        }
        let query = with_ends(within(AGAIN), plan)
            .param("version", version)
            .param("first_ms", fresh.first_ms)
            .param("last_ms", fresh.last_ms)
            .param("repeat_window_ms", terms.repeat_window_ms);
        self.write("picking repeated leads", version, query, versions).await
    }
}
