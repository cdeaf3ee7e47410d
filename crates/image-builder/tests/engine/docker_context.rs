//! Which files of a checkout reach a build, and what BuildKit records about them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use serde_json::Value;
use slipway_domain::ImageBuild;
use slipway_image_builder::{Backend, BuildRequest, Variables};
use slipway_test_engine::SHELL;

use crate::docker::{
    RecordedProgress, backends, builder, checkout, registry, request, run, unique,
};

/// Writes a file, creating its directories.
fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Builds successfully; returns the trace.
async fn built(backend: Backend, dir: &Path, spec: ImageBuild) -> String {
    let progress = RecordedProgress::default();
    let request = request(dir, spec);
    let built = run(&builder(backend).await, &request, &progress).await;
    assert!(built.is_ok(), "{backend:?} {built:?} {}", progress.text());
    progress.text()
}

#[tokio::test]
async fn copied_files_are_the_same_as_in_the_checkout() {
    let dir = checkout(&format!(
        "{SHELL}COPY plain run.sh /a/\nCOPY src/*.txt /b/\nCOPY link /c/\nCOPY tree /d\n\
         COPY linked/deep /e/\nCOPY größe /f/\nCOPY ./odd/../plain /g\nRUN . /a/checks {}\n",
        unique()
    ));
    let root = dir.path();
    let checks = "set -e\n\
        [ \"$(cat /a/plain)\" = plain ] && [ ! -x /a/plain ] && [ -x /a/run.sh ]\n\
        [ \"$(ls /b)\" = \"$(printf '1.txt\\n2.txt')\" ]\n\
        [ \"$(cat /c/link)\" = plain ] && [ ! -L /c/link ]\n\
        [ -d /d/empty ] && [ \"$(readlink /d/out)\" = /nowhere ] && [ \"$(cat /d/x/y)\" = y ]\n\
        [ \"$(cat /e/deep)\" = y ] && [ \"$(cat /f/größe)\" = ü ] && [ \"$(cat /g)\" = plain ]\n\
        [ \"$(stat -c '%u:%g' /a/plain /d/x | sort -u)\" = 0:0 ]\n";
    for (name, text) in [
        ("plain", "plain"),
        ("run.sh", ""),
        ("src/1.txt", ""),
        ("src/2.txt", ""),
        ("src/3.md", ""),
        ("tree/x/y", "y"),
        ("real/deep", "y"),
        ("größe", "ü"),
        ("odd/x", ""),
        ("checks", checks),
    ] {
        write(root, name, text);
    }
    std::fs::create_dir(root.join("tree/empty")).unwrap();
    symlink("/nowhere", root.join("tree/out")).unwrap();
    symlink("plain", root.join("link")).unwrap();
    symlink("real", root.join("linked")).unwrap();
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(root.join("run.sh"), executable).unwrap();
    let text = std::fs::read_to_string(root.join("Dockerfile")).unwrap();
    let text = text.replace("COPY plain run.sh", "COPY plain run.sh checks");
    std::fs::write(root.join("Dockerfile"), text).unwrap();
    for backend in backends() {
        built(backend, root, ImageBuild::default()).await;
    }
}

#[tokio::test]
async fn ignored_files_are_not_copied_and_the_dockerfile_may_be_anywhere() {
    let word = unique();
    let dir = checkout("");
    let root = dir.path();
    std::fs::create_dir(root.join("app")).unwrap();
    std::fs::rename(root.join("busybox"), root.join("app/busybox")).unwrap();
    write(
        root,
        "build/Dockerfile",
        &format!(
            "{SHELL}COPY . /all\nRUN cd /all && [ \"$(find . -type f | sort | xargs)\" = \
             \"./busybox ./src/keep/me\" ] && [ ! -e src/drop ] && echo {word}\n"
        ),
    );
    for (name, text) in [
        ("app/.dockerignore", "src\n!src/keep/me\n.dockerignore\n"),
        ("app/src/keep/me", ""),
        ("app/src/drop", ""),
        ("Dockerfile", "FROM nothing/of/the/kind\n"),
    ] {
        write(root, name, text);
    }
    let spec = ImageBuild {
        context: "app".to_owned(),
        dockerfile: "build/Dockerfile".to_owned(),
        ..ImageBuild::default()
    };
    let text = built(Backend::BuildKit, root, spec).await;
    assert!(text.contains(&word), "{text}");
}

#[tokio::test]
async fn files_with_equal_size_and_time_are_not_confused() {
    // Both words have the same length, and the source date gives both files the same time.
    for word in [unique(), unique()] {
        let dir = checkout(&format!("{SHELL}COPY word /word\nRUN cat /word # {word}\n"));
        write(dir.path(), "word", &word);
        let progress = RecordedProgress::default();
        let mut request = request(dir.path(), ImageBuild::default());
        request.source_date = Some(1);
        let built = run(&builder(Backend::BuildKit).await, &request, &progress).await;
        built.unwrap();
        assert!(
            progress.text().contains(&format!(" {word}\n")),
            "{}",
            progress.text()
        );
    }
}

#[tokio::test]
async fn large_files_and_many_files_are_complete() {
    let dir = checkout(&format!(
        "{SHELL}COPY . /all\nRUN cd /all && sha256sum -c sums && ls many | wc -l # {}\n",
        unique()
    ));
    let root = dir.path();
    let mut large = vec![0; 3_000_001];
    rand::fill(&mut large[..]);
    std::fs::write(root.join("large"), &large).unwrap();
    let sum = std::process::Command::new("sha256sum")
        .args(["large", "busybox"])
        .current_dir(root)
        .output();
    std::fs::write(root.join("sums"), sum.unwrap().stdout).unwrap();
    for file in 0..3000 {
        write(root, &format!("many/{file}"), "");
    }
    let text = built(Backend::BuildKit, root, ImageBuild::default()).await;
    for line in [" large: OK\n", " busybox: OK\n", " 3000\n"] {
        assert!(text.contains(line), "{text}");
    }
}

#[tokio::test]
async fn a_file_name_that_is_not_utf8_is_sent_in_an_archive() {
    let word = unique();
    let dir = checkout(&format!(
        "{SHELL}COPY . /all\n\
         RUN --mount=type=secret,id=word [ \"$(cat /all/odd-?)$(cat /run/secrets/word)\" = odd{word} ]\n"
    ));
    let name = OsStr::from_bytes(b"odd-\xff");
    std::fs::write(dir.path().join(name), "odd").unwrap();
    let secrets = BTreeMap::from([("word".to_owned(), "WORD".to_owned())]);
    let spec = ImageBuild {
        secrets,
        ..ImageBuild::default()
    };
    let request = BuildRequest {
        variables: Variables::from_iter([("WORD".to_owned(), word)]),
        ..request(dir.path(), spec)
    };
    let progress = RecordedProgress::default();
    let built = run(&builder(Backend::BuildKit).await, &request, &progress).await;
    let text = progress.text();
    assert!(built.is_ok(), "{built:?} {text}");
    assert!(
        text.contains("The file name \"odd-\\xFF\" is not valid UTF-8"),
        "{text}"
    );
    assert!(progress.steps().iter().all(|step| !step.failed), "{text}");
}

/// Reads JSON from the registry's API.
fn get_json(path: &str) -> Value {
    let registry = registry();
    let mut stream = TcpStream::connect(&registry).unwrap();
    write!(
        stream,
        "GET /v2/{path} HTTP/1.1\r\nHost: {registry}\r\n\
         Accept: application/vnd.docker.distribution.manifest.v2+json\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn the_cache_record_of_an_image_does_not_grow_with_every_build() {
    let dir = checkout("FROM scratch\nCOPY first /first\nCOPY round /round\n");
    write(dir.path(), "first", &unique());
    let path = format!("test/{}", unique());
    let spec = ImageBuild {
        repository: Some(format!("{}/{path}", registry()).parse().unwrap()),
        tags: vec!["main".to_owned()],
        cache_tag: Some("main".to_owned()),
        ..ImageBuild::default()
    };
    let mut lengths = Vec::new();
    for _ in 0..4 {
        write(dir.path(), "round", &unique());
        built(Backend::BuildKit, dir.path(), spec.clone()).await;
        let manifest = get_json(&format!("{path}/manifests/main"));
        let digest = manifest["config"]["digest"].as_str().unwrap();
        let config = get_json(&format!("{path}/blobs/{digest}"));
        let record = config["moby.buildkit.cache.v0"].as_str();
        lengths.push(record.unwrap().len());
    }
    let (second, last) = (lengths[1], lengths[3]);
    assert!(last < second + 100, "{lengths:?}");
}
