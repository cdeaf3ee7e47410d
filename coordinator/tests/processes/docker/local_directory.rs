//! `slipway build .`: from a local directory to an image in a registry and in the local engine.

use std::process::{Command, Output};

use reqwest::Method;
use serde_json::json;
use slipway_test_engine::{SHELL, docker, remove_image};
use slipway_testkit::Backend;
use slipway_testkit::processes::{CoordinatorProcess, Process, program};

use super::var;
use crate::farm::{FarmDir, show};

/// Must not appear in any trace or image.
const SECRET: &str = "hunter2-of-the-directories";

/// An image with a greeting, and a later stage that fails.
const LOADED: &str = r#"FROM scratch AS app
COPY busybox /bin/sh
ARG WORD
COPY greeting /greeting
RUN echo $WORD >> /greeting
RUN --mount=type=secret,id=password if [ -f /run/secrets/password ]; then read it < /run/secrets/password; echo "it is $it"; fi
ENTRYPOINT ["/bin/sh", "-c", "read first < /greeting; echo $first"]
FROM scratch
COPY none /
"#;

/// A farm with a runner and the project `acme/api`, and a local directory.
struct DirectoryFixture {
    farm: CoordinatorProcess,
    repository: Option<String>,
    directory: tempfile::TempDir,
    _runner: Process,
    _place: FarmDir,
}

impl DirectoryFixture {
    /// With or without an image repository for the project, in the registry without authentication.
    async fn new(has_repository: bool) -> Self {
        Self::with(has_repository, &[]).await
    }

    /// Like `new`, with these arguments for the coordinator.
    async fn with(has_repository: bool, arguments: &[&str]) -> Self {
        let place = FarmDir::new(Backend::Sqlite).await;
        let farm = place.coordinator("only", arguments).await;
        let acme = json!({ "name": "acme" });
        farm.api(Method::POST, "/v1/namespaces", Some(acme)).await;
        let registry = var("SLIPWAY_TEST_REGISTRY");
        let repository = format!("{registry}/directories/api-{}", std::process::id());
        let repository = has_repository.then_some(repository);
        let project = json!({
            "namespace": "acme", "name": "api", "repo_url": "http://127.0.0.1:1/none.git",
            "image_repository": repository,
        });
        farm.api(Method::POST, "/v1/projects", Some(project)).await;
        let runner = farm.runner_with("runner", &[]);
        let directory = tempfile::tempdir().unwrap();
        std::fs::copy("/bin/busybox", directory.path().join("busybox")).unwrap();
        Self {
            farm,
            repository,
            directory,
            _runner: runner,
            _place: place,
        }
    }

    fn write(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = self.directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    /// Runs `slipway build` in the directory.
    async fn build(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program("slipway"));
        command
            .arg("build")
            .args(arguments)
            .current_dir(self.directory.path())
            .env("SLIPWAY_URL", self.farm.url(""))
            .env("SLIPWAY_TOKEN", self.farm.secret("admin-token"))
            .env("SLIPWAY_PROJECT", "acme/api");
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        run.await.unwrap()
    }
}

fn text_of(output: &Output) -> String {
    let both = [output.stdout.as_slice(), b"\n", &output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// The files that a step of the build listed.
fn listed(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.split_once("file: ./"));
    let mut names: Vec<String> = lines.map(|(_, name)| name.trim().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn links_names_and_special_permissions_stay_as_they_are() {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let fixture = DirectoryFixture::new(true).await;
    let dockerfile = format!(
        "{SHELL}COPY busybox /bin/stat\nCOPY t /t\nRUN cd /t && stat -c 'file: %a %h %N' *\n"
    );
    fixture.write(&[
        ("Dockerfile", &dockerfile),
        ("t/a", "x"),
        ("t/back\\slash", "x"),
        ("t/setuid", "x"),
        ("t/sticky/x", "x"),
    ]);
    let dir = fixture.directory.path().join("t");
    std::fs::hard_link(dir.join("a"), dir.join("b")).unwrap();
    for (name, mode) in [("a", 0o640), ("setuid", 0o4755), ("sticky", 0o1777)] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(dir.join(name), permissions).unwrap();
    }
    symlink("/absolute/nowhere", dir.join("outward")).unwrap();
    symlink("../../above", dir.join("upward")).unwrap();
    let expected = [
        "640 2 a",
        "640 2 b",
        "644 1 back\\slash",
        "777 1 outward -> /absolute/nowhere",
        "4755 1 setuid",
        "1777 2 sticky",
        "777 1 upward -> ../../above",
    ];
    let listed = |text: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.split_once("file: "));
        // Where the command itself is shown, it is not a result.
        let results = lines.filter(|(_, result)| !result.starts_with('%'));
        // Only some versions of `stat` quote all names.
        results
            .map(|(_, result)| result.replace('\'', ""))
            .collect()
    };
    let arguments = [".", "--no-cache", "--push", "-t", "api:links"];
    let text = text_of(&fixture.build(&arguments).await);
    assert_eq!(listed(&text), expected, "{text}");
    // BuildKit does not take this name from a directory, so the directory is sent as an archive.
    let name = std::ffi::OsStr::from_bytes(b"\xff");
    std::fs::write(dir.join(name), "x").unwrap();
    let text = text_of(&fixture.build(&arguments).await);
    let listed = listed(&text);
    assert_eq!(listed[..expected.len()], expected, "{text}");
    assert_eq!(listed.len(), expected.len() + 1, "{text}");
}

#[tokio::test]
async fn context_equals_the_context_of_docker_build() {
    let fixture = DirectoryFixture::new(true).await;
    let dockerfile = format!(
        "{SHELL}COPY busybox /bin/find\nCOPY . /context\nRUN cd /context && find . -type f -o -type l | while read name; do echo \"file: $name\"; done\n"
    );
    fixture.write(&[
        ("Dockerfile", &dockerfile),
        (
            ".dockerignore",
            "# what stays here\n/dist/\n**/*.log\nsecrets\n!secrets/public\ndocs/*\n!docs/README.*\n *.tmp \n./a/../out\n?.x\n",
        ),
        ("dist/app", "1"),
        ("src/dist/app", "1"),
        ("a.log", "1"),
        ("src/b.log", "1"),
        ("src/main.rs", "1"),
        ("secrets/key", "1"),
        ("secrets/public/key", "1"),
        ("docs/guide", "1"),
        ("docs/README.md", "1"),
        ("a.tmp", "1"),
        ("out/x", "1"),
        ("a.x", "1"),
        ("ab.x", "1"),
    ]);
    std::os::unix::fs::symlink("src/main.rs", fixture.directory.path().join("link")).unwrap();
    let output = fixture
        .build(&[".", "--no-cache", "--push", "-t", "api:v1"])
        .await;
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let by_farm = listed(&text);
    let path = fixture.directory.path().to_str().unwrap().to_owned();
    let name = format!("slipway-directories-by-hand:{}", std::process::id());
    // For the classic builder, the `docker` command line applies `.dockerignore`.
    let by_hand = Command::new("docker")
        .args(["build", "--no-cache", "--force-rm", "-t", &name, &path])
        .env("DOCKER_BUILDKIT", "0")
        .output()
        .unwrap();
    let by_hand = text_of(&by_hand);
    remove_image(&name);
    assert_eq!(by_farm, listed(&by_hand), "{by_hand}");
    assert!(
        by_farm.contains(&"docs/README.md".to_owned()),
        "{by_farm:?}"
    );
    assert!(!by_farm.contains(&"docs/guide".to_owned()), "{by_farm:?}");
    let repository = fixture.repository.as_deref().unwrap();
    assert!(text.contains(&format!("{repository}:v1")), "{text}");
}

#[tokio::test]
async fn push_and_load_gives_the_pushed_image_to_the_local_engine() {
    let fixture = DirectoryFixture::new(true).await;
    fixture.write(&[
        ("docker/App", LOADED),
        ("greeting", "hello from the farm\n"),
    ]);
    let variable = "/v1/projects/acme/api/variables/PASSWORD";
    let value = json!({ "value": SECRET });
    fixture.farm.api(Method::PUT, variable, Some(value)).await;
    let name = format!("slipway-directories:{}", std::process::id());
    let arguments = [
        ".",
        "-f",
        "docker/App",
        "--target",
        "app",
        "--build-arg",
        "WORD=more",
        "--label",
        "stage=test",
        "--secret",
        "id=password,variable=PASSWORD",
        "--push",
        "--load",
        "-t",
        &name,
    ];
    let output = fixture.build(&arguments).await;
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(!text.contains(SECRET), "{text}");
    let ran = docker(&["run", "--rm", &name]);
    assert_eq!(ran, "hello from the farm");
    let label = docker(&["inspect", "-f", "{{index .Config.Labels \"stage\"}}", &name]);
    assert_eq!(label, "test");
    // The digest is that of the pushed image.
    let repository = fixture.repository.as_deref().unwrap();
    let digests = docker(&["inspect", "-f", "{{.RepoDigests}}", &name]);
    assert!(digests.contains(repository), "{digests}");
    let id = docker(&["inspect", "-f", "{{.Id}}", &name]);
    remove_image(&id);
}

#[tokio::test]
async fn failures_are_reported_with_their_exit_codes() {
    let fixture = DirectoryFixture::new(false).await;
    let failing = format!("{SHELL}RUN exit 7\n");
    fixture.write(&[("Dockerfile", &failing)]);
    let output = fixture.build(&["."]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text_of(&output));
    assert!(
        text_of(&output).contains("exit code 7"),
        "{}",
        text_of(&output)
    );
    // Without an image repository the build succeeds, unless --push is given.
    fixture.write(&[("Dockerfile", SHELL)]);
    let output = fixture.build(&["."]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    let builds = async || {
        let path = "/v1/projects/acme/api/builds";
        let builds = fixture.farm.api(Method::GET, path, None).await;
        builds["items"].as_array().unwrap().len()
    };
    let before = builds().await;
    for (flags, why) in [
        (&["--push"][..], "cannot be pushed"),
        (&["--push", "--load"], "cannot be pushed"),
        (
            &["--load", "--platform", "linux/amd64,linux/arm64"],
            "one platform",
        ),
        (&["--load", "-t", "NoName"], "archive image name"),
    ] {
        let output = fixture.build(&[&["."], flags].concat()).await;
        assert_eq!(output.status.code(), Some(3), "{}", text_of(&output));
        assert!(text_of(&output).contains(why), "{}", text_of(&output));
        assert!(!text_of(&output).contains("Sent "), "{}", text_of(&output));
    }
    assert_eq!(builds().await, before);
}

#[tokio::test]
async fn load_works_without_a_registry() {
    let fixture = DirectoryFixture::new(false).await;
    let dockerfile = LOADED.split("FROM scratch\nCOPY none").next().unwrap();
    fixture.write(&[
        ("Dockerfile", dockerfile),
        ("greeting", "hello from the archive\n"),
    ]);
    let name = format!("slipway-loaded:{}", std::process::id());
    let other = format!("r.example:5000/acme/loaded-{}", std::process::id());
    let output = fixture
        .build(&[".", "--load", "-t", &name, "-t", &other])
        .await;
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains(&format!("Loaded {name}, {other}:latest")),
        "{text}"
    );
    for name in [&name, &other] {
        let ran = docker(&["run", "--rm", name]);
        assert_eq!(ran, "hello from the archive");
    }
    // The image is in no registry.
    let digests = docker(&["inspect", "-f", "{{.RepoDigests}}", &name]);
    assert_eq!(digests, "[]");
    let id = docker(&["inspect", "-f", "{{.Id}}", &name]);
    remove_image(&id);
    // The archive expires after a day.
    let builds = "/v1/projects/acme/api/builds";
    let builds = fixture.farm.api(Method::GET, builds, None).await;
    let build = builds["items"][0]["id"].as_str().unwrap();
    let job = show(&fixture.farm, build).await["jobs"][0]["id"]
        .as_i64()
        .unwrap();
    let files = super::files(&fixture.farm, job).await;
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0]["file_type"], "image_archive");
    let time = |name: &str| -> chrono::DateTime<chrono::Utc> {
        files[0][name].as_str().unwrap().parse().unwrap()
    };
    let kept = time("expires_at") - time("created_at");
    assert_eq!(kept.num_hours(), 24);
}

#[tokio::test]
async fn image_larger_than_the_archive_limit_fails_the_build() {
    let fixture = DirectoryFixture::with(false, &["--max-artifact-bytes", "200000"]).await;
    fixture.write(&[("Dockerfile", SHELL)]);
    let name = format!("slipway-too-large:{}", std::process::id());
    let output = fixture.build(&[".", "--load", "-t", &name]).await;
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let why = "too large for an archive";
    assert!(
        text.contains(why) && text.contains("--max-artifact-bytes"),
        "{text}"
    );
    assert!(!text.contains("Loaded"), "{text}");
}

#[tokio::test]
async fn interrupt_cancels_the_build() {
    let fixture = DirectoryFixture::new(false).await;
    let seconds = 200_000 + std::process::id();
    let dockerfile = format!("{SHELL}RUN exec sleep {seconds}\n");
    fixture.write(&[("Dockerfile", &dockerfile)]);
    let mut child = Command::new(program("slipway"))
        .args(["build", "."])
        .current_dir(fixture.directory.path())
        .env("SLIPWAY_URL", fixture.farm.url(""))
        .env("SLIPWAY_TOKEN", fixture.farm.secret("admin-token"))
        .env("SLIPWAY_PROJECT", "acme/api")
        .spawn()
        .unwrap();
    super::wait_until(crate::farm::LIMIT, "the step runs", || async {
        super::sleeps(seconds)
    })
    .await;
    interrupt(child.id());
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap());
    assert_eq!(status.await.unwrap().code(), Some(1));
    super::wait_until(crate::farm::LIMIT, "the step has ended", || async {
        !super::sleeps(seconds)
    })
    .await;
    let builds = "/v1/projects/acme/api/builds";
    let builds = fixture.farm.api(Method::GET, builds, None).await;
    assert_eq!(builds["items"][0]["state"], "canceled");
}

/// Sends SIGINT, as Ctrl-C does.
fn interrupt(process: u32) {
    let kill = Command::new("kill")
        .args(["-INT", &process.to_string()])
        .status();
    assert!(kill.unwrap().success());
}
