//! What makes a row that one row, whatever place in the log it came from.
//!
//! In: a row. Out: its [`Key`], and the statement that finds keys in its table. Promises: two rows with one key are one after a merge: a twin that
//! was sent again, or a decision that hides what was held, stands for the row that is looked for.

use crate::store::native::Row;
use crate::store::rows::{
    ConversionRow, EventRow, LeadRow, QuarantineRow, RefusalRow, ServiceContactRow, TouchKeyRow,
};

/// A row's identity within its table: time, sequence, node, and what tells rows of one event apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clickhouse::Row, serde::Deserialize)]
pub struct Key {
    /// The event's time in milliseconds; 0 in `refusals`.
    pub time_ms: i64,
    /// The sequence of the event's id; the report's number in `refusals`.
    pub sequence: u32,
    /// The node of the event's id; 0 in `refusals`.
    pub node: u32,
    /// The kind of a touch key; the edge's life in `refusals`.
    pub extra: u64,
}

/// A row that can be looked for.
pub trait Keyed: Row {
    /// Finds keys among given times, sequences, nodes, extras and visitors. A value more than a key needs costs nothing.
    const FIND: &'static str;

    /// The columns that tell rows of one offset apart.
    const DISTINCT: &'static str;

    /// Its identity.
    fn key(&self) -> Key;

    /// Its site; empty where it plays no part.
    fn site(&self) -> &str {
        ""
    }

    /// Whose it is, where the table is ordered by visitor.
    fn visitor(&self) -> u128 {
        0
    }
}

macro_rules! keyed {
    ($row:ident, $table:literal, $extra:literal, $where:literal, $extra_of:expr, $visitor_of:expr) => {
        impl Keyed for $row {
            const FIND: &'static str = concat!(
                "SELECT DISTINCT toUnixTimestamp64Milli(event_time) AS time_ms, id_seq AS sequence, id_node AS node, toUInt64(",
                $extra,
                ") AS extra FROM ",
                $table,
                " WHERE ",
                $where,
                "event_time IN (SELECT arrayJoin(arrayMap(ms -> fromUnixTimestamp64Milli(ms, 'UTC'), {times:Array(Int64)}))) \
                 AND id_seq IN {sequences:Array(UInt32)} AND id_node IN {nodes:Array(UInt32)}"
            );
            const DISTINCT: &'static str =
                concat!("(event_time, id_seq, id_node, toUInt64(", $extra, "))");

            fn key(&self) -> Key {
                let extra_of: fn(&Self) -> u64 = $extra_of;
                let (time_ms, extra) = (self.event_time.0, extra_of(self));
                Key { time_ms, sequence: self.id_seq, node: self.id_node, extra }
            }

            fn site(&self) -> &str {
                &self.site
            }

            fn visitor(&self) -> u128 {
                let visitor_of: fn(&Self) -> u128 = $visitor_of;
                visitor_of(self)
            }
        }
    };
}

keyed!(
    EventRow,
    "events",
    "0",
    "site IN {sites:Array(String)} AND visitor IN (SELECT arrayJoin(arrayMap(text -> toUInt128(text), {visitors:Array(String)}))) AND ",
    |_| 0,
    |row| row.visitor
);
keyed!(LeadRow, "leads", "0", "", |_| 0, |_| 0);
keyed!(ServiceContactRow, "service_contacts", "0", "", |_| 0, |_| 0);
keyed!(QuarantineRow, "quarantine", "0", "", |_| 0, |_| 0);
keyed!(ConversionRow, "conversions", "0", "", |_| 0, |_| 0);
keyed!(
    TouchKeyRow,
    "touch_keys",
    "toInt8(kind)",
    "",
    |row| u64::from(row.kind.unsigned_abs()),
    |_| 0
);

impl Keyed for RefusalRow {
    const FIND: &'static str = "SELECT DISTINCT toInt64(0) AS time_ms, report AS sequence, toUInt32(0) AS node, life AS extra \
         FROM refusals WHERE report IN {sequences:Array(UInt32)} AND life IN {extras:Array(UInt64)}";
    const DISTINCT: &'static str = "(minute, site, form, door, code, life, report)";

    fn key(&self) -> Key {
        Key { time_ms: 0, sequence: self.report, node: 0, extra: self.life }
    }
}
