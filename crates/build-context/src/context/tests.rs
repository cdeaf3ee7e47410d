//! What goes into the archive, and what does not.

use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use super::*;

/// A checkout with these files; a name that ends in `@` is a link to what the text says.
fn checkout(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name.trim_end_matches('@'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match name.ends_with('@') {
            true => std::os::unix::fs::symlink(text, path).unwrap(),
            false => std::fs::write(path, text).unwrap(),
        }
    }
    dir
}

/// The names in the archive of a checkout.
fn packed(dir: &TempDir, context: &str, dockerfile: &str) -> Vec<String> {
    let context = Context::find(dir.path(), context, dockerfile).unwrap();
    names(&context, Packing::default())
}

fn names(context: &Context, packing: Packing) -> Vec<String> {
    let mut bytes = Vec::new();
    context.write(packing, &mut bytes).unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        match entry.link_name().unwrap() {
            Some(target) => format!("{path} -> {}", target.display()),
            None => path,
        }
    });
    entries.collect()
}

#[test]
fn files_are_packed_in_order_and_links_stay_links() {
    let dir = checkout(&[
        ("Dockerfile", "FROM scratch"),
        ("b/x", ""),
        ("a@", "/etc/passwd"),
    ]);
    let names = packed(&dir, ".", "Dockerfile");
    assert_eq!(names, ["Dockerfile", "a -> /etc/passwd", "b", "b/x"]);
}

#[test]
fn the_build_file_and_the_patterns_are_sent_even_when_left_out() {
    let dir = checkout(&[
        ("docker/Dockerfile", "FROM scratch"),
        ("docker/other", ""),
        (".dockerignore", "*\n"),
        ("a", ""),
    ]);
    let names = packed(&dir, ".", "docker/Dockerfile");
    assert_eq!(names, [".dockerignore", "docker", "docker/Dockerfile"]);
}

#[test]
fn whoever_is_given_the_build_file_in_another_way_is_sent_nothing_that_is_left_out() {
    let dir = checkout(&[
        ("docker/Dockerfile", "FROM scratch"),
        (".dockerignore", "docker\n.dockerignore\n"),
        ("a", ""),
    ]);
    let context = Context::find(dir.path(), ".", "docker/Dockerfile").unwrap();
    let packing = Packing {
        keep: Keep::Nothing,
        ..Packing::default()
    };
    assert_eq!(names(&context, packing), ["a"]);
}

#[test]
fn of_what_nobody_wants_nothing_is_told() {
    let dir = checkout(&[
        ("Dockerfile", "FROM scratch"),
        ("a/b/c", ""),
        ("a/d", ""),
        ("e", ""),
    ]);
    let context = Context::find(dir.path(), ".", "Dockerfile").unwrap();
    let mut told = Vec::new();
    let wants = |name: &Path| !name.ends_with("b") && !name.ends_with("e");
    let walked = context.walk(Packing::default(), &wants, &mut |entry| {
        told.push(entry.name.to_string_lossy().into_owned());
        Ok(())
    });
    walked.unwrap();
    assert_eq!(told, ["Dockerfile", "a", "a/d"]);
}

#[test]
fn patterns_beside_the_build_file_replace_those_of_the_context() {
    let dir = checkout(&[
        ("Dockerfile", "FROM scratch"),
        ("Dockerfile.dockerignore", "a\nDockerfile.*\n"),
        (".dockerignore", "b\n"),
        ("a", ""),
        ("b", ""),
    ]);
    let names = packed(&dir, ".", "Dockerfile");
    assert_eq!(names, [".dockerignore", "Dockerfile", "b"]);
}

#[test]
fn a_file_that_is_taken_back_comes_from_a_directory_that_is_not() {
    let dir = checkout(&[
        ("Dockerfile", "FROM scratch"),
        (".dockerignore", "src\n!src/keep/me\n"),
        ("src/keep/me", ""),
        ("src/drop", ""),
    ]);
    let names = packed(&dir, ".", "Dockerfile");
    assert_eq!(
        names,
        [
            ".dockerignore",
            "Dockerfile",
            "src",
            "src/keep",
            "src/keep/me"
        ]
    );
}

#[test]
fn a_build_file_outside_of_the_context_is_sent_under_another_name() {
    let dir = checkout(&[("build/Dockerfile", "FROM scratch"), ("app/x", "")]);
    let names = packed(&dir, "app", "build/Dockerfile");
    assert_eq!(names.len(), 2);
    assert!(names[0].starts_with(".dockerfile-"), "{names:?}");
    assert_eq!(names[1], "x");
}

#[test]
fn nothing_outside_of_the_checkout_is_reached() {
    let dir = checkout(&[
        ("Dockerfile@", "/etc/hostname"),
        ("context@", "/etc"),
        ("real/Dockerfile", "FROM scratch"),
        (".dockerignore@", "/etc/hostname"),
    ]);
    let find = |context, dockerfile| Context::find(dir.path(), context, dockerfile);
    let outside = |found| matches!(found, Err(ContextError::Outside { .. }));
    assert!(outside(find(".", "Dockerfile")));
    assert!(outside(find("context", "real/Dockerfile")));
    assert!(find(".", "real/Dockerfile").is_ok());
    assert!(matches!(
        find(".", "none"),
        Err(ContextError::DockerfileMissing { .. })
    ));
    assert!(matches!(
        find("real/Dockerfile", "real/Dockerfile"),
        Err(ContextError::Missing { .. })
    ));
}

#[tokio::test]
async fn packing_ends_when_nobody_reads() {
    let long = format!("FROM scratch\n{}", "x".repeat(2 << 20));
    let dir = checkout(&[("Dockerfile", &long)]);
    let context = Context::find(dir.path(), ".", "Dockerfile").unwrap();
    let mut pieces = context.pack(Packing::default());
    assert!(pieces.recv().await.unwrap().is_ok());
    // The blocking task ends with the runtime; a task that waited for ever would hang this test.
    drop(pieces);
}

/// The sizes and the times of change in the archive, by name.
fn headers(context: &Context, packing: Packing) -> Vec<(String, u64, u64)> {
    let mut bytes = Vec::new();
    context.write(packing, &mut bytes).unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let name = entry.path().unwrap().to_string_lossy().into_owned();
        let header = entry.header();
        (name, header.size().unwrap(), header.mtime().unwrap())
    });
    entries.collect()
}

#[test]
fn what_changed_later_is_said_to_have_changed_at_the_given_time() {
    let dir = checkout(&[("Dockerfile", "FROM scratch"), ("old", "12345")]);
    let old = File::options().write(true).open(dir.path().join("old"));
    let at = UNIX_EPOCH + Duration::from_secs(1000);
    old.unwrap().set_modified(at).unwrap();
    let context = Context::find(dir.path(), ".", "Dockerfile").unwrap();
    let packing = Packing {
        latest_change: Some(UNIX_EPOCH + Duration::from_secs(2000)),
        ..Packing::default()
    };
    let expected = [("Dockerfile", 12, 2000), ("old", 5, 1000)];
    let expected = expected.map(|(name, size, at)| (name.to_owned(), size, at));
    assert_eq!(headers(&context, packing), expected);
    assert!(headers(&context, Packing::default())[0].2 > 2000);
}

#[test]
fn what_is_unpacked_and_packed_again_is_the_same() {
    let files = [
        ("build/Dockerfile", "FROM scratch"),
        (
            "build/Dockerfile.dockerignore",
            "**/drop\n**/*.dockerignore\n",
        ),
        ("app/.dockerignore", "keep\n"),
        ("app/keep", ""),
        ("app/drop", ""),
    ];
    for (root, file) in [("app", "build/Dockerfile"), (".", "build/Dockerfile")] {
        let dir = checkout(&files);
        let (root, file) = (dir.path().join(root), dir.path().join(file));
        let context = Context::of_directory(&root, &file).unwrap();
        let packing = Packing {
            keep: Keep::AllPatterns,
            ..Packing::default()
        };
        let mut bytes = Vec::new();
        context.write(packing, &mut bytes).unwrap();
        let unpacked = tempfile::tempdir().unwrap();
        tar::Archive::new(bytes.as_slice())
            .unpack(unpacked.path())
            .unwrap();
        let again = Context::find(unpacked.path(), ".", context.dockerfile()).unwrap();
        let first = names(&context, Packing::default());
        let named = |name: &str| first.iter().any(|one| one.ends_with(name));
        assert!(named("keep") && !named("drop"), "{first:?}");
        let mut again = names(&again, Packing::default());
        again.sort();
        let mut first = first;
        first.sort();
        assert_eq!(again, first);
    }
}

#[test]
fn a_file_that_has_the_name_of_an_injected_one_stays_away() {
    let dir = checkout(&[("build/Dockerfile", "FROM scratch"), ("app/x", "")]);
    let find = || Context::find(dir.path(), "app", "build/Dockerfile").unwrap();
    let name = find().dockerfile().to_owned();
    std::fs::write(dir.path().join("app").join(&name), "FROM other").unwrap();
    assert_eq!(
        headers(&find(), Packing::default())
            .iter()
            .map(|(name, size, _)| (name.as_str(), *size))
            .collect::<Vec<_>>(),
        [(name.as_str(), 12), ("x", 0)]
    );
}

#[test]
fn its_extent_is_known_before_it_is_packed() {
    let dir = checkout(&[
        ("Dockerfile", "FROM scratch"),
        (".dockerignore", "b"),
        ("a/x", "12345"),
        ("b", "123"),
        ("c@", "a"),
    ]);
    let context = Context::find(dir.path(), ".", "Dockerfile").unwrap();
    let expected = Extent {
        entries: 5,
        bytes: 18,
        archive_bytes: 5 * 512 + 3 * 512 + 1024,
        link_out: None,
    };
    assert_eq!(context.extent(Packing::default()).unwrap(), expected);
    let mut bytes = Vec::new();
    context.write(Packing::default(), &mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, expected.archive_bytes);
}

#[test]
fn links_that_lead_out_are_told_before_anything_is_sent() {
    for (name, target, out) in [
        ("a@", "b", false),
        ("x/a@", "../b", false),
        ("x/a@", "./../b/../c", false),
        ("x/a@", "../../b", true),
        ("a@", "..", true),
        ("a@", "b/../../c", true),
        ("a@", "/etc/hosts", true),
    ] {
        let dir = checkout(&[("Dockerfile", "FROM scratch"), (name, target)]);
        let context = Context::find(dir.path(), ".", "Dockerfile").unwrap();
        let found = context.extent(Packing::default()).unwrap().link_out;
        let name = Path::new(name.trim_end_matches('@'));
        assert_eq!(found.as_deref(), out.then_some(name), "{target}");
    }
}

#[test]
fn a_file_that_becomes_shorter_while_it_is_packed_is_named() {
    let dir = checkout(&[("Dockerfile", "FROM scratch"), ("a", "")]);
    let path = dir.path().join("a");
    let long = vec![7; 1 << 20];
    std::fs::write(&path, &long).unwrap();
    let context = Context::find(dir.path(), ".", "Dockerfile").unwrap();
    let shorten = Shortens(path, 0);
    let error = context.write(Packing::default(), shorten).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("/a: it became shorter"), "{said}");
}

/// Takes everything, and makes a file shorter once some of it has come.
struct Shortens(PathBuf, usize);

impl io::Write for Shortens {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.1 += piece.len();
        if self.1 > 64 * 1024 {
            let file = File::options().write(true).open(&self.0)?;
            file.set_len(1000)?;
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
