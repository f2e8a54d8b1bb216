//! Settling on the real engine: each rule as a story worked out by hand, then random worlds against a second reading of the rules.

mod doors;
mod durable;
mod election;
mod facts;
mod messages;
mod order;
mod rules;
mod stories;
mod world;
mod zombie;
