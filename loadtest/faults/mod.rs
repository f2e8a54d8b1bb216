//! Faults under load. In: scenarios, a seed, a real program. Out: one line a round, and whether every promise held: nothing lost,
//! doubled or unexpected in any table. Refuses: a program or parts that are missing. Promises: whatever it starts ends with it.
//!
//! ```text
//!   Installation (broker, engine, edge, consumer, settle)   <- Scenario::strike at a random moment
//!        ^ load                       | rows                    kill -9, SIGSTOP, wipe, full disk; then heal
//!        '---- receipts -> reconcile -'-> Verdict -> a line, the log
//! ```

pub mod ask;
mod clock;
pub mod env;
pub mod installation;
pub mod load;
mod options;
mod personal;
mod process;
pub mod reckon;
mod round;
mod scenario;
mod tables;
mod tmpfs;
mod totals;
mod verdict;
mod wire;
mod wires;

use std::io::Write as _;
use std::process::Command;

use anyhow::Context as _;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

pub use options::{FaultsOptions, Home};

use crate::faults::installation::{Installation, Shape};
use crate::faults::scenario::Scenario;
use crate::faults::totals::Totals;

/// Runs all that is asked for; true when all is well.
///
/// # Errors
/// When an installation can't be made, healed or asked.
pub fn faults(mut options: FaultsOptions) -> anyhow::Result<bool> {
    let scenarios = options.chosen()?;
    prepare(&mut options)?;
    let all_is_well = until_stopped(all(&options, &scenarios))?;
    // Only if it is empty: what is kept stays.
    let _ = std::fs::remove_dir(env::root(None));
    Ok(all_is_well)
}

/// Finds the program, and where the folders of the run are made.
///
/// # Errors
/// When there is no program.
pub fn prepare(options: &mut FaultsOptions) -> anyhow::Result<()> {
    options.program = options.program.canonicalize().with_context(|| {
        format!("no program at {:?}; build it, or name it with --program", options.program)
    })?;
    env::root(options.folder.clone());
    Ok(())
}

/// Works with installations until it is done or somebody stops it.
///
/// # Errors
/// Those of the work, and when it was stopped.
pub fn until_stopped(work: impl Future<Output = anyhow::Result<bool>>) -> anyhow::Result<bool> {
    // The load runs on this thread; the engine's supervisor must not wait for it.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            is_well = work => is_well,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("stopped"),
        }
    })
}

async fn all(options: &FaultsOptions, scenarios: &[Scenario]) -> anyhow::Result<bool> {
    let mut all_is_well = true;
    for scenario in scenarios {
        let mut running = None;
        for number in 1..=options.rounds {
            if options.resume && totals::has(&read_log(options)?, &key(options, *scenario, number))
            {
                continue;
            }
            let mut installation = match running.take() {
                Some(installation) => installation,
                None => Installation::start(shape(options, *scenario)).await?,
            };
            let outcome = round::round(&mut installation, *scenario, options, number).await;
            let (words, is_well) = match &outcome {
                Ok(verdict) => (verdict.to_string(), verdict.is_well()),
                Err(error) => (format!("error=\"{error:#}\""), false),
            };
            tell(options, *scenario, number, &words)?;
            if is_well {
                running = Some(installation);
            } else {
                // The next round begins on a new one, and this one can be looked at.
                all_is_well = false;
                println!("kept: {}", installation.folder().display());
                installation.stop().await.unwrap_or_else(|error| eprintln!("stop: {error:#}"));
            }
        }
        if let Some(installation) = running {
            let folder = installation.folder().to_owned();
            installation.stop().await?;
            if !options.keep {
                std::fs::remove_dir_all(&folder)?;
            }
        }
    }
    if options.log.is_some() {
        print!("{}", Totals::of(&read_log(options)?));
    }
    Ok(all_is_well)
}

fn read_log(options: &FaultsOptions) -> anyhow::Result<String> {
    match options.log.as_ref().map(std::fs::read_to_string) {
        Some(Ok(text)) => Ok(text),
        Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot read the log {:?}", options.log))
        }
        _ => Ok(String::new()),
    }
}

/// What makes up a round.
fn key(options: &FaultsOptions, scenario: Scenario, number: u32) -> [(&'static str, String); 6] {
    [
        ("scenario", scenario.name().to_owned()),
        ("home", format!("{:?}", options.home).to_lowercase()),
        ("seed", options.seed.to_string()),
        ("round", number.to_string()),
        ("strikes", options.strikes.to_string()),
        ("rate", options.rate.to_string()),
    ]
}

fn shape(options: &FaultsOptions, scenario: Scenario) -> Shape {
    Shape {
        program: options.program.clone(),
        home: options.home,
        up: scenario == Scenario::Kill9Up,
        special: scenario.special(),
    }
}

/// Prints a round's line, and adds it to the log.
fn tell(
    options: &FaultsOptions,
    scenario: Scenario,
    number: u32,
    words: &str,
) -> anyhow::Result<()> {
    let key = key(options, scenario, number).map(|(name, value)| format!("{name}={value}"));
    // What a round needs besides to be made again.
    let FaultsOptions { seconds, hang, .. } = options;
    let line = format!("{} seconds={seconds} hang={hang} {words}", key.join(" "));
    println!("{line}");
    let Some(path) = &options.log else { return Ok(()) };
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot add to the log {path:?}"))?;
    writeln!(file, "date={:.0} commit={} {line}", jiff::Timestamp::now(), commit())?;
    Ok(())
}

/// The commit of the checkout in the working directory.
fn commit() -> String {
    let output = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let text = output.ok().filter(|output| output.status.success());
    text.map_or_else(
        || "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
