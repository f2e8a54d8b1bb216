//! The open-loop load generator. In: a rate, a mix and a service on this machine. Out: how the service
//! did, and whether what it promised is in the warehouse.
//!
//! ```text
//! schedule -> queue -> lane (one connection) -> outcome -> tally
//!             requests ^                                -> receipts file -> reconcile <- warehouse
//! ```
//!
//! Exit code: 0 all is well, 1 an event is lost, doubled, unexpected or mistagged, or nothing could be
//! checked, or a comparison is not to be trusted; 2 it could not run.

mod bare;
mod click_pool;
mod compare;
mod dice;
mod drain;
mod faults;
mod flood;
mod generator;
mod histogram;
mod lane;
mod mix;
mod options;
mod outcome;
mod overload;
mod processor_time;
mod queryable;
mod queue;
mod receipts;
mod reconcile;
mod requests;
mod response;
mod run;
mod schedule;
mod site;
mod tally;
mod target;
mod warehouse;

#[cfg(test)]
mod fake_edge;
#[cfg(test)]
mod generator_tests;
#[cfg(test)]
mod reconcile_tests;
#[cfg(test)]
mod warehouse_tests;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::options::{BareOptions, Command, Options};

fn main() -> ExitCode {
    match work(Options::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("leadtrail-load: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn work(command: Command) -> anyhow::Result<bool> {
    if let Command::Bare(options) = command {
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        return runtime.block_on(bare_server(options));
    }
    if let Command::Faults(options) = command {
        return faults::faults(options);
    }
    if let Command::Drain(options) = command {
        return drain::drain(options);
    }
    if let Command::Overload(options) = command {
        return overload::overload(options);
    }
    // One thread: the rest of the machine belongs to the service.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        match command {
            Command::Run(options) => run::run(options).await,
            Command::Reconcile(options) => run::reconcile(options).await,
            Command::Compare(options) => compare::compare(options).await,
            Command::Queryable(options) => queryable::queryable(options).await,
            Command::Flood(options) => flood::flood(options).await,
            Command::Bare(_) | Command::Drain(_) | Command::Faults(_) | Command::Overload(_) => {
                unreachable!("they have runtimes of their own")
            }
        }
    })
}

async fn bare_server(options: BareOptions) -> anyhow::Result<bool> {
    anyhow::ensure!(options.listen.ip().is_loopback(), "--listen takes loopback addresses only");
    let listener =
        bare::listen(options.listen).with_context(|| format!("listening on {}", options.listen))?;
    println!("{}{}", bare::LISTENING, listener.local_addr()?);
    let stop = async {
        if options.with_parent {
            bare::parent_gone().await;
        } else if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    bare::serve(listener, stop).await?;
    Ok(true)
}
