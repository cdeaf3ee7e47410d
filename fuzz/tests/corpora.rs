//! Runs every target with the inputs in `corpus/`, so that targets and inputs stay usable.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

use slipway_fuzz::target;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The files or directories in a directory, in the order of their names.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| {
        panic!("could not read {}: {error}", directory.display());
    });
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

/// Names an input if its target panics.
struct Named<'a>(&'a Path);

impl Drop for Named<'_> {
    #[expect(clippy::print_stderr, reason = "the output of a failed test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0.display());
        }
    }
}

/// Runs a target with each of its inputs, and with the first half of each.
fn replay(name: &str) {
    let mut run = (target(name).expect("a target").start)();
    let inputs = entries(&corpus().join(name));
    assert!(!inputs.is_empty(), "{name} has no inputs");
    for input in inputs {
        let _named = Named(&input);
        let bytes = fs::read(&input).unwrap();
        run(&bytes);
        run(&bytes[..bytes.len() / 2]);
    }
    run(b"");
}

macro_rules! replay {
    ($list:ident: $($test:ident $name:literal),+ $(,)?) => {
        $(#[test] fn $test() { replay($name); })+

        const $list: &[&str] = &[$($name),+];
    };
}

replay! {
    PARSERS:
    definition "definition",
    ignore_file "ignore-file",
    line_headers "line-headers",
    masker "masker",
    progress "progress",
    range "range",
    restore "restore",
    unpack "unpack",
}

#[cfg(feature = "apis")]
replay! {
    APIS:
    api_requests "api-requests",
    api_traces "api-traces",
    api_webhooks "api-webhooks",
}

#[cfg(feature = "apis")]
#[test]
fn every_target_is_replayed_and_every_directory_has_a_target() {
    let mut targets: Vec<&str> = slipway_fuzz::TARGETS
        .iter()
        .map(|target| target.name)
        .collect();
    assert_eq!(targets, [PARSERS, APIS].concat());
    targets.sort_unstable();
    let directories: Vec<String> = entries(&corpus())
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(directories, targets);
}
