//! Where commits come from: behind ssh with a deploy key, behind a login with a deploy token, and
//! with submodules.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};
use slipway_test_engine::SHELL;
use slipway_testkit::ssh::{SshServer, make_key};
use slipway_testkit::{GitServer, wait_for};

use super::{Yard, expect, one_job, var};
use crate::farm::{LIMIT, show, trace_of};

const PROJECT: &str = "/v1/projects/acme/api";
const DEPLOY_KEY: &str = "/v1/projects/acme/api/deploy-key";

impl Yard {
    async fn set_deploy_key(&self, key: Value) -> Value {
        self.farm.api(Method::PUT, DEPLOY_KEY, Some(key)).await
    }

    async fn move_source(&self, url: &str) {
        let change = json!({ "repo_url": url });
        self.farm.api(Method::PATCH, PROJECT, Some(change)).await;
    }

    /// All that the registry has of an image, unpacked.
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
            blobs.push(match blob.starts_with(&[0x1f, 0x8b]) {
                true => unzipped(&blob),
                false => blob.to_vec(),
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

/// Where on this machine `text` is to be seen: in a file under `dir` or of a git of ours, or among
/// the arguments of a process.
fn seen(text: &str, dir: &Path) -> Vec<String> {
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
async fn a_commit_behind_ssh_with_a_submodule_becomes_an_image_and_its_key_shows_nowhere() {
    let yard = Yard::new().await;
    let ssh = SshServer::start(&yard._git);
    let lib = yard._git.repo("acme/lib");
    let lib_sha = lib.commit(&[("word", "of the submodule\n")], "lib");
    yard.repo.submodule("lib", "../lib.git", &lib_sha);
    let dockerfile = format!("{SHELL}COPY . /src/\nRUN cat /src/lib/word\n");
    let jobs = "jobs: {from-the-file: {image: {}}}\n";
    let files = [("Dockerfile", dockerfile.as_str()), (".slipway.yml", jobs)];
    let sha = yard.repo.commit(&files, "with a submodule");
    yard.move_source(&ssh.url(&yard.repo)).await;
    yard.read_repository().await;
    let keys = tempfile::tempdir().unwrap();
    let (private, public) = make_key(&keys.path().join("key"), "ed25519");
    drop(keys);
    ssh.allow(&public);
    let key = json!({ "private_key": private, "known_hosts": ssh.known_hosts() });
    let shown = yard.set_deploy_key(key).await;
    assert!(
        shown["public_key"]
            .as_str()
            .unwrap()
            .starts_with("ssh-ed25519 ")
    );
    let line = private.lines().nth(3).unwrap();
    assert!(!shown.to_string().contains(line));

    // The coordinator asks for the branch and reads the file; the runner fetches.
    let build = yard.build(json!({ "ref": "main" })).await;
    let place = yard.place.dir.path();
    let done = wait_for(LIMIT, "the build is over", || async {
        assert_eq!(seen(line, place), [""; 0]);
        let build = show(&yard.farm, &build).await;
        let is_open = ["pending", "running"].contains(&build["state"].as_str().unwrap());
        (!is_open).then_some(build)
    });
    let done = done.await;
    let job = &done["jobs"][0];
    let trace = trace_of(&yard.farm, job).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{trace}");
    assert_eq!(done["sha"], sha.as_str());
    assert_eq!(job["name"], "from-the-file");
    assert!(trace.contains("Submodule lib"), "{trace}");
    assert!(trace.contains("of the submodule"), "{trace}");
    assert!(!trace.contains(line));
    let blobs = yard.blobs_of(&sha).await;
    let has = |text: &str| {
        let has = |blob: &Vec<u8>| blob.windows(text.len()).any(|part| part == text.as_bytes());
        blobs.iter().any(has)
    };
    assert!(has("of the submodule") && !has(line));

    // Somebody else stands in the server's place.
    yard.pipeline(json!([one_job("image", json!({"kind": "image_build"}))]))
        .await;
    ssh.change_host_key();
    let build = yard.build(json!({ "sha": sha })).await;
    expect(
        &yard.farm,
        &build,
        "source_unavailable",
        "the host key of the server",
    )
    .await;
    // The server does not know a key that the farm has just made, and then it does.
    let fresh = json!({ "generate": true, "known_hosts": ssh.known_hosts() });
    let fresh = yard.set_deploy_key(fresh).await;
    let build = yard.build(json!({ "sha": sha })).await;
    expect(
        &yard.farm,
        &build,
        "source_unavailable",
        "refused the login",
    )
    .await;
    ssh.allow(fresh["public_key"].as_str().unwrap());
    let build = yard.build(json!({ "ref": "main" })).await;
    let done = crate::farm::finished(&yard.farm, &build).await;
    assert_eq!(done["state"], "succeeded", "{done:#}");
}

#[tokio::test]
async fn a_deploy_token_opens_its_own_server_and_is_shown_to_no_other() {
    let yard = Yard::new().await;
    let sha = yard.repo.commit(&[("Dockerfile", SHELL)], "first");
    let elsewhere = GitServer::start();
    let other = elsewhere.repo("acme/api");
    let password = "a word of a token";
    for server in [&yard._git, &elsewhere] {
        server.require_login("deploy", password);
    }
    let token = json!({ "username": "deploy", "password": password });
    let shown = yard.set_deploy_key(token).await;
    assert_eq!(shown["username"], "deploy");
    let build = yard.build(json!({ "ref": "main" })).await;
    let done = crate::farm::finished(&yard.farm, &build).await;
    let trace = trace_of(&yard.farm, &done["jobs"][0]).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{trace}");
    let project = yard.farm.api(Method::GET, PROJECT, None).await;
    let all = format!("{shown}{done}{project}{trace}");
    assert!(
        !all.contains(password) && !all.contains("a%20word"),
        "{all}"
    );

    yard.move_source(other.url()).await;
    let build = yard.build(json!({ "sha": sha })).await;
    expect(&yard.farm, &build, "source_unavailable", "wants a login").await;
}
