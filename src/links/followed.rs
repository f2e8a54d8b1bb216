//! Being followed: a file that commands write, looked at for as long as the process lives.
//!
//! In: who takes in what is new. Out: log lines, a failure once however often it comes. Refuses: nothing. Promises: a change is taken in within
//! [`LOOK_EVERY`] and the time it takes to read it; a file that can't be read leaves what was known.

use std::time::Duration;

use super::file::FileError;
use crate::stop::Stop;

/// How often the file is looked at: a `stat`, so it may be often.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Who follows a file.
pub trait Follow: Send + Sized + 'static {
    /// What is followed, as log lines say it.
    const WHAT: &'static str;

    /// Takes in what is new. Blocks. Says how many changes there were.
    ///
    /// # Errors
    /// When the file can't be read.
    fn catch_up(&mut self) -> Result<usize, FileError>;

    /// Follows until the stop.
    fn follow(mut self, stop: Stop) -> impl Future<Output = ()> + Send {
        async move {
            let what = Self::WHAT;
            let mut told = String::new();
            loop {
                tokio::select! {
                    () = stop.stopped() => return,
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
                let look = tokio::task::spawn_blocking(move || (self.catch_up(), self));
                let Ok((outcome, follower)) = look.await else {
                    tracing::error!("following the {what} panicked; what is known stays");
                    return;
                };
                self = follower;
                match outcome {
                    Ok(0) => {}
                    Ok(changes) => {
                        told.clear();
                        tracing::info!(changes, "{what} changed");
                    }
                    // Once: it would be the same words twice a second.
                    Err(error) if error.to_string() != told => {
                        told = error.to_string();
                        tracing::error!(%error, "{what} can't be read; what was known stays");
                    }
                    Err(_) => {}
                }
            }
        }
    }
}
