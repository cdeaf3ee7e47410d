//! Hostile zip archives.

use crate::archives::{Tar, ZipEntry, zip, zip_with_count};

use super::Row;

/// Archives that are refused.
pub(super) fn zips() -> Vec<Row> {
    let stored = ZipEntry::stored;
    let kind = |name: &str, mode: u32| zip(&[stored(name, b"x").with(|entry| entry.mode = mode)]);
    let link = |to: &str| stored("l", to.as_bytes()).with(|entry| entry.mode = 0o120_777);
    let plain = stored("a", b"plain text");
    let one = |change: &dyn Fn(&mut ZipEntry)| zip(&[plain.clone().with(change)]);
    let many: Vec<_> = (0..101).map(|at| stored(&format!("f{at}"), b"")).collect();
    let deep = "d/".repeat(9) + "f";
    let bomb = ZipEntry::deflated("zeros", &vec![0; 10 << 20]);
    let whole = zip(std::slice::from_ref(&plain));
    let inner = zip(&[stored("smuggled", b"x")]);
    vec![
        (
            "absolute name",
            zip(&[stored("/etc/passwd", b"x")]),
            "has an absolute name",
        ),
        (
            "dots",
            zip(&[stored("../secret", b"x")]),
            "\"../secret\" leads out",
        ),
        (
            "backslash",
            zip(&[stored("..\\secret", b"x")]),
            "has a backslash",
        ),
        (
            "harmless backslash",
            zip(&[stored("a\\b", b"x")]),
            "has a backslash",
        ),
        (
            "drive letter",
            zip(&[stored("c:/secret", b"x")]),
            "drive letter",
        ),
        ("no name", zip(&[stored("", b"x")]), "has no name"),
        ("NUL", zip(&[stored("a\0b", b"x")]), "NUL"),
        ("deep", zip(&[stored(&deep, b"x")]), "nested too deeply"),
        (
            "long name",
            zip(&[stored(&"x".repeat(400), b"x")]),
            "too long",
        ),
        ("device", kind("a", 0o020_644), "is a device or a pipe"),
        (
            "block device",
            kind("a", 0o060_644),
            "is a device or a pipe",
        ),
        ("pipe", kind("a", 0o010_644), "is a device or a pipe"),
        ("socket", kind("a", 0o140_644), "is a device or a pipe"),
        (
            "link with the name of a directory",
            kind("a/", 0o120_777),
            "a link named like a directory",
        ),
        (
            "directory with bytes",
            kind("a/", 0o040_755),
            "is a directory but has content",
        ),
        ("link out", zip(&[link("../secret")]), "leads out"),
        ("absolute link", zip(&[link("/etc")]), "absolute"),
        ("empty link", zip(&[link("")]), "empty or invalid target"),
        ("long link", zip(&[link(&"a/".repeat(300))]), "too long"),
        (
            "write through a link",
            zip(&[link("."), stored("l/f", b"x")]),
            "goes through",
        ),
        (
            "write over a link",
            zip(&[link("a"), stored("l", b"x")]),
            "replaces, a symbolic link",
        ),
        (
            "swap a directory for a link",
            zip(&[stored("l/f", b"x"), link("../beside")]),
            "would replace a directory with a link",
        ),
        (
            "file over a directory",
            zip(&[stored("a/b", b""), stored("a", b"x")]),
            "would replace a directory",
        ),
        ("encrypted", one(&|entry| entry.flags = 1), "is encrypted"),
        (
            "strongly encrypted",
            one(&|entry| entry.flags = 0x41),
            "is encrypted",
        ),
        (
            "compressed otherwise",
            one(&|entry| entry.method = 12),
            "other than deflate",
        ),
        (
            "unknown method",
            one(&|entry| entry.method = 77),
            "other than deflate",
        ),
        (
            "two names",
            one(&|entry| entry.local_name = Some(b"b".to_vec())),
            "cannot be read",
        ),
        (
            "wrong checksum",
            one(&|entry| entry.crc ^= 1),
            "cannot be read",
        ),
        (
            "more than its declared size",
            one(&|entry| entry.expanded = 3),
            "cannot be read",
        ),
        (
            "less than its declared size",
            one(&|entry| entry.expanded = 3000),
            "does not have its declared size",
        ),
        (
            "huge by its own account",
            one(&|entry| {
                entry.is_64 = true;
                entry.expanded = 1 << 60;
            }),
            "expands to more than 20 MiB",
        ),
        (
            "overflowing size",
            one(&|entry| {
                entry.is_64 = true;
                entry.compressed = u64::MAX;
            }),
            "",
        ),
        (
            "compressed size after the end",
            one(&|entry| {
                entry.is_64 = true;
                entry.compressed = 1 << 40;
            }),
            "",
        ),
        (
            "two entries with the same bytes",
            zip(&[
                plain.clone(),
                plain.clone().with(|entry| entry.offset = Some(0)),
            ]),
            "overlap",
        ),
        (
            "an entry inside another",
            zip(&[
                stored("a", &inner),
                stored("smuggled", b"x").with(|entry| entry.offset = Some(31)),
            ]),
            "overlap",
        ),
        (
            "bytes of the directory",
            one(&|entry| {
                entry.compressed += 20;
                entry.expanded += 20;
            }),
            "",
        ),
        (
            "entry nowhere",
            one(&|entry| entry.offset = Some(1 << 30)),
            "cannot be read",
        ),
        (
            "entry in the directory",
            one(&|entry| entry.offset = Some(41)),
            "cannot be read",
        ),
        ("many entries", zip(&many), "more than 100 entries"),
        (
            "more entries than there are",
            zip_with_count(std::slice::from_ref(&plain), Some(50)),
            "cannot be read",
        ),
        ("bomb", zip(&[bomb]), "more than 100 times its size"),
        (
            "cut off",
            whole[..whole.len() - 30].to_vec(),
            "cannot be read",
        ),
        (
            "bytes in front",
            [b"#!/bin/sh\n".to_vec(), whole].concat(),
            "cannot be read",
        ),
        ("nothing at all", Vec::new(), "cannot be read"),
        (
            "tar by another name",
            Tar::default().file("a", b"x").gz(),
            "cannot be read",
        ),
    ]
}
