//! A producer that stands still though the brokers are there.
//!
//! In: looks, ten a second. Out: a new producer, when none of the records under way was reported for half a minute while a new client was
//! told the leaders again and again, or when the producer says that it has given up for good. Refuses: while the brokers are away, for
//! then nothing is wrong with it. Promises: one new producer a minute at most.

use super::line::Line;
use super::under_way::Shared;

/// A producer that has reported nothing for so long is suspected.
const SILENT_MS: i64 = 30_000;

/// Between two questions to the brokers.
const ASK_EVERY_MS: i64 = 3_000;

/// So many answers in a row: a broker that has just come back is given its time.
const ANSWERS: u32 = 5;

/// A new producer has this long before it is suspected.
const AGAIN_MS: i64 = 60_000;

/// What was seen so far.
#[derive(Default)]
pub(super) struct StandingStill {
    asked_ms: i64,
    answers: u32,
    renewed_ms: Option<i64>,
}

impl StandingStill {
    /// Looks, and puts a new producer in the place of one that stands still.
    pub(super) fn look(&mut self, line: &Line, shared: &Shared) {
        let now_ms = shared.now_ms();
        if now_ms - self.asked_ms < ASK_EVERY_MS {
            return;
        }
        self.asked_ms = now_ms;
        if self.renewed_ms.is_some_and(|at| now_ms - at < AGAIN_MS) {
            return;
        }
        let fatal = line.fatal_error();
        if fatal.is_none() {
            if shared.silent_ms() < SILENT_MS || !line.brokers_are_there() {
                self.answers = 0;
                return;
            }
            self.answers += 1;
            if self.answers < ANSWERS {
                return;
            }
        }
        self.answers = 0;
        self.renewed_ms = Some(now_ms);
        let silent_s = shared.silent_ms() / 1_000;
        match line.renew() {
            Ok(()) => tracing::warn!(
                silent_s,
                fatal,
                "the producer stood still though the brokers are there; another one took its place, and the spill keeps its records"
            ),
            Err(error) => {
                tracing::error!(%error, "the producer stands still, and there can't be another");
            }
        }
    }
}
