//! The fuzzer: inputs made from seeds by chance, given to one parser after the other.
//!
//! In: seconds a target, a seed, perhaps one target's name. Out: a line a target. Fails: see `main.rs`; also at a name that no target has, with the list.

use std::time::{Duration, Instant};

use crate::processor_ns;
use crate::targets::{Target, targets};

/// No body of 64 KiB may cost more processor time, in an unoptimised build.
pub const SLOW: Duration = Duration::from_millis(250);

/// What parsers give a meaning to.
const WORDS: [&[u8]; 45] = [
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
    b"lt=",
    b"utm_source=",
    b"gclid=",
    b"sub1=",
    b"email=",
    b"?",
    b"#",
    b"/",
    b"//",
    b":",
    b"@",
    b"{click_id}",
    b"1,234.50",
    b"-",
    b"0",
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

/// Prints the names.
#[expect(clippy::print_stdout, reason = "a bench's answer")]
pub fn list() {
    for target in targets() {
        println!("{}: {}", target.name, target.about);
    }
}

/// Runs all targets, or the one of this name.
pub fn run(seconds: u64, seed: u64, only: Option<&str>) {
    let mut targets = targets();
    if let Some(name) = only {
        let names: Vec<&str> = targets.iter().map(|target| target.name).collect();
        assert!(names.contains(&name), "no target is called {name:?}; there are {names:?}");
        targets.retain(|target| target.name == name);
    }
    for target in targets {
        run_one(target, seconds, seed);
    }
}

#[expect(clippy::print_stdout, reason = "a bench's answer")]
fn run_one(mut target: Target, seconds: u64, seed: u64) {
    let seeds = target.seeds.clone();
    // What is made at its first use (the rules of telephone numbers) is no input's cost.
    seeds.iter().for_each(|input| (target.read)(input));
    let mut dice = Dice(seed | 1);
    let mut pool = seeds.clone();
    let (begun, mut count, mut slowest) = (Instant::now(), 0u64, Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let mut input = pool[dice.below(pool.len())].clone();
        let other = pool[dice.below(pool.len())].clone();
        dice.mutate(&mut input, &other);
        let single = processor_ns();
        (target.read)(&input);
        let took = Duration::from_nanos(processor_ns() - single);
        slowest = slowest.max(took);
        assert!(took < SLOW, "{}: an input of {} bytes took {took:?}", target.name, input.len());
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
        "{}: {count} inputs in {seconds} s from seed {seed}, no panic, slowest {slowest:?}",
        target.name
    );
}
