//! Stopping: signals become one watch channel that every long-lived task holds.
//!
//! In: SIGTERM and SIGINT, or [`Stopper::stop`]. Out: [`Stop`], cloned into whoever has to end. Promises: the first signal asks
//! everybody to finish; the second ends the process at once. A [`Stopper`] that is dropped counts as a stop, so that
//! no task outlives what started it.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Exit code of a process that a second signal ended: 128 + SIGINT, as shells say it.
const IMPATIENT_EXIT_CODE: i32 = 130;

/// The end that asks for the stop.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// Asks every holder of the [`Stop`] to finish. Asking again changes nothing.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// The end that is asked.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// True once a stop was asked for. One atomic load: `self` never marks a value as seen, so the stop stays "changed".
    pub fn is_stopped(&self) -> bool {
        self.0.has_changed().unwrap_or(true)
    }

    /// The channel itself, for those who look at it themselves.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.clone()
    }

    /// Waits for the stop.
    pub async fn stopped(&self) {
        let mut receiver = self.0.clone();
        // An error means that the stopper is gone, which is a stop too.
        let _ = receiver.wait_for(|stopped| *stopped).await;
    }
}

/// A stop that the program itself asks for.
pub fn channel() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

/// A stop that the first SIGTERM or SIGINT asks for; the second ends the process. Needs a runtime.
///
/// # Errors
/// When the system refuses the signal handlers.
pub fn on_signals() -> io::Result<Stop> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stopper, stop) = channel();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        tracing::info!("stopping; a second signal ends the process at once");
        stopper.stop();
        tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        std::process::exit(IMPATIENT_EXIT_CODE);
    });
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_reaches_every_clone_and_stays() {
        let (stopper, stop) = channel();
        let clone = stop.clone();
        assert!(!stop.is_stopped() && !clone.is_stopped());
        stopper.stop();
        clone.stopped().await;
        stop.stopped().await;
        assert!(stop.is_stopped() && clone.is_stopped() && stop.clone().is_stopped());
    }

    #[tokio::test]
    async fn a_dropped_stopper_is_a_stop() {
        let (stopper, stop) = channel();
        drop(stopper);
        stop.stopped().await;
        assert!(stop.is_stopped());
    }
}
