//! The corpus of hostile archives: each is refused for its own reason, and leaves nothing outside.

mod tars;
mod zips;

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use slipway_packages::Archive;

use crate::ground::{Ground, limits};
use crate::makers::Tar;

/// A name for the archive, the archive, and what the refusal says.
type Row = (&'static str, Vec<u8>, &'static str);

fn refuse(kind: Archive, rows: Vec<Row>) {
    let mut wrong = Vec::new();
    for (name, bytes, expected) in rows {
        let ground = Ground::new();
        let told = match ground.unpack(kind, &bytes) {
            Ok(unpacked) => format!("{unpacked:?}"),
            Err(error) => format!("refused: {error}"),
        };
        assert!(
            !told.contains(char::is_control) && told.chars().count() < 400,
            "{told:?}"
        );
        if !told.starts_with("refused: the archive") || !told.contains(expected) {
            wrong.push(format!("{name}: expected {expected:?}, got {told}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn entries_that_have_no_place_are_refused() {
    refuse(Archive::TarGz, tars::entries());
}

#[test]
fn links_that_lead_astray_are_refused() {
    refuse(Archive::TarGz, tars::links());
}

#[test]
fn archives_that_lie_or_are_damaged_are_refused() {
    refuse(Archive::TarGz, tars::lies());
}

#[test]
fn archives_that_cost_too_much_are_refused() {
    refuse(Archive::TarGz, tars::costs());
}

#[test]
fn hostile_zip_archives_are_refused() {
    refuse(Archive::Zip, zips::zips());
}

#[test]
fn links_that_are_there_already_are_not_followed() {
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
        let ground = Ground::new();
        ground.put_link("l", link);
        let refusal = ground.try_unpack(Archive::TarGz, &archive, limits());
        let refusal = refusal.unwrap_err().to_string();
        assert!(
            refusal.starts_with("the archive is refused: its entry"),
            "{name}: {refusal}"
        );
        std::fs::remove_file(ground.target().join("l")).unwrap();
        assert_eq!(
            std::fs::read_dir(ground.target()).unwrap().count(),
            0,
            "{name}"
        );
    }
}

/// Ends the other thread, also when this one fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Somebody swaps a directory for a link out of the tree and back, as fast as possible.
#[test]
fn nothing_is_written_outside_while_the_tree_changes() {
    let ground = Ground::new();
    let (dir, aside) = (ground.target().join("d"), ground.target().join("aside"));
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
                // Each of these fails when the other thread was there first.
                let _ = std::fs::rename(&dir, &aside);
                let _ = symlink("../beside", &dir);
                // It stays for a moment, or the other thread would hardly ever meet it.
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
            let _ = ground.try_unpack(Archive::TarGz, &archive, limits());
        }
    });
}

#[test]
fn an_archive_that_is_too_large_is_not_opened() {
    let ground = Ground::new();
    let error = ground.unpack(Archive::Zip, &vec![0; (1 << 20) + 1]);
    let message = error.unwrap_err().to_string();
    assert_eq!(message, "the package is larger than 1 MiB");
}
