//! The raw columns of an event, made sense of: place, agent, channel, verdict.
//!
//! In: what the log holds of a request (a cut address, an agent string, UTM parameters, a referrer's host). Out: what
//! that means. Refuses: nothing; what is unknown stays empty. Promises: each part depends on its inputs and its data
//! files alone, never on the order of events, the clock or a cache, so that a replay says the same; and nothing here
//! can panic or take long, whatever the bytes.

pub mod agent;
pub mod channel;
mod channel_rules;
pub mod declared;
mod enricher;
pub mod place;
mod referrer;
pub mod spam;
pub mod verdict;

pub use enricher::{EnrichError, Enriched, Enricher};
