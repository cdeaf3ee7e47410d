//! Private sources: ssh with a deploy key, HTTP with a deploy token, and submodules.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};
use slipway_test_engine::SHELL;
use slipway_testkit::ssh::{SshServer, make_key};
use slipway_testkit::{GitServer, wait_for};

use super::{Fixture, assert_failure, one_job, var};
use crate::farm::{LIMIT, show, trace_of};

const PROJECT: &str = "/v1/projects/acme/api";
const DEPLOY_KEY: &str = "/v1/projects/acme/api/deploy-key";

impl Fixture {
    async fn set_deploy_key(&self, key: Value) -> Value {
        self.farm.api(Method::PUT, DEPLOY_KEY, Some(key)).await
    }

    async fn move_source(&self, url: &str) {
        let change = json!({ "repo_url": url });
        self.farm.api(Method::PATCH, PROJECT, Some(change)).await;
    }

    /// All blobs of an image in the registry, decompressed.
    async fn blobs_of(&self, tag: &str) -> Vec<Vec<u8>> {
        let manifest: Value = self.manifest(tag).await.json().await.unwrap();
        let layers = manifest["layers"].as_array().unwrap().iter();
        let (registry, path) = self.repository.split_once('/').unwrap();
        let mut blobs = Vec::new();
        for one in layers.chain([&manifest["config"]]) {
            let digest = one["digest"].as_str().unwrap();
            let answer = reqwest::Client::new()
                .get(format!("http://{registry}/v2/{path}/blobs/{digest}"))
                .basic_auth(
                    var("SLIPWAY_TEST_AUTH_REGISTRY_USER"),
                    Some(var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD")),
                )
                .send();
            let blob = answer.await.unwrap().bytes().await.unwrap();
            // The configuration of an image is not compressed, its layers are.
            let is_gzip = blob.starts_with(&[0x1f, 0x8b]);
            blobs.push(if is_gzip {
                unzipped(&blob)
            } else {
                blob.to_vec()
            });
        }
        blobs
    }
}

fn unzipped(packed: &[u8]) -> Vec<u8> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(packed).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let mut gzip = Command::new("gzip");
    let output = gzip.arg("-dc").stdin(Stdio::from(file)).output().unwrap();
    output.stdout
}

/// Places on this machine where `text` is visible: files below `dir` or of our git, and arguments of
/// processes.
fn occurrences(text: &str, dir: &Path) -> Vec<String> {
    let temporary = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    let ours = temporary.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("slipway-git-")
    });
    let mut grep = Command::new("grep");
    grep.args(["-r", "-l", "-F", "-e", text])
        .arg(dir)
        .args(ours);
    let found = grep.output().unwrap().stdout;
    let files = String::from_utf8(found).unwrap();
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let arguments = processes.filter_map(|process| {
        let line = std::fs::read(process.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let is_ours = process.file_name().to_string_lossy() == own || line.starts_with("grep\0");
        (line.contains(text) && !is_ours).then_some(line)
    });
    files.lines().map(str::to_owned).chain(arguments).collect()
}

#[tokio::test]
async fn commit_over_ssh_with_a_submodule_is_built_and_the_key_is_visible_nowhere() {
    let fixture = Fixture::new().await;
    let ssh = SshServer::start(&fixture._git);
    let lib = fixture._git.repo("acme/lib");
    let lib_sha = lib.commit(&[("word", "of the submodule\n")], "lib");
    fixture.repo.submodule("lib", "../lib.git", &lib_sha);
    let dockerfile = format!("{SHELL}COPY . /src/\nRUN cat /src/lib/word\n");
    let jobs = "jobs: {from-the-file: {image: {}}}\n";
    let files = [("Dockerfile", dockerfile.as_str()), (".slipway.yml", jobs)];
    let sha = fixture.repo.commit(&files, "with a submodule");
    fixture.move_source(&ssh.url(&fixture.repo)).await;
    fixture.read_repository().await;
    let keys = tempfile::tempdir().unwrap();
    let (private, public) = make_key(&keys.path().join("key"), "ed25519");
    drop(keys);
    ssh.allow(&public);
    let key = json!({ "private_key": private, "known_hosts": ssh.known_hosts() });
    let shown = fixture.set_deploy_key(key).await;
    assert!(
        shown["public_key"]
            .as_str()
            .unwrap()
            .starts_with("ssh-ed25519 ")
    );
    let line = private.lines().nth(3).unwrap();
    assert!(!shown.to_string().contains(line));

    // The coordinator resolves the branch and reads the file; the runner fetches.
    let build = fixture.build(json!({ "ref": "main" })).await;
    let farm_dir = fixture.farm_dir.dir.path();
    let done = wait_for(LIMIT, "the build has ended", || async {
        assert_eq!(occurrences(line, farm_dir), [""; 0]);
        let build = show(&fixture.farm, &build).await;
        let is_open = ["pending", "running"].contains(&build["state"].as_str().unwrap());
        (!is_open).then_some(build)
    });
    let done = done.await;
    let job = &done["jobs"][0];
    let trace = trace_of(&fixture.farm, job).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{trace}");
    assert_eq!(done["sha"], sha.as_str());
    assert_eq!(job["name"], "from-the-file");
    assert!(trace.contains("Submodule lib"), "{trace}");
    assert!(trace.contains("of the submodule"), "{trace}");
    assert!(!trace.contains(line));
    let blobs = fixture.blobs_of(&sha).await;
    let has = |text: &str| {
        let has = |blob: &Vec<u8>| blob.windows(text.len()).any(|part| part == text.as_bytes());
        blobs.iter().any(has)
    };
    assert!(has("of the submodule") && !has(line));

    // Another server answers with a different host key.
    fixture
        .set_pipeline(json!([one_job("image", json!({"kind": "image_build"}))]))
        .await;
    ssh.change_host_key();
    let build = fixture.build(json!({ "sha": sha })).await;
    assert_failure(
        &fixture.farm,
        &build,
        "source_unavailable",
        "the host key of the server",
    )
    .await;
    // The server refuses a new key until it is authorized.
    let fresh = json!({ "generate": true, "known_hosts": ssh.known_hosts() });
    let fresh = fixture.set_deploy_key(fresh).await;
    let build = fixture.build(json!({ "sha": sha })).await;
    assert_failure(
        &fixture.farm,
        &build,
        "source_unavailable",
        "refused the login",
    )
    .await;
    ssh.allow(fresh["public_key"].as_str().unwrap());
    let build = fixture.build(json!({ "ref": "main" })).await;
    let done = crate::farm::wait_until_finished(&fixture.farm, &build).await;
    assert_eq!(done["state"], "succeeded", "{done:#}");
}

#[tokio::test]
async fn deploy_token_is_sent_to_its_own_server_only() {
    let fixture = Fixture::new().await;
    let sha = fixture.repo.commit(&[("Dockerfile", SHELL)], "first");
    let elsewhere = GitServer::start();
    let other = elsewhere.repo("acme/api");
    let password = "a word of a token";
    for server in [&fixture._git, &elsewhere] {
        server.require_login("deploy", password);
    }
    let token = json!({ "username": "deploy", "password": password });
    let shown = fixture.set_deploy_key(token).await;
    assert_eq!(shown["username"], "deploy");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let done = crate::farm::wait_until_finished(&fixture.farm, &build).await;
    let trace = trace_of(&fixture.farm, &done["jobs"][0]).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{trace}");
    let project = fixture.farm.api(Method::GET, PROJECT, None).await;
    let all = format!("{shown}{done}{project}{trace}");
    assert!(
        !all.contains(password) && !all.contains("a%20word"),
        "{all}"
    );

    fixture.move_source(other.url()).await;
    let build = fixture.build(json!({ "sha": sha })).await;
    assert_failure(&fixture.farm, &build, "source_unavailable", "wants a login").await;
}
