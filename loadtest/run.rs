//! `run` and `reconcile`. In: options. Out: the tables on standard output, the receipts file, and the
//! list of what is wrong beside it. Gives whether all is well: nothing lost, doubled, unexpected or
//! mistagged.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use crate::generator::{Fired, Generator, Observer};
use crate::options::{ReconcileOptions, RunOptions, WarehouseOptions};
use crate::outcome::Finished;
use crate::processor_time::{per_event_us, processor_time};
use crate::receipts::{Ledger, ReceiptsError, ReceiptsWriter};
use crate::reconcile::{Fault, Reconciliation};
use crate::requests::Requests;
use crate::schedule::Schedule;
use crate::site::mix_for;
use crate::tally::{Tally, milliseconds};
use crate::warehouse::{Patience, reconcile_with};

/// Receipts reach the disk within about this.
const FLUSH_EVERY: Duration = Duration::from_millis(50);
/// A generator that is later than this measures itself.
const LATENESS_MAX_MS: f64 = 20.0;
/// Problems that are printed; all are in the file.
const PRINTED_MAX: usize = 20;

/// Keeps the figures and the receipts of a run.
struct Recorder {
    tally: Tally,
    receipts: ReceiptsWriter,
}

impl Observer for Recorder {
    fn finished(&mut self, finished: &Finished) {
        self.tally.count(finished);
        self.receipts.note(finished);
    }
}

/// Sends, and reconciles unless told not to; true when all is well.
///
/// # Errors
/// When the run cannot be made, or the warehouse cannot be asked.
pub async fn run(options: RunOptions) -> anyhow::Result<bool> {
    let site = options.load.site()?;
    let mix = mix_for(options.mix.as_ref(), &site)?;
    let schedule = Schedule::new(options.rate, options.seconds)?;
    let run = new_run_name()?;
    let path = options
        .receipts
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("leadtrail-load-{run}.receipts")));
    let receipts = ReceiptsWriter::create(&path, &run, schedule.count(), now_ms())?;
    println!("run {run}, receipts in {}", path.display());
    let recorder = Rc::new(RefCell::new(Recorder { tally: Tally::default(), receipts }));
    let requests = Rc::new(Requests { site, mix, seed: options.load.seed, run });
    let generator = Generator::connect(
        options.load.load(),
        requests,
        Rc::<RefCell<Recorder>>::clone(&recorder),
    )
    .await?;

    let processor_before = processor_time(std::process::id())?;
    let flush = || recorder.borrow_mut().receipts.flush();
    let fired = fire_and_flush(&generator, schedule, flush).await?;
    let processor_spent = processor_time(std::process::id())?.saturating_sub(processor_before);
    recorder.borrow_mut().receipts.finish(fired.count)?;
    print!("{}", summary(&recorder.borrow().tally, &fired, options.rate, processor_spent));
    if options.no_reconcile {
        return Ok(true);
    }
    compare_with_warehouse(&path, &options.warehouse, options.patience.patience()).await
}

/// Holds an earlier run against the warehouse; true when all is well.
///
/// # Errors
/// When the file or the warehouse cannot be read.
pub async fn reconcile(options: ReconcileOptions) -> anyhow::Result<bool> {
    let patience = options.patience.patience();
    compare_with_warehouse(&options.receipts, &options.warehouse, patience).await
}

/// Fires while receipts go to the disk; Ctrl-C ends it early, with all that was sent accounted for.
pub async fn fire_and_flush(
    generator: &Generator,
    schedule: Schedule,
    mut flush: impl FnMut() -> Result<(), ReceiptsError>,
) -> anyhow::Result<Fired> {
    let stop = Cell::new(false);
    let fire = generator.fire(schedule, 0, &stop);
    tokio::pin!(fire);
    let mut flushing = tokio::time::interval(FLUSH_EVERY);
    loop {
        tokio::select! {
            fired = &mut fire => return Ok(fired?),
            _ = flushing.tick() => flush()?,
            _ = tokio::signal::ctrl_c(), if !stop.get() => {
                eprintln!("stopped: waiting for the answers that are still due");
                stop.set(true);
            }
        }
    }
}

/// The table of a run and what may be wrong with the run itself.
fn summary(tally: &Tally, fired: &Fired, rate: u32, processor_spent: Duration) -> String {
    let total = tally.total();
    let sent = total.planned - total.unsent;
    let lateness = fired.lateness.quantile_ms(0.99);
    let mut text = tally.text();
    text += &format!(
        "asked for {rate}/s, sent {sent} in {:.2} s, {:.1}/s; generator late p50 {} p99 {} max {} ms, {:.1} us CPU a request\n",
        fired.elapsed.as_secs_f64(),
        sent as f64 / fired.elapsed.as_secs_f64(),
        milliseconds(fired.lateness.quantile_ms(0.5)),
        milliseconds(lateness),
        milliseconds(fired.lateness.max_ms()),
        per_event_us(processor_spent, sent).unwrap_or_default(),
    );
    text += &lateness_warning(lateness);
    if tally.without_receipt() > 0 {
        text += &format!(
            "WARNING: {} accepted requests other than redirects had no Leadtrail-Receipt; they are not checked for loss\n",
            tally.without_receipt()
        );
    }
    text
}

/// Empty, or that the figures are the generator's own.
pub fn lateness_warning(lateness_p99_ms: Option<f64>) -> String {
    match lateness_p99_ms {
        Some(late) if late > LATENESS_MAX_MS => format!(
            "WARNING: not a valid run: the generator itself was {late:.1} ms late at p99 (more than {LATENESS_MAX_MS}); use a lower --rate or a quieter machine\n"
        ),
        _ => String::new(),
    }
}

async fn compare_with_warehouse(
    receipts: &Path,
    options: &WarehouseOptions,
    patience: Patience,
) -> anyhow::Result<bool> {
    let ledger = Ledger::read(receipts)?;
    if !ledger.complete {
        println!("the generator died during the run: what it did not tell of counts as unknown");
    }
    let warehouse = options.warehouse()?;
    let result = reconcile_with(&warehouse, &ledger, patience).await?;
    match warehouse.rows_merged_away(&ledger).await {
        Ok(0) => println!("rows merged away during the run: 0"),
        Ok(rows) => println!(
            "WARNING: merges dropped {rows} rows from events since the run began: doubles that can no longer be counted, unless rows were erased"
        ),
        Err(_) => println!(
            "rows merged away during the run: not known (system.part_log cannot be read by this user)"
        ),
    }
    print!("{}", result_text(&result));
    if result.durable == 0 {
        println!("WARNING: no receipt was given, so nothing was checked");
        return Ok(false);
    }
    if result.problems.is_empty() {
        return Ok(true);
    }
    let path = write_problems(receipts, &result)?;
    println!("all {} problems are listed in {}", result.problems.len(), path.display());
    Ok(false)
}

/// The numbers, and the first problems of each sort.
fn result_text(result: &Reconciliation) -> String {
    let Reconciliation { durable, stored, dead, unconfirmed, unknown, .. } = result;
    let lost = result.count(Fault::Lost);
    let mut text = format!(
        "durable {durable} = stored {stored} + dead letters {dead} + lost {lost}\n\
         unconfirmed {}, of which stored {}; unknown {}, of which stored {}\n",
        unconfirmed.0, unconfirmed.1, unknown.0, unknown.1
    );
    for fault in Fault::ALL {
        text += &format!("{}: {}\n", fault.name(), result.count(fault));
        for problem in result.of(fault).take(PRINTED_MAX) {
            text += &format!("  {problem}\n");
        }
    }
    text
}

/// Writes every problem, one a line, beside the receipts; replaces the list of an earlier try.
pub fn write_problems(receipts: &Path, result: &Reconciliation) -> anyhow::Result<PathBuf> {
    let mut path = receipts.as_os_str().to_owned();
    path.push(".problems");
    let path = PathBuf::from(path);
    let write = || -> std::io::Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
        result.problems.iter().try_for_each(|problem| writeln!(file, "{problem}"))?;
        file.flush()
    };
    write().with_context(|| format!("writing the list of problems to {}", path.display()))?;
    Ok(path)
}

/// A name that no other run has.
pub fn new_run_name() -> anyhow::Result<String> {
    let bits = getrandom::u64().context("asking the kernel for random bits")?;
    Ok(format!("{bits:016x}"))
}

/// Now, in ms since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
