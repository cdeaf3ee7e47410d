//! Which files of a checkout a build has, and what is remembered of where they came from.

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

use crate::docker::{BOTH, Told, builder, checkout, registry, request, run, unique};

/// Writes a file with the directories that lead to it.
fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Builds; the trace when that went well.
async fn built(backend: Backend, dir: &Path, spec: ImageBuild) -> String {
    let told = Told::default();
    let request = request(dir, spec);
    let built = run(&builder(backend).await, &request, &told).await;
    assert!(built.is_ok(), "{backend:?} {built:?} {}", told.text());
    told.text()
}

#[tokio::test]
async fn whatever_a_step_copies_is_there_as_it_is_in_the_checkout() {
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
    for backend in BOTH {
        built(backend, root, ImageBuild::default()).await;
    }
}

#[tokio::test]
async fn what_is_left_out_is_not_there_and_the_build_file_may_be_anywhere() {
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
async fn files_that_look_alike_are_not_taken_for_each_other() {
    // Of the same size, and said to be of the same time.
    for word in [unique(), unique()] {
        let dir = checkout(&format!("{SHELL}COPY word /word\nRUN cat /word # {word}\n"));
        write(dir.path(), "word", &word);
        let told = Told::default();
        let mut request = request(dir.path(), ImageBuild::default());
        request.source_date = Some(1);
        let built = run(&builder(Backend::BuildKit).await, &request, &told).await;
        built.unwrap();
        assert!(
            told.text().contains(&format!(" {word}\n")),
            "{}",
            told.text()
        );
    }
}

#[tokio::test]
async fn large_files_and_many_files_are_whole() {
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
async fn a_name_that_is_no_text_is_sent_in_an_archive() {
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
    let told = Told::default();
    let built = run(&builder(Backend::BuildKit).await, &request, &told).await;
    let text = told.text();
    assert!(built.is_ok(), "{built:?} {text}");
    assert!(
        text.contains("The name \"odd-\\xFF\" is no UTF-8"),
        "{text}"
    );
    assert!(told.steps().iter().all(|step| !step.failed), "{text}");
}

/// What is under this path of the registry, as JSON.
fn ask(path: &str) -> Value {
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
async fn what_an_image_says_of_how_it_was_made_does_not_grow_from_build_to_build() {
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
        let manifest = ask(&format!("{path}/manifests/main"));
        let digest = manifest["config"]["digest"].as_str().unwrap();
        let config = ask(&format!("{path}/blobs/{digest}"));
        let said = config["moby.buildkit.cache.v0"].as_str();
        lengths.push(said.unwrap().len());
    }
    let (second, last) = (lengths[1], lengths[3]);
    assert!(last < second + 100, "{lengths:?}");
}
