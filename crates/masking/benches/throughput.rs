//! Throughput of masking with 100 random secrets, next to plain Aho-Corasick.
//!
//! Aho-Corasick only finds the secrets as they are, and holds nothing back; the masker also finds them
//! in all other forms. Run it with `cargo xtask bench masking`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aho_corasick::AhoCorasick;
use slipway_masking::secrets::{Masker, Secrets};

const SECRETS: usize = 100;
const OUTPUT: usize = 16 << 20;
/// How long each measurement lasts at least.
const DURATION: Duration = Duration::from_millis(500);

/// Reproducible random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % end
    }

    fn text(&mut self, letters: &[u8], length: usize) -> String {
        (0..length)
            .map(|_| char::from(letters[self.below(letters.len())]))
            .collect()
    }
}

#[expect(clippy::print_stdout, reason = "this is the result")]
fn main() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let letters: Vec<u8> = (b'!'..=b'~').collect();
    let secrets: Vec<String> = (0..SECRETS)
        .map(|_| {
            let length = 16 + random.below(32);
            random.text(&letters, length)
        })
        .collect();
    let plain = AhoCorasick::new(&secrets).expect("the secrets are small");
    let started = Instant::now();
    let masked = Secrets::new(secrets.iter().map(String::as_str));
    println!("{SECRETS} secrets are prepared in {:?}", started.elapsed());
    let large: Vec<String> = (0..60).map(|_| random.text(&letters, 64 * 1024)).collect();
    let started = Instant::now();
    black_box(Secrets::new(large.iter().map(String::as_str)));
    println!(
        "60 secrets of 64 KiB are prepared in {:?}\n",
        started.elapsed()
    );

    println!(
        "{:24} {:>14} {:>14} {:>14} {:>14}",
        "GB/s", "Aho-Corasick", "masker", "AC by line", "by line"
    );
    for (name, output) in [
        ("build output", build_output(&mut random)),
        ("JSON lines", json_lines(&mut random)),
        (
            "base64",
            wrapped(
                &mut random,
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
            ),
        ),
        ("random bytes", random_bytes(&mut random)),
    ] {
        let lines: Vec<&[u8]> = output.split_inclusive(|byte| *byte == b'\n').collect();
        let blocks: Vec<&[u8]> = output.chunks(64 * 1024).collect();
        println!(
            "{name:24} {:14.2} {:14.2} {:14.2} {:14.2}",
            measure(&blocks, || |piece: &[u8]| plain.find_iter(piece).count()),
            measure(&blocks, || masker(&masked)),
            measure(&lines, || |piece: &[u8]| plain.find_iter(piece).count()),
            measure(&lines, || masker(&masked)),
        );
    }
}

fn masker(secrets: &Secrets) -> impl FnMut(&[u8]) -> usize {
    let mut masker = Masker::new(secrets.clone());
    let mut shown = Vec::new();
    move |piece| {
        shown.clear();
        masker.push(piece, &mut shown);
        black_box(&shown).len()
    }
}

/// How much time this thread had on a processor: other work on this host must not count.
fn processor_time() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let running = times.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(running.expect("the benchmark needs /proc of Linux"))
}

/// How many gigabytes of these pieces are processed in a second of one processor.
fn measure<F: FnMut(&[u8]) -> usize>(pieces: &[&[u8]], start: impl Fn() -> F) -> f64 {
    let size: usize = pieces.iter().map(|piece| piece.len()).sum();
    let started = processor_time();
    let mut rounds = 0;
    while processor_time() - started < DURATION {
        let mut process = start();
        for piece in pieces {
            black_box(process(piece));
        }
        rounds += 1;
    }
    (size * rounds) as f64 / (processor_time() - started).as_secs_f64() / 1e9
}

/// Lines as compilers and package managers print them.
fn build_output(random: &mut Random) -> Vec<u8> {
    let hex = b"0123456789abcdef";
    let words = b"abcdefghijklmnopqrstuvwxyz";
    let mut output = String::new();
    while output.len() < OUTPUT {
        let (step, length) = (random.below(30), 3 + random.below(12));
        let (name, number) = (random.text(words, length), random.below(1000));
        output += &match random.below(5) {
            0 => format!(
                "#{step} Get:{number} http://deb.debian.org/debian bookworm/main amd64 {name} all 2.{number} [{number} kB]\n"
            ),
            1 => format!("#{step}    Compiling {name} v0.{step}.{number} (/src/crates/{name})\n"),
            2 => format!(
                "#{step} sha256:{} {number}.{step}MB / 120.5MB 12.{step}s\n",
                random.text(hex, 64)
            ),
            3 => format!(
                "#{step} npm warn deprecated {name}@{number}.0.0: This version isn't supported & \"will not\" be updated\n"
            ),
            _ => format!(
                "#{step} [{number}/1000] cc -O2 -I include -c -o build/{name}.o src/{name}.c\n"
            ),
        };
    }
    output.into_bytes()
}

/// Lines that contain many escapes.
fn json_lines(random: &mut Random) -> Vec<u8> {
    let words = b"abcdefghijklmnopqrstuvwxyz";
    let mut output = String::new();
    while output.len() < OUTPUT {
        let (name, number) = (random.text(words, 8), random.below(100_000));
        output += &format!(
            "{{\"level\":\"info\",\"msg\":\"said \\\"{name}\\\"\\n\",\"url\":\"/a%20b?q={number}&amp;x\",\"id\":{number}}}\n"
        );
    }
    output.into_bytes()
}

/// Lines of 76 random characters.
fn wrapped(random: &mut Random, letters: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    while output.len() < OUTPUT {
        output.extend(random.text(letters, 76).into_bytes());
        output.push(b'\n');
    }
    output
}

fn random_bytes(random: &mut Random) -> Vec<u8> {
    (0..OUTPUT).map(|_| random.below(256) as u8).collect()
}
