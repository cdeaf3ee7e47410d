//! Uses arbitrary bytes as a `.dockerignore`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use slipway_build_context::{Context, Packing};

use crate::Run;

/// The files of the context. Names with special characters meet patterns that contain them.
const FILES: &[&str] = &[
    "Dockerfile",
    "README.md",
    "a",
    "src/main.rs",
    "src/lib/deep/mod.rs",
    "build/out/app",
    "build/cache",
    "docs/README.md",
    "[x]",
    "back\\slash",
    ".hidden",
    "é",
];

/// A context is refused with a reason, or has no entry twice, and each entry after its directory.
pub(crate) fn start() -> Run {
    let folder = tempfile::tempdir().unwrap();
    for file in FILES {
        let file = folder.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "content").unwrap();
    }
    Box::new(move |bytes| check(folder.path(), bytes))
}

fn check(root: &Path, patterns: &[u8]) {
    fs::write(root.join(".dockerignore"), patterns).unwrap();
    let context = match Context::of_directory(root, &root.join("Dockerfile")) {
        Ok(context) => context,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let mut seen = BTreeSet::<PathBuf>::new();
    let walked = context.walk(Packing::default(), &|_| true, &mut |entry| {
        let parent = entry.name.parent().unwrap();
        assert!(
            parent == Path::new("") || seen.contains(parent),
            "{:?} is visited before its directory",
            entry.name
        );
        assert!(seen.insert(entry.name.to_owned()), "{:?} twice", entry.name);
        Ok(())
    });
    // A pattern can be wrong in a way that shows only when it is used.
    if walked.is_ok() {
        assert!(seen.contains(Path::new("Dockerfile")));
    }
}
