//! Sharing: this process compares keys and agrees on salts with the other machines, for as long as it runs.
//!
//! In: the installation, and the salt of an edge. Out: whether this process may work beside the others. Refuses: to start with keys that
//! differ. Promises: brokers that are away cost a start three seconds and no event: the edge begins with a salt of its own, and meets
//! the others when they are back; keys that turn out to differ then make it not ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::sync::watch;

use crate::config::Home;
use crate::ids::now_millis;
use crate::keys::DailySalt;
use crate::keys::shared::{SharedError, SharedTopic};
use crate::ops::Check;
use crate::service::parts::{Installation, ensure_topics};
use crate::stop::Stop;

/// How long a start waits for the others' word.
const START_MAX: Duration = Duration::from_secs(3);

/// How often salts are looked at: tomorrow's is there a day ahead, and a rolled segment is due every ten minutes.
const EVERY: Duration = Duration::from_secs(600);

/// How soon it is tried again while the brokers are away.
const AGAIN: Duration = Duration::from_secs(5);

/// One turn, after which the end is looked for.
const TURN: Duration = Duration::from_millis(200);

/// What is known of the others' keys.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// They could not be asked yet.
    Unknown,
    /// They agree with ours.
    Agreed,
    /// They don't; why, and what to do.
    Differ(String),
}

/// The meetings of one part. They end with this value.
pub struct Sharing {
    state: watch::Receiver<State>,
    ended: Arc<AtomicBool>,
}

impl Sharing {
    /// Meets the others for the first time, and goes on in a thread of its own. `None` where there are no others: on the journal.
    pub async fn begin(
        installation: &Installation,
        salt: Option<Arc<DailySalt>>,
    ) -> Result<Option<Self>> {
        let config = &installation.config;
        if config.log.home != Home::Kafka {
            return Ok(None);
        }
        let begun = Instant::now();
        let kafka = config.kafka.clone();
        let made = tokio::spawn(async move { ensure_topics(&kafka).await });
        let _ = tokio::time::timeout(START_MAX, made).await;
        let topic = SharedTopic::new(&config.kafka, installation.keys.clone());
        let (sender, mut state) = watch::channel(State::Unknown);
        let ended = Arc::new(AtomicBool::new(false));
        let seen = ended.clone();
        // A thread that nobody waits for: a request that hangs must not hold up a stop.
        std::thread::Builder::new()
            .name("shared-keys".to_owned())
            .spawn(move || meet_until(&topic, salt.as_deref(), &sender, &seen))
            .context("cannot start a thread")?;
        let rest = START_MAX.saturating_sub(begun.elapsed());
        let known = state.wait_for(|state| *state != State::Unknown);
        match tokio::time::timeout(rest, known).await.map(|known| known.map(|state| state.clone()))
        {
            Ok(Ok(State::Differ(reason))) => bail!(reason),
            Ok(_) => {}
            Err(_) => tracing::warn!(
                topic = config.kafka.shared_topic,
                "the other machines' keys could not be asked for in time; going on, and asking again"
            ),
        }
        Ok(Some(Self { state, ended }))
    }

    /// What `/ready` asks.
    pub fn check(&self) -> Check {
        let state = self.state.clone();
        let run = move || match &*state.borrow() {
            State::Differ(reason) => Err(reason.clone()),
            _ => Ok(()),
        };
        Check { name: "keys", run: Box::new(run) }
    }

    /// Waits until the keys are known to agree; false when a stop came first.
    pub async fn agreed(&self, stop: &Stop) -> bool {
        let mut state = self.state.clone();
        tokio::select! {
            () = stop.stopped() => false,
            known = state.wait_for(|state| *state == State::Agreed) => known.is_ok(),
        }
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// Meeting after meeting. Without a salt one is enough, once the keys agree.
fn meet_until(
    topic: &SharedTopic,
    salt: Option<&DailySalt>,
    state: &watch::Sender<State>,
    ended: &AtomicBool,
) {
    let mut told = String::new();
    while !ended.load(Ordering::Relaxed) {
        let compared = topic.compare();
        let met = compared.and_then(|()| match salt {
            Some(salt) => topic.agree(salt, now_millis()),
            None => Ok(()),
        });
        let pause = match met {
            Ok(()) => {
                state.send_replace(State::Agreed);
                EVERY
            }
            Err(error) => {
                let reason = error.to_string();
                if reason != told {
                    tracing::warn!(reason, "shared keys");
                    told.clone_from(&reason);
                }
                if matches!(error, SharedError::Differ(_)) {
                    state.send_replace(State::Differ(reason));
                }
                AGAIN
            }
        };
        if salt.is_none() && *state.borrow() == State::Agreed {
            return;
        }
        let until = Instant::now() + pause;
        while Instant::now() < until && !ended.load(Ordering::Relaxed) {
            std::thread::sleep(TURN);
        }
    }
}
