//! Generates archives from arbitrary bytes. The members have few names and many links, so that they
//! conflict often.

use crate::archives::{Tar, ZipEntry};
use crate::fixture::NAMES;

/// The number of bytes that describe one member.
const STEP: usize = 4;

struct Step {
    kind: u8,
    name: String,
    to: String,
}

fn steps(bytes: &[u8]) -> impl Iterator<Item = Step> + '_ {
    bytes.chunks_exact(STEP).take(40).map(|step| Step {
        kind: step[0],
        name: name(step[1]),
        to: target(u16::from_le_bytes([step[2], step[3]])),
    })
}

/// A path of one to three parts, each from two bits.
fn name(bits: u8) -> String {
    let depth = usize::from(bits >> 6).max(1);
    let parts = (0..depth).map(|at| NAMES[usize::from(bits >> (2 * at)) % 4]);
    parts.collect::<Vec<_>>().join("/")
}

/// A link target of one to five parts, each from three bits. Many of them are `..`.
fn target(bits: u16) -> String {
    const PARTS: [&str; 8] = ["a", "b", "c", "d", "..", "..", ".", "..x"];
    let count = usize::from(bits >> 13) % 5 + 1;
    let parts = (0..count).map(|at| PARTS[usize::from(bits >> (3 * at)) % 8]);
    parts.collect::<Vec<_>>().join("/")
}

/// Generates a tar archive.
pub(crate) fn tar(bytes: &[u8]) -> Tar {
    steps(bytes).fold(Tar::default(), |tar, step| match step.kind % 8 {
        0 | 1 => tar.file(&step.name, step.to.as_bytes()),
        2 => tar.dir(&step.name),
        3 => tar.hard_link(&step.name, &step.to),
        4 => tar.hard_link(&step.name, &name(step.kind)),
        5 => tar.pax(&[("linkpath", &step.to)]).symlink(&step.name, "x"),
        _ => tar.symlink(&step.name, &step.to),
    })
}

/// Generates the members of a zip archive.
pub(crate) fn zip(bytes: &[u8]) -> Vec<ZipEntry> {
    let entries = steps(bytes).map(|step| match step.kind % 8 {
        0 | 1 => ZipEntry::deflated(&step.name, step.to.as_bytes()),
        2 => ZipEntry::stored(&format!("{}/", step.name), b""),
        3 => ZipEntry::stored(&step.name, step.to.as_bytes()),
        _ => ZipEntry::stored(&step.name, step.to.as_bytes()).with(|entry| entry.mode = 0o120_777),
    });
    entries.collect()
}
