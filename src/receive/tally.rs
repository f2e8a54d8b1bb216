//! The tally: every request is counted once when it arrives and once when it is settled.
//!
//! In: a door and what became of the request. Out: counters, found once at the start. Promises: received = accepted + refused +
//! unrecorded + answered + abandoned, when nothing is under way (within one process life).

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::check::Refusal;
use crate::telemetry;

/// Declares a closed set of label values.
macro_rules! labels {
    ($(#[$documentation:meta])* $name:ident { $($variant:ident $word:literal $says:literal;)* }) => {
        $(#[$documentation])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $(#[doc = $says] $variant),* }

        impl $name {
            /// All of them, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The label's value.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    };
}

labels! {
    /// The kinds of request, by door.
    Door {
        Form "form" "`/f/…`";
        Click "click" "`/c/…`";
        Signed "signed" "`/r/…`";
        Unsubscribe "unsubscribe" "`/u/…`";
        Affiliate "affiliate" "`/a/…`";
        Open "open" "`/o/….gif`";
        Impression "impression" "`/i.gif`";
        Pixel "pixel" "`/x.gif`";
        Postback "postback" "`/postback/…` and networks' own paths.";
        Receipt "receipt" "`/receipt/…`";
        Events "events" "`POST /v1/events` of the app listener.";
        Other "other" "Everything else.";
    }
}

labels! {
    /// Why an event is not in the log although its request was answered as usual.
    Unrecorded {
        OverLimit "over_limit" "The network is more than ten times over its limit.";
        LogFull "log_full" "The log could not take it, and a redirect goes all the same.";
        LogSlow "log_slow" "The log had not written it when a redirect had to go; it most likely has since.";
        OpensOff "opens_off" "The mailing keeps no opens (`opens = \"off\"`).";
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The log has its event.
    Accepted,
    /// It was refused.
    Refused(Refusal),
    /// It was answered, its event is nowhere.
    Unrecorded(Unrecorded),
    /// It carries no event.
    Answered,
}

/// Counters of one kind.
struct Row {
    received: Counter,
    accepted: Counter,
    answered: Counter,
    abandoned: Counter,
    refused: Vec<Counter>,
    unrecorded: Vec<Counter>,
}

/// The edge's metrics.
pub struct Metrics {
    rows: Vec<Row>,
    /// Open connections.
    pub connections: Gauge,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let mut by_kind = |metric: telemetry::Metric| {
            let family = Family::<[(&'static str, &'static str); 1], Counter>::default();
            metric.register(registry, family.clone());
            move |door: Door| family.get_or_create_owned(&[("kind", door.word())])
        };
        let received = by_kind(telemetry::RECEIVED);
        let accepted = by_kind(telemetry::ACCEPTED);
        let answered = by_kind(telemetry::ANSWERED);
        let abandoned = by_kind(telemetry::ABANDONED);
        let mut by_reason = |metric: telemetry::Metric| {
            let family = Family::<[(&'static str, &'static str); 2], Counter>::default();
            metric.register(registry, family.clone());
            move |door: Door, reason: &'static str| {
                family.get_or_create_owned(&[("kind", door.word()), ("reason", reason)])
            }
        };
        let refused = by_reason(telemetry::REFUSED);
        let unrecorded = by_reason(telemetry::UNRECORDED);
        let connections = Gauge::default();
        telemetry::CONNECTIONS.register(registry, connections.clone());
        let row = |door: &Door| Row {
            received: received(*door),
            accepted: accepted(*door),
            answered: answered(*door),
            abandoned: abandoned(*door),
            refused: Refusal::ALL.iter().map(|refusal| refused(*door, refusal.code())).collect(),
            unrecorded: Unrecorded::ALL
                .iter()
                .map(|reason| unrecorded(*door, reason.word()))
                .collect(),
        };
        Self { rows: Door::ALL.iter().map(row).collect(), connections }
    }

    /// Counts a request as received. What is returned counts it as abandoned, unless it is settled.
    pub fn received(&self, door: Door) -> Open<'_> {
        let row = &self.rows[door as usize];
        row.received.inc();
        Open { row, settled: false }
    }
}

/// A request that is not settled yet.
pub struct Open<'a> {
    row: &'a Row,
    settled: bool,
}

impl Open<'_> {
    /// Counts what became of it.
    pub fn settle(mut self, settled: Settled) {
        self.settled = true;
        match settled {
            Settled::Accepted => self.row.accepted.inc(),
            Settled::Refused(refusal) => self.row.refused[refusal.index()].inc(),
            Settled::Unrecorded(reason) => self.row.unrecorded[reason as usize].inc(),
            Settled::Answered => self.row.answered.inc(),
        };
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.row.abandoned.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_received_is_settled_or_abandoned() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        metrics.received(Door::Form).settle(Settled::Accepted);
        metrics.received(Door::Form).settle(Settled::Refused(Refusal::LogSlow));
        metrics.received(Door::Click).settle(Settled::Unrecorded(Unrecorded::LogFull));
        drop(metrics.received(Door::Form));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "leadtrail_requests_received_total{kind=\"form\"} 3",
            "leadtrail_requests_accepted_total{kind=\"form\"} 1",
            "leadtrail_requests_refused_total{kind=\"form\",reason=\"log_slow\"} 1",
            "leadtrail_requests_unrecorded_total{kind=\"click\",reason=\"log_full\"} 1",
            "leadtrail_requests_abandoned_total{kind=\"form\"} 1",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
