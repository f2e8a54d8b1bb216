//! Bodies: a mutational fuzzer for every parser that reads what strangers send, and what a byte of each kind of body costs.
//!
//! In: `cargo bench --bench bodies -- fuzz SECONDS [SEED]` or `... -- cost`. Out: one line a parser. Fails: at a panic, at more fields or bytes than may
//! come out of an input, at a single input that takes longer than [`SLOW`]; and where a thousand fields or a 64 KiB value cost more than twice an ordinary
//! body's processor time a byte. Promises: the same seed gives the same inputs.

use std::hint::black_box;
use std::time::{Duration, Instant};

use leadtrail::attribute::meaning::{name, phone, vocabulary::Vocabulary};
use leadtrail::event::Event;
use leadtrail::receive::charset::Charset;
use leadtrail::receive::fields::{BodyType, Caps, Fields};
use rustix::time::{ClockId, clock_gettime};

const VECTORS: &str = include_str!("../tests/fixtures/bodies/vectors.jsonl");

/// No body of 64 KiB may cost more processor time, in an unoptimised build.
const SLOW: Duration = Duration::from_millis(250);

/// What parsers give a meaning to.
const WORDS: [&[u8]; 30] = [
    b"&",
    b"=",
    b"%",
    b"+",
    b"%zz",
    b"_charset_=",
    b"shift_jis",
    b"iso-2022-jp",
    b"\r\n",
    b"\n",
    b"\r",
    b"--B",
    b"--B--",
    b"\r\n--B\r\n",
    b"Content-Disposition: form-data; name=\"",
    b"filename*=utf-8''",
    b"; filename=\"",
    b"\"",
    b"\\",
    b"Content-Type: text/plain; charset=",
    b"\r\n\r\n",
    b"Content-Transfer-Encoding: base64",
    b"{\"a\":",
    b"[",
    b"]",
    b"}",
    b"\"\\ud800\"",
    b"\xff\xfe",
    b"\x1b$B",
    b"\xe2\x80\xae",
];

/// Inputs grow to the cap of the edge and no further.
const INPUT_BYTES_MAX: usize = 64 * 1024;

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn mutate(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        for _ in 0..=self.below(6) {
            let at = self.below(input.len() + 1);
            match self.below(7) {
                0 if at < input.len() => input[at] ^= 1 << self.below(8),
                1 if at < input.len() => input[at] = self.next() as u8,
                2 => input.truncate(at),
                3 => {
                    let word = WORDS[self.below(WORDS.len())];
                    input.splice(at..at, word.iter().copied());
                }
                4 => {
                    let to = (at + self.below(40)).min(input.len());
                    input.drain(at..to);
                }
                5 => {
                    let from = self.below(other.len());
                    input.splice(at..at, other[from..].iter().copied());
                }
                _ => {
                    let to = (at + self.below(80)).min(input.len());
                    let piece = input[at..to].repeat(1 + self.below(20));
                    input.splice(at..at, piece);
                }
            }
        }
        input.truncate(INPUT_BYTES_MAX);
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let body = |line: &str| {
        let vector: serde_json::Value = serde_json::from_str(line).expect("the vectors are JSON");
        let hex = vector["body_hex"].as_str().unwrap_or("").to_owned();
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
        (0..hex.len()).step_by(2).map(byte).collect()
    };
    VECTORS.lines().map(body).chain([br#"{"a":{"b":[1,"x",null]},"c":"d"}"#.to_vec()]).collect()
}

type Parser<'a> = Box<dyn FnMut(&[u8]) + 'a>;

type Target<'a> = (&'static str, Parser<'a>);

fn body(kind: BodyType) -> Parser<'static> {
    Box::new(move |input| {
        if let Ok(fields) = Fields::read(&kind, input, 100) {
            let bytes: usize =
                fields.list.iter().map(|(name, value)| name.len() + value.len()).sum();
            assert!(fields.list.len() <= 100, "more fields than may come");
            // One byte becomes at most three (U+FFFD), nested names repeat at most eight times, a file's line has up to 2 KiB.
            assert!(bytes <= input.len() * 24 + 100 * 2_048, "more bytes than may come");
        }
    })
}

fn targets(words: &Vocabulary) -> Vec<Target<'_>> {
    let japanese = Charset::of_label(b"iso-2022-jp").expect("a charset");
    let (boundary, charset) = ("B".to_owned(), Charset::default());
    vec![
        ("urlencoded", body(BodyType::Urlencoded)),
        ("urlencoded, charset", body(BodyType::UrlencodedIn(japanese))),
        ("multipart", body(BodyType::Multipart { boundary, charset })),
        ("text/plain", body(BodyType::Plain(charset))),
        ("json", body(BodyType::Json)),
        ("content type", Box::new(|input| drop(BodyType::parse(&String::from_utf8_lossy(input))))),
        ("log record", Box::new(|input| drop(black_box(Event::from_record(input))))),
        (
            "names and values",
            Box::new(move |input| {
                let text = String::from_utf8_lossy(input);
                black_box((
                    name::folded(&text).len(),
                    words.field_of(&text),
                    words.is_nothing(&text),
                ));
                let number = phone::e164(&text, &["PL", "DE"]);
                assert!(number.len() <= 22, "a number is longer than numbers are");
            }),
        ),
    ]
}

#[expect(clippy::print_stdout, reason = "a bench's answer")]
fn fuzz(seconds: u64, seed: u64) {
    let words = Vocabulary::load("").expect("the built-in vocabulary is tested");
    let seeds = corpus();
    for (title, mut target) in targets(&words) {
        // What is compiled at its first use (the rules of telephone numbers) is no input's cost.
        seeds.iter().for_each(|input| target(input));
        target(b"+48 600 100 200");
        target(b"600 100 200");
        let mut dice = Dice(seed | 1);
        let mut pool = seeds.clone();
        let (begun, mut count, mut slowest) = (Instant::now(), 0u64, Duration::ZERO);
        while begun.elapsed() < Duration::from_secs(seconds) {
            let mut input = pool[dice.below(pool.len())].clone();
            let other = pool[dice.below(pool.len())].clone();
            dice.mutate(&mut input, &other);
            let single = processor_ns();
            target(&input);
            let took = Duration::from_nanos(processor_ns() - single);
            slowest = slowest.max(took);
            assert!(took < SLOW, "{title}: an input of {} bytes took {took:?}", input.len());
            count += 1;
            // Some of what was made is what the next is made from.
            if count.is_multiple_of(64) && input.len() < 4_096 {
                let at = dice.below(pool.len().max(512));
                match pool.get_mut(at) {
                    Some(place) if at >= seeds.len() => *place = input,
                    Some(_) => {}
                    None => pool.push(input),
                }
            }
        }
        println!(
            "{title}: {count} inputs in {seconds} s from seed {seed}, no panic, slowest {slowest:?}"
        );
    }
}

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
        Some("fuzz") => fuzz(number(1, 10), number(2, 1)),
        _ => costs(),
    }
}
