//! Hostile tar archives, compressed with gzip.

use crate::archives::{Tar, ZipEntry, gzip, pax_records, zip};

use super::Row;

fn tar() -> Tar {
    Tar::default()
}

/// Archives whose entries have forbidden names or types.
pub(super) fn entries() -> Vec<Row> {
    let deep = "d/".repeat(9) + "f";
    let long = "x".repeat(256);
    vec![
        (
            "absolute name",
            tar().file("/etc/passwd", b"x").gz(),
            "\"/etc/passwd\" has an absolute name",
        ),
        (
            "dots",
            tar().file("../secret", b"x").gz(),
            "\"../secret\" leads out",
        ),
        (
            "dots inside",
            tar().file("a/../../secret", b"x").gz(),
            "leads out",
        ),
        ("dots at the end", tar().dir("a/..").gz(), "leads out"),
        (
            "backslashes",
            tar().file("..\\secret", b"x").gz(),
            "leads out",
        ),
        (
            "mixed slashes",
            tar().file("a/..\\..\\secret", b"x").gz(),
            "leads out",
        ),
        (
            "drive letter",
            tar().file("C:/secret", b"x").gz(),
            "drive letter",
        ),
        (
            "drive and backslash",
            tar().file("c:\\secret", b"x").gz(),
            "drive letter",
        ),
        ("no name", tar().file("", b"x").gz(), "has no name"),
        (
            "the root as a file",
            tar().file("./.", b"x").gz(),
            "would replace the directory itself",
        ),
        (
            "the root as a link",
            tar().symlink(".", "beside").gz(),
            "would replace the directory itself",
        ),
        (
            "NUL in a PAX name",
            tar().pax(&[("path", "a\0b")]).file("a", b"x").gz(),
            "NUL",
        ),
        (
            "NUL in a GNU name",
            tar().long_name(b"a\0b").file("a", b"x").gz(),
            "NUL",
        ),
        (
            "control characters",
            tar().file("/\x1b[31mred\n", b"x").gz(),
            "\"/\u{fffd}[31mred\u{fffd}\" has an absolute name",
        ),
        ("deep", tar().file(&deep, b"x").gz(), "nested too deeply"),
        (
            "long part",
            tar().long_name(long.as_bytes()).file("a", b"x").gz(),
            "too long",
        ),
        (
            "long GNU name",
            tar()
                .long_name("a/".repeat(200).as_bytes())
                .file("a", b"x")
                .gz(),
            "too long",
        ),
        (
            "endless GNU name",
            tar().long_name(&vec![b'a'; 1 << 20]).file("a", b"x").gz(),
            "too long",
        ),
        (
            "endless PAX header",
            tar()
                .pax(&[("comment", &"a".repeat(1 << 20))])
                .file("a", b"x")
                .gz(),
            "more than 64 KiB",
        ),
        (
            "absolute name in PAX",
            tar().pax(&[("path", "/etc/passwd")]).file("a", b"x").gz(),
            "absolute",
        ),
        (
            "dots in a GNU name",
            tar().long_name(b"../secret").file("a", b"x").gz(),
            "leads out",
        ),
        (
            "character device",
            tar().entry(b'3', b"null", b"", b"", |_| {}).gz(),
            "\"null\" is a device or a pipe",
        ),
        (
            "block device",
            tar().entry(b'4', b"sda", b"", b"", |_| {}).gz(),
            "is a device or a pipe",
        ),
        (
            "pipe",
            tar().entry(b'6', b"pipe", b"", b"", |_| {}).gz(),
            "is a device or a pipe",
        ),
        (
            "unknown kind",
            tar().entry(b'V', b"volume", b"", b"", |_| {}).gz(),
            "the unknown type 'V'",
        ),
        (
            "odd kind",
            tar().entry(7, b"x", b"", b"", |_| {}).gz(),
            "the unknown type '\\u{7}'",
        ),
        (
            "GNU sparse file",
            tar().entry(b'S', b"sparse", b"", b"", |_| {}).gz(),
            "sparse",
        ),
        (
            "PAX sparse file",
            tar().pax(&[("GNU.sparse.major", "1")]).file("a", b"x").gz(),
            "sparse",
        ),
        (
            "directory with bytes",
            tar().entry(b'5', b"d", b"", b"x", |_| {}).gz(),
            "has content although",
        ),
        (
            "link with bytes",
            tar().entry(b'2', b"l", b"a", b"x", |_| {}).gz(),
            "has content although",
        ),
        (
            "hard link with bytes",
            tar()
                .file("a", b"x")
                .entry(b'1', b"l", b"a", b"x", |_| {})
                .gz(),
            "has content although",
        ),
        (
            "file named as a directory",
            tar().file("a/", b"x").gz(),
            "named like a directory but has content",
        ),
        (
            "file in a file",
            tar().file("a", b"x").file("a/b", b"x").gz(),
            "goes through something that is not a directory",
        ),
        (
            "file over a directory",
            tar().dir("a").file("a", b"x").gz(),
            "would replace a directory",
        ),
        (
            "directory over a file",
            tar().file("a", b"x").dir("a").gz(),
            "goes through something that is not a directory",
        ),
    ]
}

/// Archives whose links lead out, or are used by later entries.
pub(super) fn links() -> Vec<Row> {
    let chain = (0..50).fold(tar(), |tar, at| {
        tar.symlink(&format!("l{at}"), &format!("l{}", at + 1))
    });
    vec![
        (
            "link out",
            tar().symlink("l", "../secret").gz(),
            "\"l\" is a link that leads out",
        ),
        (
            "link out from below",
            tar().symlink("a/l", "../../secret").gz(),
            "\"a/l\" is a link that leads out",
        ),
        (
            "link out and back",
            tar().symlink("l", "../target/x").gz(),
            "leads out",
        ),
        ("absolute link", tar().symlink("l", "/etc").gz(), "absolute"),
        (
            "absolute link in PAX",
            tar().pax(&[("linkpath", "/etc")]).symlink("l", "a").gz(),
            "absolute",
        ),
        (
            "link to nothing",
            tar().symlink("l", "").gz(),
            "empty or invalid target",
        ),
        (
            "link with a NUL",
            tar().pax(&[("linkpath", "a\0b")]).symlink("l", "a").gz(),
            "empty or invalid target",
        ),
        (
            "link with a long name",
            tar()
                .pax(&[("linkpath", &"a/".repeat(200))])
                .symlink("l", "a")
                .gz(),
            "too long",
        ),
        (
            "write through a link",
            tar().symlink("l", ".").file("l/f", b"x").gz(),
            "\"l/f\" goes through",
        ),
        (
            "write through a link out",
            tar().symlink("l", "../beside").file("l/f", b"x").gz(),
            "goes through",
        ),
        (
            "write over a link",
            tar().symlink("l", "a").file("l", b"x").gz(),
            "replaces, a symbolic link",
        ),
        (
            "make a directory of a link",
            tar().symlink("l", "a").dir("l").gz(),
            "replaces, a symbolic link",
        ),
        (
            "the same link twice",
            tar().symlink("l", "a").symlink("l", "b").gz(),
            "replaces, a symbolic link",
        ),
        (
            "swap a directory for a link",
            tar()
                .dir("d")
                .symlink("d", "../beside")
                .file("d/f", b"x")
                .gz(),
            "would replace a directory with a link",
        ),
        (
            "swap a full directory",
            tar().file("d/f", b"x").symlink("d", "e").gz(),
            "would replace a directory with a link",
        ),
        (
            "chain out",
            tar()
                .symlink("a", "d/up")
                .symlink("d/up", "..")
                .symlink("b", "a/../secret")
                .gz(),
            "leads out",
        ),
        // Each of the two links stays inside if it is read alone.
        (
            "dots behind a link",
            tar()
                .dir("d/e")
                .symlink("d/e/up", "..")
                .symlink("x", "d/e/up/../../secret")
                .gz(),
            "\"x\" is a link that leads out",
        ),
        (
            "dots behind a link to the root",
            tar()
                .symlink("d/root", "..")
                .symlink("x", "d/root/../secret")
                .gz(),
            "leads out",
        ),
        (
            "endless chain",
            chain.gz(),
            "leads through too many other links",
        ),
        (
            "link to itself",
            tar().symlink("l", "l").gz(),
            "leads through too many other links",
        ),
        (
            "circle of links",
            tar().symlink("a", "b/x").symlink("b", "a").gz(),
            "leads through too many other links",
        ),
        (
            "hard link out",
            tar().hard_link("l", "../secret").gz(),
            "is a hard link to a name that leads out",
        ),
        (
            "absolute hard link",
            tar().hard_link("l", "/etc/passwd").gz(),
            "is a hard link to a name that has an absolute name",
        ),
        (
            "hard link to nothing",
            tar().hard_link("l", "none").gz(),
            "not an earlier file of the archive",
        ),
        (
            "hard link to a directory",
            tar().dir("d").hard_link("l", "d").gz(),
            "not an earlier file of the archive",
        ),
        (
            "hard link to the root",
            tar().hard_link("l", ".").gz(),
            "not an earlier file of the archive",
        ),
        (
            "hard link to a link",
            tar().symlink("s", "f").hard_link("l", "s").gz(),
            "not an earlier file of the archive",
        ),
        (
            "hard link through a link",
            tar()
                .file("d/f", b"x")
                .symlink("s", "d")
                .hard_link("l", "s/f")
                .gz(),
            "not an earlier file of the archive",
        ),
        (
            "hard link to itself",
            tar().file("a", b"x").hard_link("a", "a").gz(),
            "hard link to itself",
        ),
        (
            "hard link to a later file",
            tar().hard_link("l", "f").file("f", b"x").gz(),
            "not an earlier file of the archive",
        ),
    ]
}

/// Damaged archives, and archives that programs interpret differently.
pub(super) fn ambiguous() -> Vec<Row> {
    let plain = tar().file("a", &[b'x'; 3000]).end();
    let whole = gzip(&plain);
    let mut flipped = whole.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    let inner = tar().file("smuggled", b"x").0;
    let number = |header: &mut tar::Header, field: &[u8; 12]| {
        header.as_old_mut().size = *field;
    };
    let mut checksum = tar().file("a", b"x").end();
    checksum[0] ^= 1;
    let two_names = tar().long_name(b"one").pax(&[("path", "two")]);
    vec![
        (
            "two sizes",
            tar().pax(&[("size", "1024")]).file("a", &[0; 512]).gz(),
            "\"a\" has two sizes",
        ),
        (
            "smuggled entry",
            tar().pax(&[("size", "0")]).file("a", &inner).gz(),
            "\"a\" has two sizes",
        ),
        (
            "odd size in PAX",
            tar().pax(&[("size", "+1")]).file("a", b"x").gz(),
            "has two sizes",
        ),
        (
            "two names",
            two_names.file("a", b"x").gz(),
            "two different names or link targets",
        ),
        (
            "two GNU names",
            tar().long_name(b"a").long_name(b"b").file("c", b"").gz(),
            "describes a member twice",
        ),
        (
            "two PAX headers",
            tar()
                .pax(&[("path", "a")])
                .pax(&[("path", "b")])
                .file("c", b"")
                .gz(),
            "describes a member twice",
        ),
        (
            "two records",
            tar()
                .pax(&[("path", "a"), ("path", "b")])
                .file("c", b"")
                .gz(),
            "describes a member twice",
        ),
        (
            "a name for all",
            tar()
                .entry(b'g', b"g", b"", &pax_records(&[("path", "a")]), |_| {})
                .file("c", b"")
                .gz(),
            "global PAX header",
        ),
        (
            "a size for all",
            tar()
                .entry(b'g', b"g", b"", &pax_records(&[("size", "0")]), |_| {})
                .file("c", b"")
                .gz(),
            "global PAX header",
        ),
        (
            "PAX record with a wrong length",
            tar()
                .entry(b'x', b"x", b"", b"99 path=a\n", |_| {})
                .file("c", b"")
                .gz(),
            "cannot be read",
        ),
        (
            "PAX that is no text",
            tar()
                .entry(b'x', b"x", b"", &[0xff; 40], |_| {})
                .file("c", b"")
                .gz(),
            "cannot be read",
        ),
        (
            "announced member missing",
            tar().long_name(b"a").gz(),
            "ends after a header whose member is missing",
        ),
        (
            "size that is no number",
            tar()
                .entry(b'0', b"a", b"", b"x", |header| {
                    number(header, b"zzzzzzzzzzzz")
                })
                .gz(),
            "cannot be read",
        ),
        (
            "negative size",
            tar()
                .entry(b'0', b"a", b"", b"x", |header| number(header, &[0xff; 12]))
                .gz(),
            "cannot be read",
        ),
        (
            "huge size",
            tar()
                .entry(b'0', b"a", b"", b"x", |header| header.set_size(1 << 62))
                .gz(),
            "cannot be read",
        ),
        (
            "size after the end",
            tar()
                .entry(b'0', b"a", b"", b"x", |header| header.set_size(5000))
                .gz(),
            "cannot be read",
        ),
        ("wrong checksum", gzip(&checksum), "cannot be read"),
        ("no archive", gzip(&[b'x'; 2048]), "cannot be read"),
        (
            "cut off",
            whole[..whole.len() / 2].to_vec(),
            "cannot be read",
        ),
        (
            "cut off in its last bytes",
            whole[..whole.len() - 4].to_vec(),
            "cannot be read",
        ),
        ("wrong sum of all bytes", flipped, "cannot be read"),
        (
            "bytes after the end",
            [whole, b"garbage".to_vec()].concat(),
            "cannot be read",
        ),
        ("not compressed", plain, "is an uncompressed tar archive"),
        ("nothing at all", Vec::new(), "not compressed with gzip"),
        (
            "text",
            b"FROM scratch\n".to_vec(),
            "not compressed with gzip",
        ),
        (
            "zip by another name",
            zip(&[ZipEntry::stored("a", b"x")]),
            "not compressed with gzip",
        ),
    ]
}

/// Archives that exceed a limit.
pub(super) fn over_limits() -> Vec<Row> {
    let files = (0..101).fold(tar(), |tar, at| tar.file(&format!("f{at}"), b""));
    let directories = (0..40).fold(tar(), |tar, at| tar.file(&format!("a{at}/b/c"), b""));
    let headers = (0..101).fold(tar(), |tar, _| tar.dir("d"));
    let bomb = vec![0; 10 << 20];
    let names = (0..101).fold(tar(), |tar, _| tar.entry(b'g', b"g", b"", b"", |_| {}));
    vec![
        ("many files", files.gz(), "more than 100 entries"),
        (
            "many implied directories",
            directories.gz(),
            "more than 100 entries",
        ),
        (
            "the same directory many times",
            headers.gz(),
            "more than 100 entries",
        ),
        ("many headers", names.gz(), "more than 100 entries"),
        (
            "bomb",
            tar().file("zeros", &bomb[..10 << 20]).gz(),
            "more than 100 times its size",
        ),
        (
            "bomb after the end",
            gzip(&[tar().end(), bomb[..10 << 20].to_vec()].concat()),
            "more than 100 times its size",
        ),
        (
            "bomb in an announced name",
            gzip(&[tar().long_name(&bomb[..10 << 20]).0, vec![0; 1024]].concat()),
            "name that is too long",
        ),
    ]
}
