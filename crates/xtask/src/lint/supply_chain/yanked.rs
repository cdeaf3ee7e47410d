//! Locked versions that their authors withdrew from crates.io ("yanked").
//!
//! The RustSec database does not list them. Cargo keeps a copy of each index entry that it read, which
//! is asked here, so that no network is needed. A version that was yanked after cargo read its entry is
//! not found.

use std::path::{Path, PathBuf};

use rustsec::Lockfile;
use serde::Deserialize;

/// One version in an entry of the index.
#[derive(Deserialize)]
struct IndexedVersion {
    #[serde(rename = "vers")]
    version: String,
    yanked: bool,
}

/// Finds locked versions that were yanked, and prints how many could be checked.
pub(super) fn check(lock: &Lockfile) -> Vec<String> {
    let copies = index_copies();
    let (findings, checked) = check_in(&copies, lock);
    let remote = lock
        .packages
        .iter()
        .filter(|package| package.source.is_some());
    println!(
        "{checked} of {} locked versions are in cargo's copy of the index, {} of them yanked",
        remote.count(),
        findings.len()
    );
    findings
}

/// The directories in which cargo keeps entries of the index of crates.io.
fn index_copies() -> Vec<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let indexes = home.map(|home| home.join("registry/index"));
    let Some(Ok(indexes)) = indexes.map(std::fs::read_dir) else {
        return Vec::new();
    };
    indexes
        .filter_map(Result::ok)
        .filter(|index| {
            index
                .file_name()
                .to_string_lossy()
                .starts_with("index.crates.io-")
        })
        .map(|index| index.path().join(".cache"))
        .collect()
}

/// The findings, and the number of versions that were in one of `copies`.
fn check_in(copies: &[PathBuf], lock: &Lockfile) -> (Vec<String>, usize) {
    let mut findings = Vec::new();
    let mut checked = 0;
    for package in &lock.packages {
        if package.source.is_none() {
            continue;
        }
        let (name, version) = (package.name.as_str(), package.version.to_string());
        let mut entries = copies.iter().filter_map(|copy| entry(copy, name));
        let found = entries.find_map(|entry| {
            let mut versions = entry.into_iter();
            versions.find(|indexed| indexed.version == version)
        });
        if let Some(indexed) = found {
            checked += 1;
            if indexed.yanked {
                findings.push(format!(
                    "{name} {version} was yanked: run `cargo update {name}`"
                ));
            }
        }
    }
    (findings, checked)
}

/// Reads the index entry of a crate: a header, then each version and its JSON, all ended by a NUL.
fn entry(copy: &Path, name: &str) -> Option<Vec<IndexedVersion>> {
    let bytes = std::fs::read(copy.join(place(name)?)).ok()?;
    let versions = bytes
        .split(|byte| *byte == 0)
        .filter(|part| part.starts_with(b"{"))
        .filter_map(|json| serde_json::from_slice(json).ok())
        .collect();
    Some(versions)
}

/// The path of an entry, as <https://doc.rust-lang.org/cargo/reference/registry-index.html> fixes it.
fn place(name: &str) -> Option<String> {
    let name = name.to_lowercase();
    let start = |range| name.get(range);
    Some(match name.len() {
        length @ (1 | 2) => format!("{length}/{name}"),
        3 => format!("3/{}/{name}", start(0..1)?),
        _ => format!("{}/{}/{name}", start(0..2)?, start(2..4)?),
    })
}

#[cfg(test)]
mod tests {
    use super::{check_in, place};

    #[test]
    fn a_yanked_version_is_reported() {
        let copy = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(copy.path().join("pa/rs")).unwrap();
        std::fs::write(
            copy.path().join("pa/rs/parser"),
            b"\x03\x02\0\0\0Unknown\x001.0.0\0{\"vers\":\"1.0.0\",\"yanked\":true}\x001.0.1\0{\"vers\":\"1.0.1\",\"yanked\":false}\0",
        )
        .unwrap();
        let lock = |version| {
            let registry = "registry+https://github.com/rust-lang/crates.io-index";
            format!(
                "version = 4\n\
                 [[package]]\nname = \"ours\"\nversion = \"1.0.0\"\n\
                 [[package]]\nname = \"unknown\"\nversion = \"1.0.0\"\nsource = \"{registry}\"\n\
                 [[package]]\nname = \"parser\"\nversion = \"{version}\"\nsource = \"{registry}\"\n"
            )
            .parse()
            .unwrap()
        };
        let copies = [copy.path().to_owned()];
        assert_eq!(
            check_in(&copies, &lock("1.0.0")),
            (
                vec!["parser 1.0.0 was yanked: run `cargo update parser`".to_owned()],
                1
            )
        );
        assert_eq!(check_in(&copies, &lock("1.0.1")), (vec![], 1));
        assert_eq!(check_in(&copies, &lock("1.0.2")), (vec![], 0));
    }

    #[test]
    fn the_path_of_an_entry_begins_with_the_name() {
        for (name, path) in [
            ("a", "1/a"),
            ("nb", "2/nb"),
            ("Hex", "3/h/hex"),
            ("serde", "se/rd/serde"),
        ] {
            assert_eq!(place(name).as_deref(), Some(path));
        }
    }
}
