//! What goes into the archive, and what does not.

use super::*;

/// A checkout with these files; a name that ends in `@` is a link to what the text says.
fn checkout(files: &[(&str, &str)]) -> tempfile::TempDir {
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

fn spec(context: &str, dockerfile: &str) -> ImageBuild {
    ImageBuild {
        context: context.to_owned(),
        dockerfile: dockerfile.to_owned(),
        ..ImageBuild::default()
    }
}

fn packed(dir: &tempfile::TempDir, spec: &ImageBuild) -> Vec<String> {
    let context = Context::find(dir.path(), spec).unwrap();
    let mut bytes = Vec::new();
    context.write(&mut bytes).unwrap();
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
    let names = packed(&dir, &spec(".", "Dockerfile"));
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
    let names = packed(&dir, &spec(".", "docker/Dockerfile"));
    assert_eq!(names, [".dockerignore", "docker/Dockerfile"]);
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
    let names = packed(&dir, &spec(".", "Dockerfile"));
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
    let names = packed(&dir, &spec(".", "Dockerfile"));
    assert_eq!(names, [".dockerignore", "Dockerfile", "src/keep/me"]);
}

#[test]
fn a_build_file_outside_of_the_context_is_sent_under_another_name() {
    let dir = checkout(&[("build/Dockerfile", "FROM scratch"), ("app/x", "")]);
    let names = packed(&dir, &spec("app", "build/Dockerfile"));
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
    let find = |context, dockerfile| Context::find(dir.path(), &spec(context, dockerfile));
    let outside = |found| matches!(found, Err(BuildError::OutsideCheckout { .. }));
    assert!(outside(find(".", "Dockerfile")));
    assert!(outside(find("context", "real/Dockerfile")));
    assert!(find(".", "real/Dockerfile").is_ok());
    assert!(matches!(
        find(".", "none"),
        Err(BuildError::DockerfileMissing { .. })
    ));
    assert!(matches!(
        find("real/Dockerfile", "real/Dockerfile"),
        Err(BuildError::ContextMissing { .. })
    ));
}

#[tokio::test]
async fn packing_ends_when_nobody_reads() {
    let long = format!("FROM scratch\n{}", "x".repeat(2 << 20));
    let dir = checkout(&[("Dockerfile", &long)]);
    let context = Context::find(dir.path(), &spec(".", "Dockerfile")).unwrap();
    let mut pieces = context.pack();
    assert!(pieces.recv().await.unwrap().is_ok());
    // The blocking task ends with the runtime; a task that waited for ever would hang this test.
    drop(pieces);
}
