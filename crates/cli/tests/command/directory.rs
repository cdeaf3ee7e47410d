//! `slipway build DIRECTORY`: what is sent, what is asked for, what is refused.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use flate2::read::GzDecoder;
use futures_util::TryStreamExt;
use slipway_domain::spec::SourceDate;
use slipway_domain::{FailureReason, ImageBuild, JobSpec, Platform, ReportedResult};
use slipway_farm::{ClaimedJob, FileKind};

use crate::desk::{Desk, SHA, ended, text};

/// A directory with these files at the desk.
fn directory(desk: &Desk, files: &[(&str, &str)]) -> PathBuf {
    let root = desk.folder.path().join("app");
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

/// The names and the times of change in what was sent for a job.
async fn sent(desk: &Desk, job: &ClaimedJob) -> Vec<(String, u64)> {
    let farm = desk.farm.farm();
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

/// Runs `slipway build` in a directory, with a project.
async fn build(desk: &Desk, at: &Path, arguments: &[&str]) -> Output {
    let mut command = desk.command(&[&["build"], arguments].concat());
    let command = command.current_dir(at).env("SLIPWAY_PROJECT", "acme/api");
    ended(command.spawn().unwrap()).await
}

#[tokio::test]
async fn a_directory_is_sent_built_and_followed() {
    let desk = Desk::logged_in().await;
    desk.farm.project("acme/api").await;
    let runner = desk.runner().await;
    let root = directory(
        &desk,
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
        let child = desk.command(&arguments).current_dir(&root).spawn().unwrap();
        let job = desk.claim(&runner).await;
        let names: Vec<String> = sent(&desk, &job)
            .await
            .into_iter()
            .map(|(n, _)| n)
            .collect();
        assert_eq!(names, [".dockerignore", "Dockerfile", "src", "src/main.rs"]);
        desk.append(&job, 0, "one\n").await;
        desk.end(&runner, job.job.id, result).await;
        let output = ended(child).await;
        assert_eq!(text(&output.stdout), "one\n");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        // No terminal, no bar: one line about what was sent, and those about the build.
        let said = text(&output.stderr);
        assert!(
            said.starts_with("Sent 4 entries of 31 B, packed into "),
            "{said}"
        );
        assert!(!said.contains('\r') && !said.contains('#'), "{said}");
    }
}

#[tokio::test]
async fn the_flags_of_docker_become_a_spec() {
    let desk = Desk::logged_in().await;
    desk.farm.project("acme/api").await;
    let runner = desk.runner().await;
    let files = [
        ("docker/App", "FROM scratch"),
        ("docker/App.dockerignore", "*\n"),
        ("context/x", ""),
    ];
    let root = directory(&desk, &files);
    let mut command = desk.command(&[
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
    // A runner of this platform.
    let job = desk.claim(&runner).await;
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
    // The Dockerfile is outside of the context, and its own patterns leave everything out.
    let sent = sent(&desk, &job).await;
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(sent[0].0, spec.dockerfile);
    assert_eq!(sent[1].0, format!("{}.dockerignore", spec.dockerfile));
    assert!(sent.iter().all(|(_, changed)| *changed == 1000), "{sent:?}");
    desk.end(&runner, job.job.id, ReportedResult::Succeeded)
        .await;
    assert_eq!(ended(child).await.status.code(), Some(0));
}

#[tokio::test]
async fn what_cannot_be_built_is_told_before_anything_is_sent() {
    let desk = Desk::logged_in().await;
    desk.farm.project("acme/api").await;
    let root = directory(&desk, &[("Dockerfile", "FROM scratch"), ("sub/x", "")]);
    std::os::unix::fs::symlink("/etc/hosts", root.join("sub/hosts")).unwrap();
    let output = desk.command(&["build", "."]).current_dir(&root).output();
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("--project"), "{output:?}");
    for (arguments, why) in [
        (&["./none"][..], "./none is not a directory"),
        (&["Dockerfile"], "Dockerfile is not a directory"),
        (&["sub"], "no Dockerfile found at sub/Dockerfile"),
        (&[".", "-f", "none"], "no Dockerfile found at none"),
        (&["."], "sub/hosts is a link that leads out of the context"),
        (&[".", "--sha", SHA], "--ref and --sha name a commit"),
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
        let output = build(&desk, &root, arguments).await;
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {output:?}");
        let said = text(&output.stderr);
        assert!(said.contains(why), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    // There is nothing to load an image into.
    let mut command = desk.command(&["build", ".", "--load", "--project", "acme/api"]);
    let command = command.current_dir(&root).env("PATH", desk.folder.path());
    let output = command.output().await.unwrap();
    assert!(
        text(&output.stderr).contains("`docker` command"),
        "{output:?}"
    );
    engine(&desk, "echo 'no daemon' >&2; exit 1");
    let output = command.output().await.unwrap();
    assert!(
        text(&output.stderr).contains("none to be had: no daemon"),
        "{output:?}"
    );
    let builds = desk.json(&["builds", "acme/api"]).await;
    assert_eq!(builds, serde_json::json!([]));
    assert_eq!(desk.farm.stored_blobs(), 0);
}

/// A `docker` command of the desk's own, which does this.
fn engine(desk: &Desk, script: &str) {
    let path = desk.folder.path().join("docker");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Has a runner leave this archive of the image that a job built.
async fn leave(desk: &Desk, job: &ClaimedJob, archive: &'static [u8]) {
    let farm = desk.farm.farm();
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
async fn an_image_is_poured_into_the_engine_as_the_runner_left_it() {
    let desk = Desk::logged_in_with(|config| config.registry = Some("r.example".to_owned())).await;
    desk.farm.project("acme/api").await;
    let runner = desk.runner().await;
    let root = directory(&desk, &[("Dockerfile", "FROM scratch")]);
    let loaded = desk.folder.path().join("loaded");
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
        engine(&desk, script);
        let mut command =
            desk.command(&[&["build", ".", "--load", "--project=acme/api"], typed].concat());
        let command = command.current_dir(&root).env("PATH", desk.folder.path());
        let child = command.spawn().unwrap();
        let job = desk.claim(&runner).await;
        assert_eq!(spec(&job).archive, names);
        // There is a registry, but it is not asked for.
        assert_eq!(spec(&job).repository, None);
        leave(&desk, &job, b"an image").await;
        desk.end(&runner, job.job.id, ReportedResult::Succeeded)
            .await;
        let output = ended(child).await;
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let said = text(&output.stderr);
        match code {
            0 => assert!(
                said.ends_with(&format!("Loaded {}\n", names.join(", "))),
                "{said}"
            ),
            _ => assert!(said.contains("`docker load` failed"), "{said}"),
        }
        if code == 0 {
            assert_eq!(std::fs::read(&loaded).unwrap(), b"an image");
            std::fs::remove_file(&loaded).unwrap();
        }
    }
}

#[tokio::test]
async fn what_the_farm_does_not_take_is_told_in_its_words() {
    let desk = Desk::logged_in_with(|config| config.limits.max_upload_bytes = 300_000).await;
    desk.farm.project("acme/api").await;
    let root = directory(&desk, &[("Dockerfile", "FROM scratch")]);
    // What a counter makes of multiplications does not become smaller when it is packed.
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
    let output = build(&desk, &root, &["."]).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = text(&output.stderr);
    assert!(
        said.contains("300000 bytes") && said.contains(".dockerignore"),
        "{said}"
    );
    std::fs::remove_file(root.join("noise")).unwrap();
    let output = build(&desk, &root, &[".", "--push"]).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(
        text(&output.stderr).contains("cannot be pushed"),
        "{output:?}"
    );
    let output = build(&desk, &root, &[".", "--pipeline", "none"]).await;
    assert!(
        text(&output.stderr).contains("no such pipeline"),
        "{output:?}"
    );
    let mut command = desk.command(&["build", ".", "--project", "acme/none"]);
    let output = command.current_dir(&root).output().await.unwrap();
    assert!(
        text(&output.stderr).contains("no such project"),
        "{output:?}"
    );
}
