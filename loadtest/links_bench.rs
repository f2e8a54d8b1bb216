//! What links cost: signing and verifying tokens, finding a link among a thousand and a million, reading a million at the start, room in memory, and
//! the wall-clock of deciding a cap.
//!
//! In: nothing. Out: a Markdown table on standard output, for loadtest/RESULTS.md. Exit code 1 when a number of the issue is missed.
//!
//! Run with `cargo bench --bench links`. The million links lie in a folder under the temporary one, which is removed.

use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use leadtrail::check::caps::Caps;
use leadtrail::keys::Keys;
use leadtrail::links::file::Writer;
use leadtrail::links::follow::{Follower, Links};
use leadtrail::links::followed::Follow as _;
use leadtrail::links::record::{Change, Link, Way};
use leadtrail::links::token::{self, LinkClaim};
use leadtrail::tokens::{ClickClaim, sign_click, sign_mail, verify_click, verify_mail};

/// Calls of each measurement, after as many tenths to warm up.
const CALLS: u32 = 200_000;
/// As many links as the issue wants.
const MILLION: u32 = 1_000_000;
/// Numbers of commands begin here.
const NUMBER_MIN: u32 = 1_000_000;

struct Table {
    missed: bool,
}

impl Table {
    fn row(&mut self, what: &str, figure: f64, unit: &str, most: Option<f64>) {
        let wanted = most.map_or_else(String::new, |most| format!("at most {most} {unit}"));
        self.missed |= most.is_some_and(|most| figure > most);
        println!("| {what} | {figure:.3} {unit} | {wanted} |");
    }
}

/// Microseconds for one call, the best of five rounds: the others had the machine's noise.
fn micros(mut call: impl FnMut(u32)) -> f64 {
    (0..CALLS / 10).for_each(&mut call);
    let round = |call: &mut dyn FnMut(u32)| {
        let begun = Instant::now();
        (0..CALLS / 5).for_each(call);
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS / 5)
    };
    (0..5).map(|_| round(&mut call)).fold(f64::INFINITY, f64::min)
}

fn main() -> Result<ExitCode> {
    let folder = std::env::temp_dir().join(format!("leadtrail-links-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = measure(&folder);
    std::fs::remove_dir_all(&folder)?;
    Ok(if outcome? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(folder: &Path) -> Result<bool> {
    let mut table = Table { missed: false };
    println!("| what | measured | wanted |\n|---|---|---|");
    tokens(&mut table, &folder.join("keys"))?;
    let small = links(&mut table, &folder.join("thousand"), 1_000)?;
    let large = links(&mut table, &folder.join("million"), MILLION)?;
    table.row("look-up, a million against a thousand", large / small, "times", None);
    caps(&mut table)?;
    Ok(!table.missed)
}

fn tokens(table: &mut Table, folder: &Path) -> Result<()> {
    let keys = Keys::open(folder)?;
    let minter = leadtrail::ids::Minter::new().context("no random number")?;
    let id = minter.mint(1_790_000_000_000);
    let click = ClickClaim { id, link: 1_234_567, offer: 300, affiliate: 1_042 };
    let claim = LinkClaim {
        site: "shop".into(),
        destination: "https://www.shop.example/spring/shoes?utm_source=newsletter&utm_medium=email"
            .into(),
        campaign: "spring-2026".into(),
        mailing: 4,
        recipient: 42,
        ..LinkClaim::default()
    };
    let most = Some(3.0);
    table.row(
        "sign a click id",
        micros(|_| {
            black_box(sign_click(&keys, black_box(&click)));
        }),
        "us",
        most,
    );
    let text = sign_click(&keys, &click);
    table.row(
        "verify a click id",
        micros(|_| {
            black_box(verify_click(&keys, black_box(&text)));
        }),
        "us",
        most,
    );
    table.row(
        "sign a link",
        micros(|_| {
            black_box(token::sign(&keys, black_box(&claim)));
        }),
        "us",
        most,
    );
    let text = token::sign(&keys, &claim);
    table.row(
        "verify a link",
        micros(|_| {
            black_box(token::verify(&keys, black_box(&text)));
        }),
        "us",
        most,
    );
    table.row(
        "sign an open",
        micros(|_| {
            black_box(sign_mail(&keys, 4, black_box("customer-42")));
        }),
        "us",
        most,
    );
    let text = sign_mail(&keys, 4, "customer-42");
    table.row(
        "verify an open",
        micros(|_| {
            black_box(verify_mail(&keys, black_box(&text)));
        }),
        "us",
        most,
    );
    Ok(())
}

/// Writes so many links to a file, reads them as an edge does at its start, and looks some up. Gives a look-up's microseconds.
fn links(table: &mut Table, folder: &Path, count: u32) -> Result<f64> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join("links.jsonl");
    let mut writer = Writer::open(path.clone())?;
    let mut batch = writer.begin()?;
    for number in 0..count {
        let url = format!(
            "https://www.shop.example/campaigns/{}/landing?item={number}&utm_source=newsletter",
            number % 500
        );
        let link = Link {
            number: NUMBER_MIN + number,
            name: name(number).into(),
            site: "shop".into(),
            to: vec![Way { url: url.into(), weight: 1 }],
            campaign: format!("campaign-{}", number % 500).into(),
            ad: format!("ad-{}", number % 20_000).into(),
            product: format!("product-{}", number % 1_000).into(),
            ..Link::default()
        };
        batch.put(&Change::Link(link))?;
    }
    batch.commit(0)?;
    drop(writer);
    let before = resident_mb()?;
    let begun = Instant::now();
    let worked = processor_seconds();
    let mut follower = Follower::new(std::sync::Arc::new(Links::default()), path);
    follower.catch_up()?;
    let seconds = begun.elapsed().as_secs_f64();
    let worked = processor_seconds() - worked;
    let links = follower.links();
    let what = |what: &str| format!("{count} links: {what}");
    if count == MILLION {
        table.row(&what("read at the start"), seconds, "s", Some(3.0));
        table.row(&what("read at the start, processor"), worked, "s", None);
        table.row(&what("memory"), resident_mb()? - before, "MB", Some(300.0));
    }
    let names: Vec<String> = (0..4_096).map(|at| name(at * 7_919 % count)).collect();
    let one = micros(|at| {
        let name = &names[at as usize % names.len()];
        assert!(links.read(|book| book.link(black_box(name)).is_some()));
    });
    table.row(&what("look-up of one, with its lock"), one, "us", None);
    Ok(one)
}

fn name(number: u32) -> String {
    format!("l{:x}-{number}", number.wrapping_mul(2_654_435_761))
}

fn caps(table: &mut Table) -> Result<()> {
    let text = "number = 3\nname = \"o\"\nsite = \"s\"\ndestination = \"https://a.example/\"\ncap_day = 100000000\naffiliate_cap_month = 100000000\n";
    let offer = toml::from_str(text)?;
    let caps = Caps::in_memory();
    table.row(
        "decide a cap",
        micros(|at| {
            black_box(caps.take(&offer, at % 1_000, 1_790_000_000_000, true));
        }),
        "us",
        None,
    );
    Ok(())
}

/// What this process has computed so far: beside other programs, the wall-clock tells of them.
fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// This process' resident memory.
fn resident_mb() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes / 1024.0)
}
