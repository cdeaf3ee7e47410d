//! Throughput of masking with 100 random secrets, without and with a private key, next to copying and
//! to plain Aho-Corasick over the same forms.
//!
//! Aho-Corasick needs each form to be enumerated, which is possible for a few spellings only, and holds
//! nothing back. Run it with `cargo xtask bench masking`.

#[path = "throughput/outputs.rs"]
mod outputs;
#[path = "throughput/random.rs"]
mod random;

use std::hint::black_box;
use std::time::{Duration, Instant};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use slipway_masking::secrets::{Masker, Secrets};

use crate::random::Random;

const SECRETS: usize = 100;
const SECRET_LENGTH: usize = 32;
/// How many lines of 64 characters a private key of 3 kB has.
const KEY_LINES: usize = 48;
/// How much time each measurement takes at least.
const DURATION: Duration = Duration::from_millis(250);

#[expect(clippy::print_stdout, reason = "this is the result")]
fn main() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut secrets: Vec<String> = (0..SECRETS)
        .map(|_| random.text(random::PRINTABLE, SECRET_LENGTH))
        .collect();
    let outputs = outputs::all(&mut random);
    measure_all(&format!("{SECRETS} secrets"), &secrets, &outputs);
    secrets.push(private_key(&mut random));
    measure_all("and a private key", &secrets, &outputs);

    let large: Vec<String> = (0..60)
        .map(|_| random.text(random::PRINTABLE, 64 * 1024))
        .collect();
    let started = Instant::now();
    black_box(Secrets::new(large.iter().map(String::as_str)));
    println!(
        "60 secrets of 64 KiB are prepared in {:?}",
        started.elapsed()
    );
}

/// Prints one table of throughputs.
#[expect(clippy::print_stdout, reason = "this is the result")]
fn measure_all(name: &str, secrets: &[String], outputs: &[(&str, Vec<u8>)]) {
    let forms: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
    let plain = AhoCorasick::new(&forms).expect("the forms are small");
    let started = Instant::now();
    let masked = Secrets::new(secrets.iter().map(String::as_str));
    println!("{name}: prepared in {:?}\n", started.elapsed());
    println!(
        "{:20} {:>26} {:>26} {:>26}",
        "GB/s in 64 KiB, by line", "memcpy", "Aho-Corasick", "masker"
    );
    for (name, output) in outputs {
        let lines: Vec<&[u8]> = output.split_inclusive(|byte| *byte == b'\n').collect();
        let blocks: Vec<&[u8]> = output.chunks(64 * 1024).collect();
        let find = || |piece: &[u8]| plain.find_iter(piece).count();
        println!(
            "{name:20} {:15.2}, {:9.2} {:15.2}, {:9.2} {:15.2}, {:9.2}",
            measure(&blocks, copier),
            measure(&lines, copier),
            measure(&blocks, find),
            measure(&lines, find),
            measure(&blocks, || masker(&masked)),
            measure(&lines, || masker(&masked)),
        );
    }
    println!();
}

/// The forms of a secret, and of each line of it, that can be enumerated.
fn forms(secret: &str) -> Vec<String> {
    let texts = secret.lines().chain([secret]);
    texts.flat_map(forms_of_text).collect()
}

fn forms_of_text(text: &str) -> Vec<String> {
    let each = |write: &dyn Fn(u8) -> String| text.bytes().map(write).collect::<String>();
    let percent = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let json = serde_json::to_string(text).expect("a text");
    let html = text.replace('&', "&amp;").replace('<', "&lt;");
    let mut forms = vec![
        text.to_owned(),
        percent.to_lowercase(),
        percent.replace("%20", "+"),
        percent,
        json[1..json.len() - 1].replace('/', "\\/"),
        json[1..json.len() - 1].to_owned(),
        html.replace('>', "&gt;").replace('"', "&quot;"),
        each(&|byte| format!("{byte:02x}")),
        each(&|byte| format!("{byte:02X}")),
        text.replace('\'', "'\\''"),
    ];
    for before in 0..3 {
        let whole = [&[b'-'; 2][..before], text.as_bytes()].concat();
        let shared = (before * 8).div_ceil(6)..whole.len() * 8 / 6;
        forms.push(STANDARD.encode(&whole)[shared.clone()].to_owned());
        forms.push(URL_SAFE.encode(&whole)[shared].to_owned());
    }
    forms
}

/// A private key as OpenSSL writes it.
fn private_key(random: &mut Random) -> String {
    let lines: Vec<String> = (0..KEY_LINES)
        .map(|_| random.text(random::BASE64, 64))
        .collect();
    let lines = lines.join("\n");
    format!("-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n")
}

fn copier() -> impl FnMut(&[u8]) -> usize {
    let mut shown = Vec::new();
    move |piece| {
        shown.clear();
        shown.extend_from_slice(piece);
        black_box(&shown).len()
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
