//! The files that one job passes to another: every tree is restored, and nothing outside changes.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use slipway_packages::Archive;

use crate::archives::{Tar, ZipEntry, zip};
use crate::fixture::Fixture;
use crate::generated;
use crate::hostile::Stop;

fn file(name: &[u8], data: &str) -> ZipEntry {
    let name = name.to_vec();
    ZipEntry::stored("", data.as_bytes()).with(|entry| entry.name = name.clone())
}

fn link(name: &str, to: &[u8]) -> ZipEntry {
    ZipEntry::stored(name, to).with(|entry| entry.mode = 0o120_777)
}

fn directory(name: &str, mode: u32) -> ZipEntry {
    ZipEntry::stored(name, b"").with(|entry| entry.mode = 0o040_000 | mode)
}

impl Fixture {
    fn path(&self, name: &[u8]) -> PathBuf {
        self.target().join(OsStr::from_bytes(name))
    }
}

#[test]
fn names_may_contain_every_byte_but_a_slash() {
    let fixture = Fixture::new();
    let mut names: Vec<Vec<u8>> = [
        "dev-foo\\x2dbar.swap",
        "\\start",
        "..\\up",
        "end\\",
        "c:",
        "c:x",
        "o/C:\\dos",
        "new\nline",
        "é",
        " ",
        "...",
    ]
    .map(|name| name.as_bytes().to_vec())
    .into();
    names.push(b"latin-\xe9".to_vec());
    names.push((1..=255).filter(|byte| *byte != b'/').collect::<Vec<u8>>()[..250].to_vec());
    let entries: Vec<_> = names.iter().map(|name| file(name, "x")).collect();
    fixture.restore(&zip(&entries)).unwrap();
    for name in names {
        let path = fixture.path(&name);
        assert!(path.symlink_metadata().unwrap().is_file(), "{path:?}");
    }
}

#[test]
fn links_are_restored_wherever_they_lead() {
    let fixture = Fixture::new();
    let targets: [&[u8]; 8] = [
        b"/usr/bin/python3",
        b"../../../../secret",
        b"..",
        b".",
        b"nothing/here",
        b"a\\b:c",
        b"latin-\xe9",
        b"self",
    ];
    let entries: Vec<_> = targets
        .iter()
        .enumerate()
        .map(|(at, to)| link(&format!("bin/{at}"), to))
        .collect();
    fixture.restore(&zip(&entries)).unwrap();
    for (at, to) in targets.into_iter().enumerate() {
        let found = fs::read_link(fixture.target().join(format!("bin/{at}"))).unwrap();
        assert_eq!(found.as_os_str().as_bytes(), to);
    }
}

#[test]
fn permissions_and_modification_times_are_restored() {
    let fixture = Fixture::new();
    // The field "UT" with a modification time, as Info-ZIP and Go write it.
    let unix = |at: i32| {
        let mut field = vec![b'U', b'T', 5, 0, 1];
        field.extend(at.to_le_bytes());
        field
    };
    // The field of NTFS, which covers later years.
    let windows = |at: u64| {
        let mut field = vec![0x0a, 0, 32, 0, 0, 0, 0, 0, 1, 0, 24, 0];
        for _ in 0..3 {
            field.extend(((at + 11_644_473_600) * 10_000_000).to_le_bytes());
        }
        field
    };
    let entry = |name: &str, mode: u32, extra: Vec<u8>| {
        ZipEntry::stored(name, b"").with(|entry| {
            entry.mode = mode;
            entry.extra = extra.clone();
        })
    };
    let archive = zip(&[
        entry("d/", 0o040_550, unix(1_500_000_000)),
        entry("d/old", 0o100_640, unix(-86_400)),
        entry("d/late", 0o100_755, windows(4_500_000_000)),
        entry("d/private", 0o104_400, unix(1)),
        entry("d/link", 0o120_777, unix(2)).with(|entry| {
            entry.data = b"old".to_vec();
            entry.crc = crc32fast::hash(b"old");
            (entry.compressed, entry.expanded) = (3, 3);
        }),
        // Without a field, the coarse time counts, which every entry has.
        entry("d/coarse", 0o100_600, Vec::new()),
    ]);
    fixture.restore(&archive).unwrap();
    for (name, mode, time) in [
        ("d", 0o750, 1_500_000_000),
        ("d/old", 0o640, -86_400),
        ("d/late", 0o755, 4_500_000_000),
        ("d/private", 0o600, 1),
        ("d/link", 0o777, 2),
        // 2020-01-01
        ("d/coarse", 0o600, 1_577_836_800),
    ] {
        let metadata = fixture.target().join(name).symlink_metadata().unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{name}");
        assert_eq!(metadata.mtime(), time, "{name}");
    }
}

#[test]
fn the_archive_replaces_what_exists() {
    let fixture = Fixture::new();
    for path in ["dir/old", "file", "link/old", "kept/old"] {
        fixture.put(path, "old");
    }
    fixture.put_link("out", "../beside");
    fixture.put("plain", "old");
    fixture.put_link("to-file", "plain");
    fixture.put_link("absolute", "/");
    let archive = zip(&[
        file(b"dir", "now a file"),
        file(b"file/new", "now a directory"),
        link("link", b"/usr/bin"),
        file(b"kept/new", "new"),
        file(b"out/file", "below an outward link"),
        file(b"to-file/new", "below a link to a file"),
        directory("absolute/", 0o755),
    ]);
    fixture.restore(&archive).unwrap();
    assert_eq!(fixture.read("dir"), "now a file");
    assert_eq!(fixture.read("file/new"), "now a directory");
    assert_eq!(
        fixture.read("kept/old") + &fixture.read("kept/new"),
        "oldnew"
    );
    assert_eq!(fixture.read("out/file"), "below an outward link");
    assert_eq!(fixture.read("to-file/new"), "below a link to a file");
    for (name, is_link) in [("link", true), ("out", false), ("absolute", false)] {
        let found = fixture.target().join(name).symlink_metadata().unwrap();
        assert_eq!(found.is_symlink(), is_link, "{name}");
    }
}

#[test]
fn entries_below_an_existing_link_are_stored_where_it_leads() {
    let fixture = Fixture::new();
    fixture.put("real/sub/old", "old");
    fixture.put_link("lnk", "real");
    fixture.put_link("real/again", "../lnk/./sub");
    let archive = zip(&[
        file(b"lnk/sub/f", "one"),
        file(b"lnk/again/g", "two"),
        directory("lnk/empty/", 0o755),
        file(b"other/f", "three"),
        file(b"lnk/h", "four"),
    ]);
    fixture.restore(&archive).unwrap();
    assert_eq!(fixture.read("real/h"), "four");
    assert_eq!(fixture.read("real/sub/f"), "one");
    assert_eq!(fixture.read("real/sub/g"), "two");
    assert_eq!(fixture.read("lnk/sub/old"), "old");
    assert!(fixture.target().join("real/empty").is_dir());
    let kept = fixture.target().join("lnk").symlink_metadata().unwrap();
    assert!(kept.is_symlink());
}

#[test]
fn archives_that_contradict_themselves_or_lead_out_are_refused() {
    for (name, entries, expected) in [
        (
            "write through its own link",
            vec![link("l", b"/etc"), file(b"l/passwd", "x")],
            "goes through",
        ),
        (
            "replace its own directory with a link",
            vec![file(b"l/f", "x"), link("l", b"../beside")],
            "would replace a directory",
        ),
        (
            "replace its own directory with a file",
            vec![directory("l/", 0o755), file(b"l", "x")],
            "would replace a directory",
        ),
        (
            "replace its own file with a directory",
            vec![file(b"l", "x"), file(b"l/f", "x")],
            "is not a directory",
        ),
        ("dots", vec![file(b"a/../../secret", "x")], "leads out"),
        ("absolute", vec![file(b"/secret", "x")], "absolute"),
        (
            "backslash of another system",
            vec![file(b"a\\b", "x")],
            "has a backslash",
        ),
        (
            "device",
            vec![file(b"a", "").with(|entry| entry.mode = 0o020_644)],
            "is a device",
        ),
    ] {
        let fixture = Fixture::new();
        let mut archive = zip(&entries);
        if name == "backslash of another system" {
            // The system is the second byte of the version in the central header.
            let at = archive.windows(4).position(|four| four == b"PK\x01\x02");
            archive[at.unwrap() + 5] = 0;
        }
        let error = fixture.restore(&archive).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
}

#[test]
fn an_outward_link_of_one_archive_is_not_followed_by_the_next() {
    let fixture = Fixture::new();
    let first = [
        link("l", b"../beside"),
        link("f", b"../secret"),
        link("m", b"l"),
    ];
    fixture.restore(&zip(&first)).unwrap();
    let second = [
        file(b"l/file", "harm"),
        file(b"f", "harm"),
        file(b"m/file", "harm"),
        directory("f2/", 0o755),
    ];
    fixture.restore(&zip(&second)).unwrap();
    assert_eq!(fixture.read("l/file"), "harm");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// `Fixture` checks after each archive that nothing outside changed.
    #[test]
    fn no_archives_change_anything_outside(
        first in prop::collection::vec(any::<u8>(), 0..80),
        second in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let fixture = Fixture::new();
        for bytes in [&first, &second, &first] {
            let _ = fixture.restore(&zip(&generated::zip(bytes)));
        }
    }
}

/// Another thread keeps replacing a directory with a link that leads out of the tree.
#[test]
fn nothing_is_restored_outside_while_another_thread_changes_the_tree() {
    let fixture = Fixture::new();
    let (dir, aside) = (fixture.path(b"d"), fixture.path(b"aside"));
    let archive = zip(&[
        directory("d/", 0o700),
        file(b"d/e/f", "x"),
        file(b"d/g", "y"),
        link("d/e/l", b"../g"),
    ]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // These fail if the other thread was faster.
                let _ = fs::rename(&dir, &aside);
                let _ = std::os::unix::fs::symlink("../beside", &dir);
                std::thread::yield_now();
                let _ = fs::remove_file(&dir);
                let _ = fs::rename(&aside, &dir);
            }
        });
        let _stop = Stop(&stop);
        for _ in 0..200 {
            let _ = fixture.restore(&archive);
        }
    });
}

#[test]
fn the_directory_of_a_user_is_restored_from_a_tar_archive() {
    let fixture = Fixture::new();
    let names: [&[u8]; 7] = [
        b"c:x",
        b"back\\slash",
        b"..\\up",
        b"new\nline",
        b"latin-\xe9",
        b"\\start",
        b"C:\\dos",
    ];
    let files = names.iter().fold(Tar::default(), |tar, name| {
        tar.long_name(name).file("cut", b"x")
    });
    let archive = files
        .entry(b'5', b"open/", b"", b"", |header| header.set_mode(0o3777))
        .file_with_mode("open/run", 0o4751)
        .file_with_mode("readable", 0o444)
        .hard_link("c:again", "open/run")
        .symlink("absolute", "/etc/passwd")
        .symlink("outward", "../../../secret")
        .symlink("loop", "loop")
        .gz();
    fixture.restore_kind(Archive::TarGz, &archive).unwrap();
    for name in names {
        assert!(fixture.path(name).is_file(), "{name:?}");
    }
    let metadata = |name: &[u8]| fixture.path(name).symlink_metadata().unwrap();
    for (name, mode) in [("open", 0o3777), ("open/run", 0o4751), ("readable", 0o444)] {
        let found = metadata(name.as_bytes()).permissions().mode() & 0o7777;
        assert_eq!(found, mode, "{name}: {found:o}");
    }
    assert_eq!(metadata(b"open").mtime(), 1_700_000_000);
    assert_eq!(metadata(b"c:again").ino(), metadata(b"open/run").ino());
    for (name, to) in [
        ("absolute", "/etc/passwd"),
        ("outward", "../../../secret"),
        ("loop", "loop"),
    ] {
        let found = fs::read_link(fixture.path(name.as_bytes())).unwrap();
        assert_eq!(found.to_str(), Some(to));
    }
}

#[test]
fn tar_archives_that_lead_out_are_refused() {
    for (name, archive, expected) in [
        (
            "through its own link",
            Tar::default().symlink("l", "/etc").file("l/passwd", b"x"),
            "goes through",
        ),
        (
            "dots",
            Tar::default().file("a/../../secret", b"x"),
            "leads out",
        ),
        ("absolute", Tar::default().file("/secret", b"x"), "absolute"),
        (
            "a hard link to a link",
            Tar::default().symlink("l", "../secret").hard_link("m", "l"),
            "is a hard link to something",
        ),
    ] {
        let fixture = Fixture::new();
        let refused = fixture.restore_kind(Archive::TarGz, &archive.gz());
        let error = refused.unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
}
