//! The options of `overload`. In: words. Out: checked options.

use clap::Args;

use crate::faults::FaultsOptions;

/// Options of `overload`.
#[derive(Args)]
pub struct OverloadOptions {
    /// Which program, home, seconds and seed; what is said of scenarios does not count here
    #[command(flatten)]
    pub load: FaultsOptions,
    /// The share of one core that the edge may have
    #[arg(long, default_value_t = 0.2)]
    pub edge_share: f64,
    /// Connections that ask as fast as they are answered
    #[arg(long, default_value_t = 4_900)]
    pub fast: u16,
    /// Connections that are slow: a third each with headers, bodies and reading
    #[arg(long, default_value_t = 5_000)]
    pub slow: u16,
    /// Fails when the edge ever held more than so many MiB
    #[arg(long, default_value_t = 1_024)]
    pub memory_max: u64,
}
