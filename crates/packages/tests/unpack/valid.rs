//! Archives as common programs create them are unpacked.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use slipway_packages::{Archive, PackageError, UnpackLimits};

use crate::archives::{Tar, ZipEntry, gzip, zip};
use crate::fixture::{Fixture, limits};

#[test]
fn a_tree_in_a_tar_archive_is_unpacked() {
    let fixture = Fixture::new();
    let archive = Tar::default()
        .entry(
            b'g',
            b"pax_global_header",
            b"",
            b"52 comment=0123456789012345678901234567890123456789\n",
            |_| {},
        )
        .dir("./")
        .dir("./app/")
        .file("./app/Dockerfile", b"FROM scratch")
        .file_with_mode("./app/run.sh", 0o755)
        .file_with_mode("tools/root", 0o6755)
        .symlink("app/latest", "../tools/root")
        .symlink("app/dangling", "nothing/here")
        .hard_link("tools/again", "./app/Dockerfile")
        .gz();
    let unpacked = fixture.unpack(Archive::TarGz, &archive).unwrap();
    assert_eq!(unpacked.entries, 10);
    assert_eq!(fixture.read("app/Dockerfile"), "FROM scratch");
    assert_eq!(fixture.read("tools/again"), "FROM scratch");
    assert_eq!(fixture.read("app/latest"), "x");
    let metadata = |path: &str| fs::metadata(fixture.target().join(path)).unwrap();
    assert_eq!(metadata("app/run.sh").permissions().mode() & 0o7777, 0o755);
    assert_eq!(metadata("tools/root").permissions().mode() & 0o7777, 0o755);
    assert_eq!(metadata("app/Dockerfile").mtime(), 1_700_000_000);
    let link = fs::read_link(fixture.target().join("app/dangling")).unwrap();
    assert_eq!(link.to_str(), Some("nothing/here"));
}

#[test]
fn gnu_and_pax_long_names_are_supported() {
    let fixture = Fixture::new();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    let other = format!("{}/{}", "e".repeat(120), "g".repeat(120));
    let archive = Tar::default()
        .long_name(long.as_bytes())
        .file("cut", b"one")
        .pax(&[("path", &other), ("mtime", "1.5"), ("size", "3")])
        .file("cut", b"two")
        .pax(&[("linkpath", &format!("../{long}"))])
        .symlink("links/l", "cut")
        .gz();
    fixture.unpack(Archive::TarGz, &archive).unwrap();
    assert_eq!(fixture.read(&long), "one");
    assert_eq!(fixture.read(&other), "two");
    assert_eq!(fixture.read("links/l"), "one");
}

#[test]
fn several_gzip_members_and_a_missing_end_marker_are_accepted() {
    let fixture = Fixture::new();
    let tar = Tar::default().file("a", b"one").file("b", b"two").0;
    let archive = [gzip(&tar[..700]), gzip(&tar[700..])].concat();
    fixture.unpack(Archive::TarGz, &archive).unwrap();
    assert_eq!(fixture.read("a"), "one");
    assert_eq!(fixture.read("b"), "two");
}

#[test]
fn existing_files_are_kept_or_replaced() {
    let fixture = Fixture::new();
    fixture.put("dist/old", "old");
    fixture.put("dist/both", "old");
    fixture.put_link("dist/link", "both");
    let archive = Tar::default()
        .dir("dist")
        .file("dist/both", b"new")
        .file("dist/link", b"file")
        .file("dist/both", b"newest")
        .gz();
    fixture.unpack(Archive::TarGz, &archive).unwrap();
    assert_eq!(fixture.read("dist/old"), "old");
    assert_eq!(fixture.read("dist/both"), "newest");
    assert_eq!(fixture.read("dist/link"), "file");
    let link = fixture.target().join("dist/link");
    assert!(link.symlink_metadata().unwrap().is_file());
}

#[test]
fn replacing_a_hard_link_does_not_change_the_other_name() {
    let fixture = Fixture::new();
    let archive = Tar::default()
        .file("a", b"first")
        .hard_link("b", "a")
        .file("b", b"second")
        .gz();
    fixture.unpack(Archive::TarGz, &archive).unwrap();
    assert_eq!(fixture.read("a"), "first");
    assert_eq!(fixture.read("b"), "second");
}

#[test]
fn a_tree_in_a_zip_archive_is_unpacked() {
    let fixture = Fixture::new();
    let text = "RUN true\n".repeat(1000);
    let mode = |mode: u32| move |entry: &mut ZipEntry| entry.mode = mode;
    let archive = zip(&[
        ZipEntry::stored("app/", b"").with(mode(0o040_755)),
        ZipEntry::deflated("app/Dockerfile", text.as_bytes()),
        ZipEntry::stored("app/run.sh", b"x").with(mode(0o104_755)),
        ZipEntry::stored("plain", b"y").with(mode(0)),
        ZipEntry::stored("empty", b""),
        ZipEntry::stored("app/link", b"../plain").with(mode(0o120_777)),
        ZipEntry::stored("wide", b"64 bits").with(|entry| entry.is_64 = true),
    ]);
    let unpacked = fixture.unpack(Archive::Zip, &archive).unwrap();
    assert_eq!(unpacked.entries, 7);
    assert_eq!(fixture.read("app/Dockerfile"), text);
    assert_eq!(fixture.read("app/link"), "y");
    assert_eq!(fixture.read("wide"), "64 bits");
    assert_eq!(fixture.read("empty"), "");
    let run = fs::metadata(fixture.target().join("app/run.sh")).unwrap();
    assert_eq!(run.permissions().mode() & 0o7777, 0o755);
}

#[test]
fn a_streamed_zip_archive_is_unpacked() {
    let fixture = Fixture::new();
    // Programs that write to a pipe put the sizes after the content.
    let mut writer = zip::ZipWriter::new_stream(Vec::new());
    for (name, text) in [("a/b", "one"), ("é", "two")] {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(name, options).unwrap();
        std::io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
    }
    let archive = writer.finish().unwrap().into_inner();
    fixture.unpack(Archive::Zip, &archive).unwrap();
    assert_eq!(fixture.read("a/b"), "one");
    assert_eq!(fixture.read("é"), "two");
}

#[test]
fn an_empty_archive_is_unpacked_to_an_empty_directory() {
    let fixture = Fixture::new();
    fixture.unpack(Archive::Zip, &zip(&[])).unwrap();
    fixture
        .unpack(Archive::TarGz, &Tar::default().gz())
        .unwrap();
    assert_eq!(fs::read_dir(fixture.target()).unwrap().count(), 0);
}

#[test]
fn unpacking_stops_at_the_time_limit_and_when_stopped() {
    let fixture = Fixture::new();
    let archive = Tar::default().file("a", b"one").gz();
    let none = UnpackLimits {
        time: std::time::Duration::ZERO,
        ..limits()
    };
    let late = fixture.unpack_within(Archive::TarGz, &archive, none);
    let message = late.unwrap_err().to_string();
    assert_eq!(message, "unpacking the package took longer than 0 s");

    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &archive).unwrap();
    let stop = std::sync::Arc::new(true.into());
    let (kind, target) = (Archive::TarGz, fixture.target());
    let stopped = slipway_packages::unpack::unpack_here(file, kind, &target, limits(), stop);
    assert!(matches!(stopped, Err(PackageError::Io(_))));
    assert_eq!(fs::read_dir(fixture.target()).unwrap().count(), 0);
}

#[tokio::test]
async fn unpack_runs_as_a_future() {
    let fixture = Fixture::new();
    let mut file = tempfile::tempfile().unwrap();
    let archive = zip(&[ZipEntry::stored("a", b"one")]);
    std::io::Write::write_all(&mut file, &archive).unwrap();
    let target = fixture.target();
    let unpacked = slipway_packages::unpack(file, Archive::Zip, &target, limits()).await;
    assert_eq!(unpacked.unwrap().expanded, 3);
    assert_eq!(fixture.read("a"), "one");
}
