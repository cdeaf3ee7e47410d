//! A stock runner with the shell executor, like gitlab-ci-multi-runner 1.x: its requests, the scripts it
//! generates for a job, and the real `bash` that runs them. Written from the description of the protocol.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use slipway_testkit::processes::CoordinatorProcess;
use slipway_testkit::wait_for;
use tokio::io::AsyncReadExt as _;

use crate::farm::LIMIT;
use crate::shell::{complete_script, escaped, exported_variables, login_shell, unzip, zipped};

const AGENT: &str = "gitlab-ci-multi-runner 1.11.2 (1-11-stable; go1.7.4; linux/amd64)";

/// A registered stock runner.
pub(crate) struct StockRunner {
    base: String,
    token: String,
    http: reqwest::Client,
    dir: tempfile::TempDir,
}

/// The result of a job.
pub(crate) struct FinishedJob {
    pub(crate) id: i64,
    /// Whether its scripts succeeded.
    pub(crate) succeeded: bool,
    /// Their output.
    pub(crate) trace: String,
}

impl StockRunner {
    /// Registers a runner that claims only jobs with these tags, separated by commas.
    pub(crate) async fn register(farm: &CoordinatorProcess, tags: &str) -> Self {
        let http = reqwest::Client::new();
        let base = farm.url("/ci/api/v1");
        let body = json!({
            "info": info(None), "token": farm.secret("registration-token"),
            "description": "stock", "tag_list": tags, "run_untagged": false,
        });
        let request = http.post(format!("{base}/runners/register.json"));
        let answer = send(request.header("Accept", "application/json").json(&body)).await;
        assert_eq!(answer.0, 201, "{}", answer.1);
        let answer: Value = serde_json::from_str(&answer.1).unwrap();
        Self {
            base,
            token: answer["token"].as_str().unwrap().to_owned(),
            http,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// Waits for a job, runs it, and reports the result.
    pub(crate) async fn work(&self) -> FinishedJob {
        let job = wait_for(LIMIT, "a job for the stock runner", || self.claim()).await;
        let id = job["id"].as_i64().unwrap();
        let answer = self.put(id, json!({"state": "running"})).await;
        assert_eq!(answer.0, 200, "{}", answer.1);
        let mut trace = "Running with gitlab-ci-multi-runner 1.11.2 (0489844)\n".to_owned();
        let mut at = 0;
        let succeeded = self.run(&job, &mut trace, &mut at).await;
        let word = if succeeded { "success" } else { "failed" };
        let last = if succeeded {
            "\x1b[32;1mBuild succeeded\n\x1b[0;m"
        } else {
            "\x1b[31;1mERROR: Build failed: exit status 1\n\x1b[0;m"
        };
        trace.push_str(last);
        self.patch(&job, &trace, &mut at).await;
        let answer = self.put(id, json!({"state": word, "trace": trace})).await;
        assert_eq!(answer.0, 200, "{}", answer.1);
        FinishedJob {
            id,
            succeeded,
            trace,
        }
    }

    /// The directory for what the scripts of jobs write on the host.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    async fn claim(&self) -> Option<Value> {
        let body = json!({"info": info(Some("shell")), "token": self.token});
        let request = self
            .http
            .post(format!("{}/builds/register.json", self.base));
        let (status, text) = send(request.header("Accept", "application/json").json(&body)).await;
        match status {
            201 => Some(serde_json::from_str(&text).unwrap()),
            204 => None,
            other => panic!("{other}: {text}"),
        }
    }

    /// The steps of a job, each as its own script: sources, archives of earlier jobs, commands, upload of
    /// the job's archive.
    async fn run(&self, job: &Value, trace: &mut String, at: &mut usize) -> bool {
        let project = self.dir.path().join("builds/project-1");
        for folder in ["builds", "home", "tmp"] {
            std::fs::create_dir_all(self.dir.path().join(folder)).unwrap();
        }
        let sources = sources_script(job, &project);
        let mut succeeded = self.bash(&sources, trace).await;
        if succeeded {
            self.download_needs(job, &project, trace).await;
            let commands = commands_script(job, &project);
            succeeded = self.bash(&commands, trace).await;
        }
        self.patch(job, trace, at).await;
        let artifacts = &job["options"]["artifacts"];
        let when = artifacts["when"].as_str().unwrap_or("on_success");
        if artifacts.is_object() && (when == "always" || (when == "on_success") == succeeded) {
            self.upload(job, artifacts, &project, trace).await;
        }
        succeeded
    }

    /// Runs a script as the executor does: a login shell reads it from its standard input.
    async fn bash(&self, script: &str, trace: &mut String) -> bool {
        let mut child = login_shell(self.dir.path(), &self.temporary())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let script = script.as_bytes().to_vec();
        let writing = async move {
            // A script that fails early does not read all of its input.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut input, &script).await;
        };
        let mut said = Vec::new();
        let (_, read) = tokio::join!(writing, output.read_to_end(&mut said));
        read.unwrap();
        trace.push_str(&String::from_utf8_lossy(&said));
        child.wait().await.unwrap().success()
    }

    async fn download_needs(&self, job: &Value, project: &Path, trace: &mut String) {
        for need in job["depends_on_builds"].as_array().unwrap() {
            let file = need["artifacts_file"]["filename"].as_str();
            if file.is_none_or(str::is_empty) {
                continue;
            }
            let path = format!("builds/{}/artifacts", need["id"]);
            let request = self.http.get(format!("{}/{path}", self.base));
            let token = need["token"].as_str().unwrap();
            let answer = request.header("BUILD-TOKEN", token).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            unzip(answer.bytes().await.unwrap(), project);
            writeln!(trace, "Downloading artifacts for {}", need["name"]).unwrap();
        }
    }

    /// Uploads the archive of the job's artifact paths.
    async fn upload(&self, job: &Value, artifacts: &Value, project: &Path, trace: &mut String) {
        let name = artifacts["name"].as_str().unwrap_or("artifacts");
        let part = Part::stream(zipped(project, &artifacts["paths"]))
            .file_name(format!("{name}.zip"))
            .mime_str("application/octet-stream")
            .unwrap();
        let mut query = String::new();
        if let Some(expire_in) = artifacts["expire_in"].as_str() {
            query = format!("expire_in={}", expire_in.replace(' ', "+"));
        }
        let url = format!("{}/builds/{}/artifacts?{query}", self.base, job["id"]);
        let token = job["token"].as_str().unwrap();
        let request = self.http.post(url).header("BUILD-TOKEN", token);
        let (status, text) = send(request.multipart(Form::new().part("file", part))).await;
        assert_eq!(status, 201, "{text}");
        writeln!(trace, "Uploading artifacts to coordinator... ok").unwrap();
    }

    async fn patch(&self, job: &Value, trace: &str, at: &mut usize) {
        let piece = trace.get(*at..).unwrap();
        let range = format!("{at}-{}", trace.len());
        let path = format!("builds/{}/trace.txt", job["id"]);
        let request = self
            .http
            .request(Method::PATCH, format!("{}/{path}", self.base));
        let request = request
            .header("BUILD-TOKEN", job["token"].as_str().unwrap())
            .header("Content-Type", "text/plain")
            .header("Content-Range", range)
            .body(piece.to_owned());
        let (status, text) = send(request).await;
        assert_eq!(status, 202, "{text}");
        *at = trace.len();
    }

    async fn put(&self, id: i64, mut body: Value) -> (u16, String) {
        body["info"] = info(Some("shell"));
        body["token"] = self.token.as_str().into();
        let url = format!("{}/builds/{id}.json", self.base);
        send(self.http.put(url).json(&body)).await
    }
}

async fn send(request: RequestBuilder) -> (u16, String) {
    let answer = request.header("User-Agent", AGENT).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn info(executor: Option<&str>) -> Value {
    let mut info = json!({
        "name": "gitlab-ci-multi-runner", "version": "1.11.2", "revision": "0489844",
        "platform": "linux", "architecture": "amd64",
        "features": {"variables": true, "image": false, "services": false, "features": true,
            "cache": true},
    });
    if let Some(executor) = executor {
        info["executor"] = executor.into();
    }
    info
}

/// Exports of the runner's variables, then the coordinator's, which override them.
fn exports(job: &Value, project: &Path) -> String {
    let text = |member: &str| job[member].as_str().unwrap().to_owned();
    let mut script = String::new();
    let own = [
        ("CI", "true".to_owned()),
        ("CI_BUILD_REF", text("sha")),
        ("CI_BUILD_ID", job["id"].to_string()),
        ("CI_BUILD_REPO", text("repo_url")),
        ("CI_BUILD_TOKEN", text("token")),
        ("CI_PROJECT_DIR", project.to_str().unwrap().to_owned()),
        ("CI_SERVER", "yes".to_owned()),
    ];
    for (key, value) in own {
        writeln!(script, "export {}={}", escaped(key), escaped(&value)).unwrap();
    }
    script.push_str(&exported_variables(job));
    script
}

fn sources_script(job: &Value, project: &Path) -> String {
    let (url, sha) = (
        job["repo_url"].as_str().unwrap(),
        job["sha"].as_str().unwrap(),
    );
    let dir = escaped(project.to_str().unwrap());
    let mut script = exports(job, project);
    writeln!(
        script,
        "echo {}",
        escaped("\x1b[32;1mCloning repository...\x1b[0;m")
    )
    .unwrap();
    writeln!(script, "rm -r -f {dir}").unwrap();
    writeln!(script, "git {} {} {dir}", escaped("clone"), escaped(url)).unwrap();
    writeln!(script, "cd {dir}").unwrap();
    let shown = format!(
        "\x1b[32;1mChecking out {} as {}...\x1b[0;m",
        &sha[..8],
        job["ref"]
    );
    writeln!(script, "echo {}", escaped(&shown)).unwrap();
    writeln!(script, "git checkout -f -q {}", escaped(sha)).unwrap();
    complete_script(&script)
}

/// The commands, one a line; each is printed before it runs.
fn commands_script(job: &Value, project: &Path) -> String {
    let mut script = exports(job, project);
    writeln!(script, "cd {}", escaped(project.to_str().unwrap())).unwrap();
    for command in job["commands"].as_str().unwrap().split('\n') {
        let command = command.trim();
        match command {
            "" => script.push_str("echo\n"),
            command => {
                let shown = format!("\x1b[32;1m$ {command}\x1b[0;m");
                writeln!(script, "echo {}\n{command}", escaped(&shown)).unwrap();
            }
        }
    }
    complete_script(&script)
}
