//! What became of the records that were appended together, and how their appenders wait for it.
//!
//! In: outcomes from the two threads of the journal. Out: woken waiters, exactly those whose
//! records are covered. Promises: an outcome once told stays true: `written` records are carried
//! over a failed fsync, `synced` ones are on disk, refused ones were never told otherwise. Waiting
//! is cancel-safe: a dropped waiter changes nothing.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

use super::error::JournalError;

const FILLING: u8 = 0;
const WRITTEN: u8 = 1;
/// Written, and somebody was told so: such a batch cannot be refused any more.
const PROMISED: u8 = 2;
const SYNCED: u8 = 3;
const REFUSED_FULL: u8 = 4;
const REFUSED_FAILED: u8 = 5;

/// Records that were appended between two writes and share their fate.
#[derive(Debug, Default)]
pub(super) struct Batch {
    state: AtomicU8,
    written: Notify,
    synced: Notify,
}

impl Batch {
    pub(super) fn is_filling(&self) -> bool {
        self.state.load(Ordering::Acquire) == FILLING
    }

    /// Notes that write(2) is done. Before the sync thread can see the batch: it may be faster than whoever wrote, and
    /// [`Batch::set_synced`] counts for what is written only.
    pub(super) fn note_written(&self) {
        self.state.store(WRITTEN, Ordering::Release);
    }

    /// Wakes who waits for write(2), after [`Batch::note_written`].
    pub(super) fn tell_written(&self) {
        self.written.notify_waiters();
    }

    /// Says «synced», unless the batch was refused: a refusal is final.
    pub(super) fn set_synced(&self) {
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            matches!(state, WRITTEN | PROMISED).then_some(SYNCED)
        });
        self.wake();
    }

    /// Refuses the batch unless somebody was told that it is written; says whether it is refused.
    pub(super) fn refuse(&self, error: JournalError) -> bool {
        let refused = match error {
            JournalError::Full => REFUSED_FULL,
            JournalError::Failed => REFUSED_FAILED,
        };
        for state in [FILLING, WRITTEN] {
            let swap =
                self.state.compare_exchange(state, refused, Ordering::AcqRel, Ordering::Acquire);
            if swap.is_ok() {
                self.wake();
                return true;
            }
        }
        matches!(self.state.load(Ordering::Acquire), REFUSED_FULL | REFUSED_FAILED)
    }

    /// Tells those who still wait for the fsync that it will not come: the bytes are lost, or the
    /// journal closes.
    pub(super) fn abandon(&self) {
        self.state.store(REFUSED_FAILED, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        self.written.notify_waiters();
        self.synced.notify_waiters();
    }

    /// The answer to «is it written», if it is known; from then on a yes is a promise.
    fn promise(&self) -> Option<Result<(), JournalError>> {
        loop {
            match self.state.load(Ordering::Acquire) {
                FILLING => return None,
                WRITTEN => {
                    let swap = self.state.compare_exchange(
                        WRITTEN,
                        PROMISED,
                        Ordering::AcqRel,
                        Ordering::Acquire,
                    );
                    if swap.is_ok() {
                        return Some(Ok(()));
                    }
                }
                state => return Some(outcome(state)),
            }
        }
    }

    fn settled(&self) -> Option<Result<(), JournalError>> {
        match self.state.load(Ordering::Acquire) {
            FILLING | WRITTEN | PROMISED => None,
            state => Some(outcome(state)),
        }
    }
}

fn outcome(state: u8) -> Result<(), JournalError> {
    match state {
        REFUSED_FULL => Err(JournalError::Full),
        REFUSED_FAILED => Err(JournalError::Failed),
        _ => Ok(()),
    }
}

/// A record on its way to the disk: which offset it has, and what it waits for.
#[derive(Clone, Debug)]
pub struct Ticket {
    pub(super) batch: Arc<Batch>,
    pub(super) offset: u64,
}

impl Ticket {
    /// The record's offset, whether it becomes durable or not: a refused record's offset is never
    /// given again.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) async fn written(&self) -> Result<(), JournalError> {
        wait(&self.batch.written, || self.batch.promise()).await
    }

    pub(super) async fn synced(&self) -> Result<(), JournalError> {
        wait(&self.batch.synced, || self.batch.settled()).await
    }
}

async fn wait(
    notify: &Notify,
    answer: impl Fn() -> Option<Result<(), JournalError>>,
) -> Result<(), JournalError> {
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        // Registered before the state is looked at again: a change in between wakes this waiter.
        let mut notified = pin!(notify.notified());
        notified.as_mut().enable();
        if let Some(answer) = answer() {
            return answer;
        }
        notified.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket { batch: Arc::new(Batch::default()), offset: 0 }
    }

    #[tokio::test]
    async fn a_batch_is_refused_only_while_nobody_was_told_that_it_is_written() {
        let ticket = ticket();
        ticket.batch.note_written();
        ticket.written().await.unwrap();
        assert!(!ticket.batch.refuse(JournalError::Failed));
        ticket.batch.set_synced();
        ticket.synced().await.unwrap();
    }

    #[tokio::test]
    async fn an_fsync_that_overtakes_the_word_of_the_write_is_told_all_the_same() {
        let ticket = ticket();
        ticket.batch.note_written();
        ticket.batch.set_synced();
        ticket.batch.tell_written();
        ticket.synced().await.unwrap();
        ticket.written().await.unwrap();
    }

    #[tokio::test]
    async fn a_refused_batch_stays_refused() {
        let ticket = ticket();
        ticket.batch.note_written();
        assert!(ticket.batch.refuse(JournalError::Full));
        assert_eq!(ticket.written().await, Err(JournalError::Full));
        assert_eq!(ticket.synced().await, Err(JournalError::Full));
        ticket.batch.set_synced();
        assert_eq!(ticket.synced().await, Err(JournalError::Full));
    }

    #[tokio::test]
    async fn a_dropped_waiter_leaves_the_others_waiting() {
        let ticket = ticket();
        {
            let mut dropped = pin!(ticket.synced());
            let polled = std::future::poll_fn(|context| {
                std::task::Poll::Ready(dropped.as_mut().poll(context).is_pending())
            });
            assert!(polled.await);
        }
        let waiter = tokio::spawn({
            let ticket = ticket.clone();
            async move { ticket.synced().await }
        });
        tokio::task::yield_now().await;
        ticket.batch.note_written();
        ticket.batch.set_synced();
        waiter.await.unwrap().unwrap();
    }
}
