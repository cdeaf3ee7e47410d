//! `slipway build DIRECTORY`: what is uploaded, which spec is requested, what is rejected.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use flate2::read::GzDecoder;
use futures_util::TryStreamExt;
use slipway_domain::spec::SourceDate;
use slipway_domain::{FailureReason, ImageBuild, JobSpec, Platform, ReportedResult};
use slipway_farm::{ClaimedJob, FileKind, ProjectUpdate};

use crate::fixture::{Fixture, SHA, ended, text};

/// Creates a directory with these files.
fn directory(fixture: &Fixture, files: &[(&str, &str)]) -> PathBuf {
    let root = fixture.folder.path().join("app");
    for (name, content) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    root
}

fn spec(job: &ClaimedJob) -> &ImageBuild {
    match &job.job.spec {
        JobSpec::ImageBuild(spec) => spec,
        other => panic!("{other:?}"),
    }
}

/// The names and modification times in the source archive of a job.
async fn sent(fixture: &Fixture, job: &ClaimedJob) -> Vec<(String, u64)> {
    let farm = fixture.farm.farm();
    let found = farm.package_by_token(job.job.id, &job.token).await;
    let pieces: Vec<bytes::Bytes> = found.unwrap().1.try_collect().await.unwrap();
    let mut unpacked = Vec::new();
    let packed = pieces.concat();
    let mut decoder = GzDecoder::new(packed.as_slice());
    decoder.read_to_end(&mut unpacked).unwrap();
    let mut archive = tar::Archive::new(unpacked.as_slice());
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        (name, entry.header().mtime().unwrap())
    });
    entries.collect()
}

/// Runs `slipway build` in a directory, with the project `acme/api`.
async fn build(fixture: &Fixture, at: &Path, arguments: &[&str]) -> Output {
    let mut command = fixture.command(&[&["build"], arguments].concat());
    let command = command.current_dir(at).env("SLIPWAY_PROJECT", "acme/api");
    ended(command.spawn().unwrap()).await
}

#[tokio::test]
async fn a_directory_is_uploaded_built_and_followed() {
    let fixture = Fixture::logged_in().await;
    fixture.farm.project("acme/api").await;
    let runner = fixture.runner().await;
    let root = directory(
        &fixture,
        &[
            ("Dockerfile", "FROM scratch"),
            (".dockerignore", "target\n"),
            ("target/large", "x"),
            ("src/main.rs", "fn main() {}"),
        ],
    );
    let failed = ReportedResult::Failed(FailureReason::BuildFailed);
    for (result, code) in [(ReportedResult::Succeeded, 0), (failed, 1)] {
        let arguments = ["build", ".", "--project", "acme/api"];
        let child = fixture
            .command(&arguments)
            .current_dir(&root)
            .spawn()
            .unwrap();
        let job = fixture.claim(&runner).await;
        let names: Vec<String> = sent(&fixture, &job)
            .await
            .into_iter()
            .map(|(n, _)| n)
            .collect();
        assert_eq!(names, [".dockerignore", "Dockerfile", "src", "src/main.rs"]);
        fixture.append(&job, 0, "one\n").await;
        fixture.end(&runner, job.job.id, result).await;
        let output = ended(child).await;
        assert_eq!(text(&output.stdout), "one\n");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        // Without a terminal there is no bar: only a line about the upload, and those about the build.
        let stderr = text(&output.stderr);
        assert!(
            stderr.starts_with("Sent 4 entries of 31 B, packed into "),
            "{stderr}"
        );
        assert!(!stderr.contains('\r') && !stderr.contains('#'), "{stderr}");
    }
}

#[tokio::test]
async fn docker_build_flags_become_the_image_spec() {
    let fixture = Fixture::logged_in().await;
    let project = fixture.farm.project("acme/api").await;
    let own = ProjectUpdate {
        image_repository: Some(Some("registry.example/acme/api".parse().unwrap())),
        ..ProjectUpdate::default()
    };
    let updated = fixture.farm.farm().update_project(&project, own).await;
    updated.unwrap();
    let runner = fixture.runner().await;
    let files = [
        ("docker/App", "FROM scratch"),
        ("docker/App.dockerignore", "*\n"),
        ("context/x", ""),
    ];
    let root = directory(&fixture, &files);
    let mut command = fixture.command(&[
        "build",
        "context",
        "--file=docker/App",
        "-t=registry.example/acme/api:v1",
        "-t=registry.example/acme/api",
        "--target=slim",
        "--build-arg=A=1",
        "--build-arg=FROM_HERE",
        "--build-arg=NOT_SET_HERE",
        "--label=a.b=c=d",
        "--no-cache",
        "--pull",
        "--platform=linux/amd64",
        "--secret=id=npm,variable=NPM_TOKEN",
        "--push",
    ]);
    let command = command
        .current_dir(&root)
        .env("SLIPWAY_PROJECT", "acme/api")
        .env("FROM_HERE", "2")
        .env("SOURCE_DATE_EPOCH", "1000");
    let child = command.spawn().unwrap();
    // The runner has this platform.
    let job = fixture.claim(&runner).await;
    let spec = spec(&job).clone();
    let repository = spec.repository.as_ref().unwrap().as_str();
    assert_eq!(repository, "registry.example/acme/api");
    assert_eq!(spec.tags, ["v1", "latest"]);
    assert_eq!(spec.target.as_deref(), Some("slim"));
    let args: Vec<(&str, &str)> = spec.args.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(args, [("A", "1"), ("FROM_HERE", "2")]);
    assert_eq!(spec.labels["a.b"], "c=d");
    assert!(spec.no_cache && spec.pull);
    let platform: Platform = "linux/amd64".parse().unwrap();
    assert_eq!(spec.platforms, [platform]);
    assert_eq!(spec.secrets["npm"], "NPM_TOKEN");
    assert_eq!(spec.source_date, Some(SourceDate::Seconds(1000)));
    // The Dockerfile is outside of the context, and its own ignore file excludes everything.
    let sent = sent(&fixture, &job).await;
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(sent[0].0, spec.dockerfile);
    assert_eq!(sent[1].0, format!("{}.dockerignore", spec.dockerfile));
    assert!(sent.iter().all(|(_, changed)| *changed == 1000), "{sent:?}");
    fixture
        .end(&runner, job.job.id, ReportedResult::Succeeded)
        .await;
    assert_eq!(ended(child).await.status.code(), Some(0));
}

#[tokio::test]
async fn invalid_builds_fail_before_anything_is_uploaded() {
    let fixture = Fixture::logged_in().await;
    fixture.farm.project("acme/api").await;
    let files = [
        ("Dockerfile", "FROM scratch"),
        ("sub/x", ""),
        ("bad/Dockerfile", "FROM scratch"),
        ("bad/.dockerignore", "*\n!\n"),
    ];
    let root = directory(&fixture, &files);
    let output = fixture.command(&["build", "."]).current_dir(&root).output();
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("--project"), "{output:?}");
    for (arguments, why) in [
        (&["./none"][..], "./none is not a directory"),
        (&["Dockerfile"], "Dockerfile is not a directory"),
        (&["sub"], "no Dockerfile found at sub/Dockerfile"),
        (&[".", "-f", "none"], "no Dockerfile found at none"),
        (
            &["bad"],
            "the patterns in .dockerignore are invalid: illegal exclusion pattern: \"!\"",
        ),
        (
            &[".", "--sha", SHA],
            "--ref and --sha are for commits of a project",
        ),
        (&["acme/api", "--push"], "acme/api is a project"),
        (&[".", "-t", "a.b/x:1", "-t", "a.b/y:1"], "one repository"),
        (&[".", "--push"], "cannot be pushed"),
        (&[".", "-t", "x:no tag"], "image tag"),
        (&[".", "--pipeline", "none"], "no such pipeline"),
        (
            &[".", "--load", "--platform=linux/amd64,linux/arm64"],
            "one platform",
        ),
    ] {
        let output = build(&fixture, &root, arguments).await;
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {output:?}");
        let stderr = text(&output.stderr);
        assert!(stderr.contains(why), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    // There is no engine that could load an image.
    let mut command = fixture.command(&["build", ".", "--load", "--project", "acme/api"]);
    let command = command
        .current_dir(&root)
        .env("PATH", fixture.folder.path());
    let output = command.output().await.unwrap();
    assert!(
        text(&output.stderr).contains("`docker` command"),
        "{output:?}"
    );
    install_docker(&fixture, "echo 'no daemon' >&2; exit 1");
    let output = command.output().await.unwrap();
    assert!(
        text(&output.stderr).contains("not available: no daemon"),
        "{output:?}"
    );
    let builds = fixture.json(&["builds", "acme/api"]).await;
    assert_eq!(builds, serde_json::json!([]));
    assert_eq!(fixture.farm.stored_blobs(), 0);
}

/// Installs a `docker` command that runs this script.
fn install_docker(fixture: &Fixture, script: &str) {
    let path = fixture.folder.path().join("docker");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Uploads an archive of the image that a job built, as its runner does.
async fn upload_image(fixture: &Fixture, job: &ClaimedJob, archive: &'static [u8]) {
    let farm = fixture.farm.farm();
    let job = farm
        .running_job_access(job.job.id, &job.token)
        .await
        .unwrap();
    let pieces = [Ok::<_, std::io::Error>(bytes::Bytes::from_static(archive))];
    let received = farm.receive_archive(&job, futures_util::stream::iter(pieces));
    let kind = FileKind::named("image_archive", "gzip").unwrap();
    let name = "image.tar.gz".to_owned();
    let kept = farm.put_file(&job, received.await.unwrap(), kind, name, None);
    kept.await.unwrap();
}

#[tokio::test]
async fn load_passes_the_image_archive_unchanged_to_docker_load() {
    let fixture =
        Fixture::logged_in_with(|config| config.registry = Some("r.example".to_owned())).await;
    fixture.farm.project("acme/api").await;
    let runner = fixture.runner().await;
    let root = directory(&fixture, &[("Dockerfile", "FROM scratch")]);
    let loaded = fixture.folder.path().join("loaded");
    let load = format!("[ $1 = version ] || /bin/cat > {}", loaded.display());
    for (typed, names, script, code) in [
        (
            &["-t=api", "-t=s.example/a:v1"][..],
            &["api:latest", "s.example/a:v1"][..],
            &*load,
            0,
        ),
        (&[], &["acme/api:latest"], &load, 0),
        (&[], &["acme/api:latest"], "[ $1 = version ]", 3),
    ] {
        install_docker(&fixture, script);
        let mut command =
            fixture.command(&[&["build", ".", "--load", "--project=acme/api"], typed].concat());
        let command = command
            .current_dir(&root)
            .env("PATH", fixture.folder.path());
        let child = command.spawn().unwrap();
        let job = fixture.claim(&runner).await;
        assert_eq!(spec(&job).archive, names);
        // The farm has a registry, but --load alone does not push.
        assert_eq!(spec(&job).repository, None);
        upload_image(&fixture, &job, b"an image").await;
        fixture
            .end(&runner, job.job.id, ReportedResult::Succeeded)
            .await;
        let output = ended(child).await;
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let stderr = text(&output.stderr);
        match code {
            0 => assert!(
                stderr.ends_with(&format!("Loaded {}\n", names.join(", "))),
                "{stderr}"
            ),
            _ => assert!(stderr.contains("`docker load` failed"), "{stderr}"),
        }
        if code == 0 {
            assert_eq!(std::fs::read(&loaded).unwrap(), b"an image");
            std::fs::remove_file(&loaded).unwrap();
        }
    }
}

#[tokio::test]
async fn errors_of_the_farm_are_printed_with_its_message() {
    let fixture = Fixture::logged_in_with(|config| config.limits.max_upload_bytes = 300_000).await;
    fixture.farm.project("acme/api").await;
    let root = directory(&fixture, &[("Dockerfile", "FROM scratch")]);
    // Pseudo-random bytes do not become smaller when they are compressed.
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56).to_le_bytes()[0]
    })
    .take(8 << 20)
    .collect();
    std::fs::write(root.join("noise"), noise).unwrap();
    let output = build(&fixture, &root, &["."]).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("300000 bytes") && stderr.contains(".dockerignore"),
        "{stderr}"
    );
    std::fs::remove_file(root.join("noise")).unwrap();
    let output = build(&fixture, &root, &[".", "--push"]).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(
        text(&output.stderr).contains("cannot be pushed"),
        "{output:?}"
    );
    let output = build(&fixture, &root, &[".", "--pipeline", "none"]).await;
    assert!(
        text(&output.stderr).contains("no such pipeline"),
        "{output:?}"
    );
    let mut command = fixture.command(&["build", ".", "--project", "acme/none"]);
    let output = command.current_dir(&root).output().await.unwrap();
    assert!(
        text(&output.stderr).contains("no such project"),
        "{output:?}"
    );
}
