//! What builds print.

use crate::random::{BASE64, HEX, Random, WORDS};

/// The size of each output, in bytes.
const SIZE: usize = 4 << 20;

/// Each kind of output, and its name.
pub(crate) fn all(random: &mut Random) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("build output", lines(|| build_line(random))),
        ("compiler output", lines(|| compiler_line(random))),
        ("JSON with escapes", lines(|| json_line(random))),
        ("base64", lines(|| random.text(BASE64, 76) + "\n")),
        ("log with base64", lines(|| mixed_line(random))),
        (
            "random bytes",
            (0..SIZE).map(|_| random.below(256) as u8).collect(),
        ),
    ]
}

fn lines(mut line: impl FnMut() -> String) -> Vec<u8> {
    let mut output = String::new();
    while output.len() < SIZE {
        output += &line();
    }
    output.into_bytes()
}

/// A line as BuildKit and package managers print it.
fn build_line(random: &mut Random) -> String {
    let (step, length) = (random.below(30), 3 + random.below(12));
    let (name, number) = (random.text(WORDS, length), random.below(1000));
    match random.below(5) {
        0 => format!(
            "#{step} Get:{number} http://deb.debian.org/debian bookworm/main amd64 {name} all 2.{number} [{number} kB]\n"
        ),
        1 => format!("#{step}    Compiling {name} v0.{step}.{number} (/src/crates/{name})\n"),
        2 => format!(
            "#{step} sha256:{} {number}.{step}MB / 120.5MB 12.{step}s\n",
            random.text(HEX, 64)
        ),
        3 => format!(
            "#{step} npm warn deprecated {name}@{number}.0.0: This version isn't supported & \"will not\" be updated\n"
        ),
        _ => {
            format!("#{step} [{number}/1000] cc -O2 -I include -c -o build/{name}.o src/{name}.c\n")
        }
    }
}

/// A line without any escape or quote.
fn compiler_line(random: &mut Random) -> String {
    let (name, line) = (random.text(WORDS, 9), random.below(2000));
    let other = random.text(WORDS, 12);
    format!(
        "src/{name}/{other}.c:{line}:17: warning: unused variable {other} [-Wunused-variable]\n"
    )
}

/// A line that contains many escapes.
fn json_line(random: &mut Random) -> String {
    let (name, number) = (random.text(WORDS, 8), random.below(100_000));
    format!(
        "{{\"level\":\"info\",\"msg\":\"said \\\"{name}\\\"\\n\",\"url\":\"/a%20b?q={number}&amp;x\",\"id\":{number}}}\n"
    )
}

/// A line of which two thirds are base64 text.
fn mixed_line(random: &mut Random) -> String {
    let step = random.below(30);
    format!(
        "#{step} 12.4 data-{step}: application/octet-stream;base64,{}\n",
        random.text(BASE64, 120)
    )
}
