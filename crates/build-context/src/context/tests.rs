//! Which files are packed, and how.

use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use super::*;
use crate::entry::FileModes;

/// A checkout with these files. A name that ends in `@` is a symbolic link to the text.
fn checkout(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name.trim_end_matches('@'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if name.ends_with('@') {
            std::os::unix::fs::symlink(text, path).unwrap();
        } else {
            std::fs::write(path, text).unwrap();
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
fn files_are_packed_in_order_and_links_are_not_followed() {
    let dir = checkout(&[
        ("Dockerfile", "FROM scratch"),
        ("b/x", ""),
        ("a@", "/etc/passwd"),
    ]);
    let names = packed(&dir, ".", "Dockerfile");
    assert_eq!(names, ["Dockerfile", "a -> /etc/passwd", "b", "b/x"]);
}

#[test]
fn an_ignored_dockerfile_and_dockerignore_are_packed_anyway() {
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
fn keep_nothing_packs_no_ignored_file() {
    let dir = checkout(&[
        ("docker/Dockerfile", "FROM scratch"),
        (".dockerignore", "docker\n.dockerignore\n"),
        ("a", ""),
    ]);
    let context = Context::find(dir.path(), ".", "docker/Dockerfile").unwrap();
    let packing = Packing {
        keep: KeepIgnored::Nothing,
        ..Packing::default()
    };
    assert_eq!(names(&context, packing), ["a"]);
}

#[test]
fn a_walk_skips_unwanted_entries_and_everything_below_them() {
    let dir = checkout(&[
        ("Dockerfile", "FROM scratch"),
        ("a/b/c", ""),
        ("a/d", ""),
        ("e", ""),
    ]);
    let context = Context::find(dir.path(), ".", "Dockerfile").unwrap();
    let mut visited = Vec::new();
    let is_wanted = |name: &Path| !name.ends_with("b") && !name.ends_with("e");
    let walked = context.walk(Packing::default(), &is_wanted, &mut |entry| {
        visited.push(entry.name.to_string_lossy().into_owned());
        Ok(())
    });
    walked.unwrap();
    assert_eq!(visited, ["Dockerfile", "a", "a/d"]);
}

#[test]
fn patterns_of_the_dockerfile_replace_those_of_the_context() {
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
fn an_exception_inside_an_ignored_directory_is_packed() {
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
fn a_dockerfile_outside_of_the_context_gets_another_name() {
    let dir = checkout(&[("build/Dockerfile", "FROM scratch"), ("app/x", "")]);
    let names = packed(&dir, "app", "build/Dockerfile");
    assert_eq!(names.len(), 2);
    assert!(names[0].starts_with(".dockerfile-"), "{names:?}");
    assert_eq!(names[1], "x");
}

#[test]
fn paths_outside_of_the_checkout_are_refused() {
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
async fn packing_ends_when_the_reader_is_dropped() {
    let long = format!("FROM scratch\n{}", "x".repeat(2 << 20));
    let dir = checkout(&[("Dockerfile", &long)]);
    let context = Context::find(dir.path(), ".", "Dockerfile").unwrap();
    let mut pieces = context.pack(Packing::default());
    assert!(pieces.recv().await.unwrap().is_ok());
    // The runtime waits for its blocking tasks, so a task that did not end would hang this test.
    drop(pieces);
}

/// The names, sizes and modification times in the archive.
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
fn later_modification_times_are_replaced_by_the_latest_change() {
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
fn a_context_that_is_unpacked_and_packed_again_is_the_same() {
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
            keep: KeepIgnored::AllPatterns,
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
fn a_file_with_the_name_of_the_injected_dockerfile_is_not_packed() {
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
fn the_size_is_measured_before_packing() {
    let dir = checkout(&[
        ("Dockerfile", "FROM scratch"),
        (".dockerignore", "b"),
        ("a/x", "12345"),
        ("b", "123"),
        ("c@", "a"),
    ]);
    let context = Context::find(dir.path(), ".", "Dockerfile").unwrap();
    let expected = ContextSize {
        entries: 5,
        bytes: 18,
        archive_bytes: 5 * 512 + 3 * 512 + 1024,
    };
    assert_eq!(context.measure(Packing::default()).unwrap(), expected);
    let mut bytes = Vec::new();
    context.write(Packing::default(), &mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, expected.archive_bytes);
}

#[test]
fn a_file_that_becomes_shorter_during_packing_is_named() {
    let dir = checkout(&[("Dockerfile", "FROM scratch"), ("a", "")]);
    let path = dir.path().join("a");
    let long = vec![7; 1 << 20];
    std::fs::write(&path, &long).unwrap();
    let context = Context::find(dir.path(), ".", "Dockerfile").unwrap();
    let writer = TruncatingWriter(path, 0);
    let error = context.write(Packing::default(), writer).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("/a: the file became shorter"), "{message}");
}

/// Accepts everything, and truncates a file after the first 64 KiB.
struct TruncatingWriter(PathBuf, usize);

impl io::Write for TruncatingWriter {
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

/// The names that are sent to BuildKit.
fn sent(context: &Context) -> Vec<String> {
    let packing = Packing {
        keep: KeepIgnored::Nothing,
        ..Packing::default()
    };
    names(context, packing)
}

/// Packs a context as `slipway build` does, and finds it in the unpacked files as a runner does.
fn sent_after_upload(context: &Context) -> Vec<String> {
    let packing = Packing {
        keep: KeepIgnored::AllPatterns,
        ..Packing::default()
    };
    let mut bytes = Vec::new();
    context.write(packing, &mut bytes).unwrap();
    let unpacked = tempfile::tempdir().unwrap();
    tar::Archive::new(bytes.as_slice())
        .unpack(unpacked.path())
        .unwrap();
    let again = Context::find(unpacked.path(), ".", context.dockerfile()).unwrap();
    assert_eq!(again.dockerfile_text(), context.dockerfile_text());
    sent(&again)
}

#[test]
fn a_linked_dockerfile_uses_the_patterns_with_the_name_of_the_link() {
    let dir = checkout(&[
        ("Dockerfile@", "current/prod.Dockerfile"),
        ("current@", "docker"),
        ("Dockerfile.dockerignore", "other\ndocker\ncurrent\n"),
        ("docker/prod.Dockerfile", "FROM scratch"),
        ("docker/prod.Dockerfile.dockerignore", "third\n"),
        (".dockerignore@", "ignore/list"),
        ("ignore/list", "secret\n"),
        ("secret", ""),
        ("other", ""),
        ("third", ""),
    ]);
    let expected = [
        ".dockerignore -> ignore/list",
        "Dockerfile -> current/prod.Dockerfile",
        "Dockerfile.dockerignore",
        "ignore",
        "ignore/list",
        "secret",
        "third",
    ];
    let context = Context::find(dir.path(), ".", "Dockerfile").unwrap();
    assert_eq!(context.dockerfile_file_name(), "Dockerfile");
    assert_eq!(sent(&context), expected);
    let context = Context::of_directory(dir.path(), &dir.path().join("Dockerfile")).unwrap();
    assert_eq!(sent(&context), expected);
    assert_eq!(sent_after_upload(&context), expected);
}

#[test]
fn linked_patterns_are_uploaded_with_what_their_links_need() {
    let outside = checkout(&[("list", "ignore\nsecret\n")]);
    let absolute = outside.path().join("list");
    for target in ["ignore/list", absolute.to_str().unwrap()] {
        for name in [".dockerignore@", "Dockerfile.dockerignore@"] {
            let dir = checkout(&[
                ("Dockerfile", "FROM scratch"),
                (name, target),
                ("ignore/list", "ignore\nsecret\n"),
                ("secret", ""),
                ("a", ""),
            ]);
            let dockerfile = dir.path().join("Dockerfile");
            let context = Context::of_directory(dir.path(), &dockerfile).unwrap();
            let sent = sent_after_upload(&context);
            let named = |name: &str| sent.iter().any(|sent| sent == name);
            assert!(named("a") && !named("secret"), "{target} {name}: {sent:?}");
        }
    }
}

#[test]
fn a_lower_case_dockerfile_is_used_if_there_is_no_other() {
    let dir = checkout(&[
        ("dockerfile", "FROM lower"),
        ("dockerfile.dockerignore", "a\n"),
        ("a", ""),
    ]);
    let context = Context::find(dir.path(), ".", "Dockerfile").unwrap();
    assert_eq!(context.dockerfile(), "dockerfile");
    let expected = ["dockerfile", "dockerfile.dockerignore"];
    assert_eq!(sent(&context), expected);
    let context = Context::of_directory(dir.path(), &dir.path().join("Dockerfile")).unwrap();
    assert_eq!(sent_after_upload(&context), expected);
    std::fs::write(dir.path().join("Dockerfile"), "FROM upper").unwrap();
    let context = Context::find(dir.path(), ".", "Dockerfile").unwrap();
    assert_eq!(context.dockerfile_text(), "FROM upper");
    assert!(Context::find(dir.path(), ".", "Dockerfile.other").is_err());
}

#[test]
fn invalid_patterns_are_refused_with_the_name_of_their_file() {
    let refusal = |patterns: &str| {
        let dir = checkout(&[
            ("Dockerfile", "FROM scratch"),
            ("a", ""),
            (".dockerignore", patterns),
        ]);
        let found = Context::find(dir.path(), ".", "Dockerfile");
        found.err().map(|error| error.to_string())
    };
    let expected = "the patterns in .dockerignore are invalid: illegal exclusion pattern: \"!\"";
    assert_eq!(refusal("*\n!\n").as_deref(), Some(expected));
    let expected = "the patterns in .dockerignore are invalid: syntax error in pattern \"[b-a]\"";
    assert_eq!(refusal("[b-a]\n").as_deref(), Some(expected));
    // Nothing is left for which this pattern would be used.
    assert_eq!(refusal("*\n[b-a]\n"), None);
    let long = refusal(&"# a comment\n".repeat(100_000)).unwrap();
    assert!(long.contains("larger than 1 MiB"), "{long}");
}

#[test]
fn hard_links_and_kept_modes_are_packed() {
    let dir = checkout(&[("Dockerfile", "FROM scratch"), ("b", "12"), ("no/b", "")]);
    let path = |name: &str| dir.path().join(name);
    std::fs::remove_file(path("no/b")).unwrap();
    for name in ["c", "a", "no/a"] {
        std::fs::hard_link(path("b"), path(name)).unwrap();
    }
    std::fs::write(path(".dockerignore"), "a\nno\n!no/a\n").unwrap();
    for (name, mode) in [("b", 0o4750), ("no", 0o3777)] {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path(name), permissions).unwrap();
    }
    let context = Context::find(dir.path(), ".", "Dockerfile").unwrap();
    let modes = |modes| {
        let packing = Packing {
            keep: KeepIgnored::Nothing,
            modes,
            ..Packing::default()
        };
        let mut found = Vec::new();
        let walked = context.walk(packing, &|_| true, &mut |entry| {
            found.push(format!("{} {:o}", entry.name.display(), entry.mode));
            Ok(())
        });
        walked.unwrap();
        found
    };
    // The first name is the file, even if the file system found another one first.
    let sent = sent(&context);
    let expected = [
        ".dockerignore",
        "Dockerfile",
        "b",
        "c -> b",
        "no",
        "no/a -> b",
    ];
    assert_eq!(sent, expected);
    let kept = modes(FileModes::Kept);
    assert_eq!(kept[2..], ["b 4750", "c 4750", "no 3777", "no/a 4750"]);
    let portable = modes(FileModes::Portable);
    assert_eq!(portable[2..], ["b 755", "c 755", "no 755", "no/a 755"]);
}

#[test]
fn links_are_packed_as_they_are() {
    let long = format!("./{}//x/../", "long/".repeat(40));
    let targets = [
        "./a//b/",
        "/etc/passwd",
        "../../out",
        "C:\\x",
        long.as_str(),
    ];
    let files: Vec<_> = ["1@", "2@", "3@", "4@", "5@"]
        .into_iter()
        .zip(targets)
        .collect();
    let dir = checkout(&[files, vec![("Dockerfile", "FROM scratch")]].concat());
    let context = Context::find(dir.path(), ".", "Dockerfile").unwrap();
    let mut bytes = Vec::new();
    context.write(Packing::default(), &mut bytes).unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let found = archive.entries().unwrap().filter_map(|entry| {
        let target = entry.unwrap().link_name_bytes()?.into_owned();
        Some(String::from_utf8(target).unwrap())
    });
    assert_eq!(found.collect::<Vec<_>>(), targets);
}

#[test]
fn sockets_are_left_out() {
    let dir = checkout(&[("Dockerfile", "FROM scratch")]);
    let _listener = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    assert_eq!(packed(&dir, ".", "Dockerfile"), ["Dockerfile"]);
}
