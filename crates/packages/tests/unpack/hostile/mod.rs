//! A corpus of hostile archives. Each is refused with its own reason and changes nothing outside.

mod tars;
mod zips;

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use slipway_packages::Archive;

use crate::archives::Tar;
use crate::fixture::{Fixture, limits};

/// The name of the case, the archive, and a part of the expected message.
type Row = (&'static str, Vec<u8>, &'static str);

fn refuse(kind: Archive, rows: Vec<Row>) {
    let mut wrong = Vec::new();
    for (name, bytes, expected) in rows {
        let fixture = Fixture::new();
        let result = match fixture.unpack(kind, &bytes) {
            Ok(unpacked) => format!("{unpacked:?}"),
            Err(error) => format!("refused: {error}"),
        };
        assert!(
            !result.contains(char::is_control) && result.chars().count() < 400,
            "{result:?}"
        );
        if !result.starts_with("refused: the archive") || !result.contains(expected) {
            wrong.push(format!("{name}: expected {expected:?}, got {result}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn entries_with_forbidden_names_or_types_are_refused() {
    refuse(Archive::TarGz, tars::entries());
}

#[test]
fn links_that_lead_out_are_refused() {
    refuse(Archive::TarGz, tars::links());
}

#[test]
fn ambiguous_and_damaged_archives_are_refused() {
    refuse(Archive::TarGz, tars::ambiguous());
}

#[test]
fn archives_over_a_limit_are_refused() {
    refuse(Archive::TarGz, tars::over_limits());
}

#[test]
fn hostile_zip_archives_are_refused() {
    refuse(Archive::Zip, zips::zips());
}

#[test]
fn existing_links_are_not_followed() {
    for (name, link, archive) in [
        (
            "a directory outside",
            "../beside",
            Tar::default().file("l/f", b"x").gz(),
        ),
        (
            "a file outside",
            "../secret",
            Tar::default().file("l/f", b"x").gz(),
        ),
        (
            "a link out that another would use",
            "../beside",
            Tar::default().symlink("m", "l/../../secret").gz(),
        ),
        (
            "a hard link to what is outside",
            "../secret",
            Tar::default().hard_link("m", "l").gz(),
        ),
        (
            "a hard link through a link",
            "../beside",
            Tar::default().hard_link("m", "l/file").gz(),
        ),
    ] {
        let fixture = Fixture::new();
        fixture.put_link("l", link);
        let refusal = fixture.try_unpack(Archive::TarGz, &archive, limits());
        let refusal = refusal.unwrap_err().to_string();
        assert!(
            refusal.starts_with("the archive is refused: its entry"),
            "{name}: {refusal}"
        );
        std::fs::remove_file(fixture.target().join("l")).unwrap();
        assert_eq!(
            std::fs::read_dir(fixture.target()).unwrap().count(),
            0,
            "{name}"
        );
    }
}

/// Stops the other thread, even if this one panics.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Another thread keeps replacing a directory with a link that leads out of the tree.
#[test]
fn nothing_is_written_outside_while_another_thread_changes_the_tree() {
    let fixture = Fixture::new();
    let (dir, aside) = (fixture.target().join("d"), fixture.target().join("aside"));
    let archive = Tar::default()
        .file("d/e/f", b"x")
        .file("d/g", b"y")
        .hard_link("d/h", "d/g")
        .symlink("d/e/l", "../g")
        .gz();
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut rounds = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                // These fail if the other thread was faster.
                let _ = std::fs::rename(&dir, &aside);
                let _ = symlink("../beside", &dir);
                // The link has to stay for a moment, or the other thread would hardly ever see it.
                while dir.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
                    rounds += 1;
                    if rounds.is_multiple_of(64) {
                        break;
                    }
                }
                let _ = std::fs::remove_file(&dir);
                let _ = std::fs::rename(&aside, &dir);
            }
        });
        let _stop = Stop(&stop);
        for _ in 0..200 {
            let _ = fixture.try_unpack(Archive::TarGz, &archive, limits());
        }
    });
}

#[test]
fn an_archive_over_the_size_limit_is_not_opened() {
    let fixture = Fixture::new();
    let error = fixture.unpack(Archive::Zip, &vec![0; (1 << 20) + 1]);
    let message = error.unwrap_err().to_string();
    assert_eq!(message, "the package is larger than 1 MiB");
}
