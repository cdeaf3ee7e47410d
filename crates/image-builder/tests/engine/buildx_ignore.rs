//! Which files of a context are sent, compared with `docker build` itself.
//!
//! Random lists of patterns are applied to random trees. `SLIPWAY_TEST_BUILDX` names a program
//! `docker-buildx`, which walks through the context as today's Docker does, whatever the engine.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use slipway_build_context::{Context, ContextError, KeepIgnored, Packing};

/// The number of trees and lists to compare.
const SEEDS: u64 = 40;
/// The names of files and directories.
const NAMES: [&str; 10] = ["a", "b", "c", "ab", "a.md", "b.md", "d", "x y", "[a]", "é"];
/// What patterns are made of.
const PARTS: [&str; 24] = [
    "a",
    "b",
    "c",
    "ab",
    "d",
    "*",
    "**",
    "?",
    "*.md",
    "**.md",
    "a*",
    "*b",
    "a**",
    "**b",
    "[a-c]",
    "[^a]",
    "\\[a\\]",
    "[[:alpha:]]",
    "\\w",
    "..",
    ".",
    "é",
    "a.md",
    "x y",
];
/// Patterns that are malformed, or that fail when they are used.
const MALFORMED: [&str; 6] = ["!", "[", "a[]b]", "[b-a]", "c\\", "!/"];

/// A generator of numbers: the same seed yields the same numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn happens(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// Creates files, empty directories and links.
fn create_tree(dir: &Path, numbers: &mut Numbers) {
    for _ in 0..25 {
        let depth = 1 + numbers.below(4);
        let names: PathBuf = (0..depth).map(|_| numbers.pick(&NAMES)).collect();
        let path = dir.join(names);
        // Fails if a directory of the path is a file already, and then this one is left out.
        if std::fs::create_dir_all(path.parent().unwrap()).is_err()
            || path.symlink_metadata().is_ok()
        {
            continue;
        }
        if numbers.happens(10) {
            std::fs::create_dir(&path).unwrap();
        } else if numbers.happens(10) {
            std::os::unix::fs::symlink("../nowhere", &path).unwrap();
        } else {
            std::fs::write(&path, "x").unwrap();
        }
    }
}

fn patterns(numbers: &mut Numbers) -> String {
    let mut text = String::new();
    for _ in 0..=numbers.below(6) {
        if numbers.happens(2) {
            text += numbers.pick(&MALFORMED);
        } else {
            let start = [("!", 40), ("/", 10), ("./", 5), (" ", 5)];
            for (start, percent) in start {
                if numbers.happens(percent) {
                    text += start;
                }
            }
            let count = 1 + numbers.below(3);
            let parts: Vec<_> = (0..count).map(|_| numbers.pick(&PARTS)).collect();
            text += &parts.join("/");
            if numbers.happens(10) {
                text += "/";
            }
        }
        text += if numbers.happens(10) { " \r\n" } else { "\n" };
    }
    text
}

/// The names that are sent, or why the patterns are refused.
type Sent = Result<BTreeSet<Vec<u8>>, String>;

fn sent_by_us(dir: &Path, dockerfile: &Path) -> Sent {
    let context = match Context::of_directory(dir, dockerfile) {
        Err(ContextError::PatternsInvalid { detail, .. }) => return Err(detail),
        context => context.unwrap(),
    };
    let packing = Packing {
        keep: KeepIgnored::Nothing,
        ..Packing::default()
    };
    let mut names = BTreeSet::new();
    let walked = context.walk(packing, &|_| true, &mut |entry| {
        names.insert(entry.name.as_os_str().as_bytes().to_vec());
        Ok(())
    });
    walked.unwrap();
    Ok(names)
}

fn sent_by_docker(buildx: &Path, settings: &Path, dir: &Path, dockerfile: &Path) -> Sent {
    let mut build = Command::new(buildx);
    build.args(["build", "--builder=default", "--output=type=tar,dest=-"]);
    build.arg("--file").arg(dockerfile).arg(dir);
    build.env("DOCKER_CONFIG", settings);
    let output = build.env("BUILDX_CONFIG", settings).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        assert!(stderr.contains(" pattern"), "{stderr}");
        return Err(stderr);
    }
    let mut archive = tar::Archive::new(output.stdout.as_slice());
    let entries = archive.entries().unwrap();
    let names = entries.map(|entry| entry.unwrap().path_bytes().into_owned());
    let names = names.filter_map(|name| {
        let name = name.strip_prefix(b"ctx/")?;
        let name = name.strip_suffix(b"/").unwrap_or(name);
        (!name.is_empty()).then(|| name.to_vec())
    });
    Ok(names.collect())
}

#[test]
fn the_same_files_are_sent_as_by_docker_build() {
    let buildx = std::env::var_os("SLIPWAY_TEST_BUILDX").expect("SLIPWAY_TEST_BUILDX is not set");
    let buildx = PathBuf::from(buildx);
    let settings = tempfile::tempdir().unwrap();
    for seed in 0..SEEDS {
        let dir = tempfile::tempdir().unwrap();
        let (context, dockerfile) = (dir.path().join("context"), dir.path().join("Dockerfile"));
        std::fs::create_dir(&context).unwrap();
        std::fs::write(&dockerfile, "FROM scratch\nCOPY . /ctx/\n").unwrap();
        let mut numbers = Numbers(seed);
        create_tree(&context, &mut numbers);
        let patterns = patterns(&mut numbers);
        std::fs::write(context.join(".dockerignore"), &patterns).unwrap();
        let ours = sent_by_us(&context, &dockerfile);
        let dockers = sent_by_docker(&buildx, settings.path(), &context, &dockerfile);
        match (&ours, &dockers) {
            (Ok(ours), Ok(dockers)) => assert_eq!(ours, dockers, "seed {seed}: {patterns:?}"),
            (Err(_), Err(_)) => {}
            _ => panic!("seed {seed}: {patterns:?}: {ours:?}, Docker: {dockers:?}"),
        }
    }
}
