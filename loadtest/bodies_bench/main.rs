//! Bodies: a mutational fuzzer for every parser that reads what strangers send, and what a byte of each kind of body costs.
//!
//! In: `cargo bench --bench bodies -- fuzz SECONDS [SEED] [TARGET]`, `... -- targets` or `... -- cost`. Out: one line a parser. Fails: at a panic, at a broken
//! promise of a parser (`targets.rs`), at a single input that takes longer than [`fuzz::SLOW`]; and where a thousand fields or a 64 KiB value cost more than
//! twice an ordinary body's processor time a byte. Promises: the same seed gives the same inputs, also for one target alone.

mod fuzz;
mod targets;

use std::hint::black_box;

use leadtrail::receive::charset::Charset;
use leadtrail::receive::fields::{BodyType, Caps, Fields};
use rustix::time::{ClockId, clock_gettime};

fn processor_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Processor time a byte: the best of some rounds, for a busy machine only adds.
fn cost(kind: &BodyType, input: &[u8]) -> f64 {
    let caps = Caps { fields: 2_000, name_bytes: 128, value_bytes: 128 * 1024 };
    let repeats = 4_000_000 / input.len().max(1) + 1;
    let mut best = f64::MAX;
    for _ in 0..15 {
        let begun = processor_ns();
        for _ in 0..repeats {
            black_box(Fields::read(kind, black_box(input), caps).expect("a body that can be read"));
        }
        best = best.min((processor_ns() - begun) as f64 / (repeats * input.len()) as f64);
    }
    best
}

fn encoded(kind: &BodyType, fields: &[(String, String)]) -> Vec<u8> {
    match kind {
        BodyType::Json => {
            let members: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name:?}:{value:?}")).collect();
            format!("{{{}}}", members.join(",")).into_bytes()
        }
        BodyType::Multipart { .. } => {
            let part = |(name, value): &(String, String)| {
                format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
            };
            (fields.iter().map(part).collect::<String>() + "--B--\r\n").into_bytes()
        }
        BodyType::Plain(_) => fields
            .iter()
            .map(|(name, value)| format!("{name}={value}\r\n"))
            .collect::<String>()
            .into_bytes(),
        _ => {
            let pairs: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name}={}", value.replace(' ', "+")))
                .collect();
            pairs.join("&").into_bytes()
        }
    }
}

#[expect(clippy::print_stdout, reason = "a bench's answer")]
fn costs() {
    let text = "The quick brown fox jumps over the lazy dog and calls back on Monday ";
    let pairs = |count: usize| -> Vec<(String, String)> {
        (0..count).map(|at| (format!("field_{at}"), text[..24].to_owned())).collect()
    };
    let ordinary = pairs(12);
    let thousand = pairs(1_000);
    let long = vec![("message".to_owned(), text.repeat(950)[..65_536].to_owned())];
    let (boundary, charset) = ("B".to_owned(), Charset::default());
    let kinds = [
        ("urlencoded", BodyType::Urlencoded),
        ("multipart", BodyType::Multipart { boundary, charset }),
        ("text/plain", BodyType::Plain(charset)),
        ("json", BodyType::Json),
    ];
    println!("| body | ordinary ns/byte | thousand fields | 64 KiB value |\n|---|---|---|---|");
    let mut dear = false;
    for (title, kind) in kinds {
        let [base, many, wide] =
            [&ordinary, &thousand, &long].map(|fields| cost(&kind, &encoded(&kind, fields)));
        println!(
            "| {title} | {base:.2} | {many:.2} ({:.2}x) | {wide:.2} ({:.2}x) |",
            many / base,
            wide / base
        );
        dear |= many > 2.0 * base || wide > 2.0 * base;
    }
    assert!(
        !dear,
        "a thousand fields or a long value cost more than twice an ordinary body's byte"
    );
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number =
        |at: usize, default| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(default);
    match words.first().map(String::as_str) {
        Some("fuzz") => {
            // The last word that is no number names the target.
            let only = words[1..].iter().find(|word| word.parse::<u64>().is_err());
            fuzz::run(number(1, 10), number(2, 1), only.map(String::as_str));
        }
        Some("targets") => fuzz::list(),
        _ => costs(),
    }
}
