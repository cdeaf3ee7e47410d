use std::io::Write as _;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

/// An archive of entries: a name, the content, and a mode.
fn archive(dir: &Path, entries: &[(&str, &str, u32)]) -> PathBuf {
    let path = dir.join("test.zip");
    let mut zip = ZipWriter::new(File::create(&path).unwrap());
    for (name, content, mode) in entries {
        let options = SimpleFileOptions::default().unix_permissions(mode & 0o777);
        match mode & KIND {
            LINK => zip.add_symlink(*name, *content, options).unwrap(),
            _ if name.ends_with('/') => zip.add_directory(*name, options).unwrap(),
            _ => {
                zip.start_file(*name, options).unwrap();
                zip.write_all(content.as_bytes()).unwrap();
            }
        }
    }
    zip.finish().unwrap();
    path
}

fn refused(entries: &[(&str, &str, u32)], prepare: impl FnOnce(&Path)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("into");
    std::fs::create_dir(&into).unwrap();
    prepare(&into);
    let error = unpack(&archive(dir.path(), entries), &into).unwrap_err();
    assert!(matches!(error, UnpackError::Refused { .. }), "{error:?}");
    assert!(!dir.path().join("x").exists(), "it was written outside");
    error.to_string()
}

#[test]
fn files_directories_and_links_are_made_and_old_files_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("into");
    std::fs::create_dir(&into).unwrap();
    std::fs::write(into.join("old"), "old").unwrap();
    let entries = [
        ("old", "new", 0o644),
        ("a/b/run", "#!", 0o755),
        ("a/link", "../old", LINK | 0o777),
        ("empty/", "", 0o755),
    ];
    unpack(&archive(dir.path(), &entries), &into).unwrap();
    assert_eq!(std::fs::read_to_string(into.join("a/link")).unwrap(), "new");
    let mode = into.join("a/b/run").metadata().unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o755);
    assert!(into.join("empty").is_dir());
}

#[test]
fn nothing_is_written_outside() {
    for name in ["../x", "/x", "a/../../x", "a/.."] {
        let said = refused(&[(name, "harm", 0o644)], |_| {});
        assert!(said.contains("leads out of the directory"), "{said}");
    }
    for target in ["/etc/passwd", "..", "a/../../x", ""] {
        let said = refused(&[("link", target, LINK | 0o777)], |_| {});
        assert!(said.contains("link out of"), "{said}");
    }
    // A link that the checkout brought is not followed either.
    let said = refused(&[("way/x", "harm", 0o644)], |into| {
        symlink("..", into.join("way")).unwrap();
    });
    assert!(said.contains("leads through a link"), "{said}");
    // Nor one of the archive itself, in whatever order they come.
    let entries = [("way", "sub", LINK | 0o777), ("way/x", "harm", 0o644)];
    let said = refused(&entries, |_| {});
    assert!(said.contains("is where a directory is"), "{said}");
}

#[test]
fn a_link_in_the_place_of_a_file_is_replaced_and_not_written_through() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("into");
    std::fs::create_dir(&into).unwrap();
    std::fs::write(dir.path().join("outside"), "kept").unwrap();
    symlink("../outside", into.join("file")).unwrap();
    unpack(&archive(dir.path(), &[("file", "new", 0o644)]), &into).unwrap();
    let outside = std::fs::read_to_string(dir.path().join("outside")).unwrap();
    assert_eq!(outside, "kept");
    assert_eq!(std::fs::read_to_string(into.join("file")).unwrap(), "new");
}

#[test]
fn devices_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = archive(dir.path(), &[("null", "", 0o644)]);
    // The mode is in the upper half of the external attributes of the central directory.
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes
        .windows(4)
        .rposition(|four| four == b"PK\x01\x02")
        .unwrap();
    let device: u32 = (0o020_000 | 0o644) << 16;
    bytes[at + 38..at + 42].copy_from_slice(&device.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let error = unpack(&path, dir.path()).unwrap_err();
    assert!(error.to_string().contains("device"), "{error}");
}

#[test]
fn what_grows_beyond_measure_is_stopped_while_it_grows() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("into");
    std::fs::create_dir(&into).unwrap();
    let large = "0".repeat(1 << 20);
    let path = archive(dir.path(), &[("a", &large, 0o644), ("b", &large, 0o644)]);
    let within = |bytes| Limits {
        bytes,
        list: 1 << 20,
    };
    assert!(unpack_within(&path, &into, within(2 << 20)).is_ok());
    let again = tempfile::tempdir().unwrap();
    let error = unpack_within(&path, again.path(), within((1 << 20) + 7)).unwrap_err();
    assert!(matches!(error, UnpackError::TooLarge), "{error:?}");
    let written = again.path().join("b").metadata().unwrap().len();
    assert_eq!(written, 8);
}

#[test]
fn a_list_beyond_measure_is_not_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..500).map(|number| format!("file-{number}")).collect();
    let entries: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), "", 0o644))
        .collect();
    let path = archive(dir.path(), &entries);
    let within = |list| Limits {
        bytes: 1 << 20,
        list,
    };
    let into = tempfile::tempdir().unwrap();
    let error = unpack_within(&path, into.path(), within(10_000)).unwrap_err();
    assert!(matches!(error, UnpackError::TooLarge), "{error:?}");
    assert_eq!(into.path().read_dir().unwrap().count(), 0);
    // The list takes about 56 bytes of each file.
    unpack_within(&path, into.path(), within(100_000)).unwrap();
    assert_eq!(into.path().read_dir().unwrap().count(), 500);
}

#[test]
fn what_is_no_archive_is_told_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("no.zip");
    std::fs::write(&path, "hello").unwrap();
    let error = unpack(&path, dir.path()).unwrap_err();
    assert!(matches!(error, UnpackError::Unreadable(_)), "{error:?}");
}
