//! A scripted stand-in for stock runner 18.x with the shell executor. For each job it makes the same
//! calls in the same order and runs the steps in a real shell.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::shell::{complete_script, escaped, exported_variables, login_shell, unzip, zipped};

/// How often a call is made while the response is 503. Stock runners do this from 18.3 on.
const TRIES: usize = 5;
/// How long a job may print nothing before a keep-alive is sent. A stock runner waits 30 s.
const KEEP_ALIVE: Duration = Duration::from_millis(200);

/// What stops the script of a job. The `after_script` runs even when the job is being canceled, and
/// only [`ShellExit::Aborted`] stops it.
const STOPS_SCRIPT: &[ShellExit] = &[ShellExit::Canceling, ShellExit::Aborted];

/// A registered runner.
pub(crate) struct ScriptedRunner {
    base: String,
    token: String,
    http: reqwest::Client,
    dir: TempDir,
    /// Runs after each job, also after a canceled one. Jobs of the farm have no `after_script`, but a
    /// runner's own configuration may.
    pub(crate) after_script: Option<String>,
}

/// A job that the runner ran to its end.
#[derive(Debug)]
pub(crate) struct FinishedJob {
    pub(crate) id: i64,
    pub(crate) succeeded: bool,
    pub(crate) trace: String,
    /// The `Job-Status` of the last response.
    pub(crate) job_status: String,
}

/// How a shell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShellExit {
    Exited(i32),
    /// The job is being canceled; the runner may still run `after_script` and upload artifacts.
    Canceling,
    /// The job no longer belongs to the runner.
    Aborted,
}

/// The parts of a response that the client reads.
struct RunnerResponse {
    status: StatusCode,
    job_status: String,
    range: Option<String>,
    body: bytes::Bytes,
}

impl RunnerResponse {
    /// How the client reacts to the response while a job runs.
    fn interruption(&self) -> Option<ShellExit> {
        match (self.job_status.as_str(), self.status.as_u16()) {
            ("canceling", _) => Some(ShellExit::Canceling),
            ("canceled" | "failed", _) | (_, 403) => Some(ShellExit::Aborted),
            _ => None,
        }
    }
}

/// The trace, and how many bytes of it the coordinator acknowledged.
#[derive(Default)]
struct Trace {
    bytes: Vec<u8>,
    acknowledged: usize,
}

impl ScriptedRunner {
    /// Uses a runner token at the coordinator at `base`.
    pub(crate) fn with_token(base: &str, token: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["builds", "home", "tmp"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        Self {
            base: format!("{base}/api/v4"),
            token: token.to_owned(),
            http: slipway_testkit::http().build().unwrap(),
            dir,
            after_script: None,
        }
    }

    /// Registers with a registration token and tags. Without tags it takes untagged jobs.
    pub(crate) async fn register(base: &str, registration_token: &str, tags: &str) -> Self {
        let mut runner = Self::with_token(base, "");
        let body = json!({
            "token": registration_token, "description": "stock", "tag_list": tags,
            "run_untagged": tags.is_empty(), "locked": true, "paused": false, "info": info(),
        });
        let url = format!("{}/runners", runner.base);
        let response = runner.send(|| runner.http.post(&url).json(&body)).await;
        assert_eq!(response.status, 201);
        let made: Value = serde_json::from_slice(&response.body).unwrap();
        runner.token = made["token"].as_str().unwrap().to_owned();
        runner
    }

    /// The temporary directory of job scripts, to check what they leave on the host.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    /// Polls for a job.
    pub(crate) async fn claim(&self) -> Option<Value> {
        let url = format!("{}/jobs/request", self.base);
        let body = json!({"info": info(), "token": self.token, "system_id": "s_0123456789ab"});
        let response = self.send(|| self.http.post(&url).json(&body)).await;
        match response.status.as_u16() {
            201 => Some(serde_json::from_slice(&response.body).unwrap()),
            204 => None,
            other => panic!("{other}: {:?}", response.body),
        }
    }

    /// Runs a job and reports its result.
    pub(crate) async fn run(&self, job: &Value) -> FinishedJob {
        let first = json!({"state": "running", "output": {}});
        let response = self.put(job, first).await;
        assert_eq!(
            (response.status.as_u16(), response.interruption()),
            (200, None)
        );
        let mut trace = Trace::default();
        trace
            .bytes
            .extend(b"Running with gitlab-runner 18.11.4 (abcdef12)\n");
        let project = self.dir.path().join("builds/project");
        std::fs::create_dir_all(&project).unwrap();
        let mut exit = self
            .shell(
                job,
                &sources_script(job, &project),
                &mut trace,
                STOPS_SCRIPT,
            )
            .await;
        if exit == ShellExit::Exited(0) {
            self.download_needs(job, &project).await;
            for step in job["steps"].as_array().unwrap() {
                let script = step_script(job, step, &project);
                exit = self.shell(job, &script, &mut trace, STOPS_SCRIPT).await;
            }
        }
        if let (Some(after), true) = (&self.after_script, exit != ShellExit::Aborted) {
            let step = json!({ "script": [after] });
            let script = step_script(job, &step, &project);
            self.shell(job, &script, &mut trace, &[ShellExit::Aborted])
                .await;
        }
        let succeeded = exit == ShellExit::Exited(0);
        if exit != ShellExit::Aborted {
            self.upload(job, &project, succeeded).await;
        }
        trace.bytes.extend(match exit {
            ShellExit::Exited(0) => "Job succeeded\n".as_bytes(),
            ShellExit::Exited(_) => b"ERROR: Job failed: exit status 1\n",
            ShellExit::Canceling | ShellExit::Aborted => b"ERROR: Job failed: canceled\n",
        });
        self.send_rest(job, &mut trace).await;
        let last = self.put(job, final_report(exit, &trace)).await;
        FinishedJob {
            id: job["id"].as_i64().unwrap(),
            succeeded,
            trace: String::from_utf8(trace.bytes).unwrap(),
            job_status: last.job_status,
        }
    }

    /// Runs a script in a login shell, which reads it from standard input, and sends its output as it
    /// arrives.
    async fn shell(
        &self,
        job: &Value,
        script: &str,
        trace: &mut Trace,
        stopped_by: &[ShellExit],
    ) -> ShellExit {
        let mut shell = login_shell(self.dir.path(), &self.temporary());
        let mut child = shell.process_group(0).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let script = script.as_bytes().to_vec();
        // A script that fails early does not read all of its input, so the write may fail.
        let writing = tokio::spawn(async move { input.write_all(&script).await });
        let mut buffer = vec![0; 64 << 10];
        let interruption = loop {
            let read = tokio::time::timeout(KEEP_ALIVE, output.read(&mut buffer)).await;
            let interruption = match read {
                Ok(Ok(0)) => break None,
                Ok(count) => {
                    trace.bytes.extend(&buffer[..count.unwrap()]);
                    self.send_chunk(job, trace).await
                }
                Err(_) => self
                    .put(job, json!({"state": "running"}))
                    .await
                    .interruption(),
            };
            let interruption = interruption.filter(|reason| stopped_by.contains(reason));
            if interruption.is_some() {
                interrupt(&child).await;
                break interruption;
            }
        };
        let _ = writing.await;
        let status = child.wait().await.unwrap();
        interruption.unwrap_or(ShellExit::Exited(status.code().unwrap_or(1)))
    }

    /// Sends everything that is not yet acknowledged as one chunk.
    async fn send_chunk(&self, job: &Value, trace: &mut Trace) -> Option<ShellExit> {
        let chunk = trace.bytes[trace.acknowledged..].to_vec();
        // The end of the range is inclusive in this protocol.
        let range = format!("{}-{}", trace.acknowledged, trace.bytes.len() - 1);
        let url = format!("{}/jobs/{}/trace?debug_trace=false", self.base, job["id"]);
        let token = job["token"].as_str().unwrap();
        let response = self
            .send(|| {
                let request = self.http.request(Method::PATCH, &url);
                let request = request.header("JOB-TOKEN", token);
                let request = request.header("Content-Type", "text/plain");
                request.header("Content-Range", &range).body(chunk.clone())
            })
            .await;
        match response.status.as_u16() {
            202 => trace.acknowledged = trace.bytes.len(),
            416 => {
                let range = response.range.clone().unwrap();
                trace.acknowledged = range.strip_prefix("0-").unwrap().parse().unwrap();
            }
            403 => {}
            other => panic!("{other}"),
        }
        response.interruption()
    }

    /// Sends the rest of the trace until everything is acknowledged or the job is aborted.
    async fn send_rest(&self, job: &Value, trace: &mut Trace) {
        while trace.acknowledged < trace.bytes.len() {
            if self.send_chunk(job, trace).await == Some(ShellExit::Aborted) {
                return;
            }
        }
    }

    async fn download_needs(&self, job: &Value, project: &Path) {
        for need in job["dependencies"].as_array().unwrap() {
            let token = need["token"].as_str().unwrap();
            let url = format!("{}/jobs/{}/artifacts", self.base, need["id"]);
            let response = self
                .send(|| self.http.get(&url).header("JOB-TOKEN", token))
                .await;
            assert_eq!(response.status, 200);
            unzip(response.body, project);
        }
    }

    /// Uploads the artifacts that the job declares for this result.
    async fn upload(&self, job: &Value, project: &Path, succeeded: bool) {
        for artifact in job["artifacts"].as_array().unwrap() {
            let is_wanted = match artifact["when"].as_str().unwrap() {
                "always" => true,
                when => (when == "on_success") == succeeded,
            };
            if !is_wanted {
                continue;
            }
            let query = format!(
                "artifact_format={}&artifact_type={}",
                artifact["artifact_format"].as_str().unwrap(),
                artifact["artifact_type"].as_str().unwrap()
            );
            let url = format!("{}/jobs/{}/artifacts?{query}", self.base, job["id"]);
            let token = job["token"].as_str().unwrap();
            let response = self
                .send(|| {
                    let part = Part::stream(zipped(project, &artifact["paths"]));
                    let part = part.file_name("artifacts.zip");
                    let request = self.http.post(&url).header("JOB-TOKEN", token);
                    request.multipart(Form::new().part("file", part))
                })
                .await;
            assert_eq!(response.status, 201);
        }
    }

    async fn put(&self, job: &Value, mut body: Value) -> RunnerResponse {
        body["info"] = info();
        body["token"] = job["token"].clone();
        let url = format!("{}/jobs/{}", self.base, job["id"]);
        self.send(|| self.http.put(&url).json(&body)).await
    }

    /// Sends a request and repeats it while the response is 503.
    async fn send(&self, make: impl Fn() -> RequestBuilder) -> RunnerResponse {
        for _ in 0..TRIES {
            let response = make().send().await.unwrap();
            let text = |name: &str| {
                let value = response.headers().get(name)?.to_str().ok()?;
                Some(value.to_owned())
            };
            let received = RunnerResponse {
                status: response.status(),
                job_status: text("job-status").unwrap_or_default(),
                range: text("range"),
                body: bytes::Bytes::new(),
            };
            if received.status == StatusCode::SERVICE_UNAVAILABLE {
                continue;
            }
            return RunnerResponse {
                body: response.bytes().await.unwrap(),
                ..received
            };
        }
        panic!("the coordinator answered 503 {TRIES} times");
    }
}

async fn interrupt(child: &Child) {
    let group = format!("-{}", child.id().unwrap());
    let kill = Command::new("kill").args(["-TERM", "--", &group]).status();
    kill.await.unwrap();
}

fn final_report(exit: ShellExit, trace: &Trace) -> Value {
    let checksum = format!("crc32:{:08x}", crc32fast::hash(&trace.bytes));
    let mut report = json!({
        "state": if exit == ShellExit::Exited(0) { "success" } else { "failed" },
        "checksum": checksum, "output": {"checksum": checksum, "bytesize": trace.bytes.len()},
    });
    if let ShellExit::Exited(code @ 1..) = exit {
        report["failure_reason"] = "script_failure".into();
        report["exit_code"] = code.into();
    }
    report
}

fn info() -> Value {
    json!({
        "name": "gitlab-runner", "version": "18.11.4", "revision": "abcdef12",
        "platform": "linux", "architecture": "amd64", "executor": "shell", "shell": "bash",
        "features": {
            "variables": true, "artifacts": true, "cache": true, "refspecs": true, "masking": true,
            "raw_variables": true, "multi_build_steps": true, "trace_reset": true,
            "trace_checksum": true, "trace_size": true, "cancelable": true,
            "return_exit_code": true, "cancel_gracefully": true,
        },
    })
}

/// Exports the project directory and the job's variables.
fn exports(job: &Value, project: &Path) -> String {
    let mut script = String::new();
    let directory = escaped(project.to_str().unwrap());
    writeln!(script, "export CI_PROJECT_DIR={directory}").unwrap();
    script.push_str(&exported_variables(job));
    script
}

/// Fetches the refspecs and checks out the commit, unless `GIT_STRATEGY` is `none`.
fn sources_script(job: &Value, project: &Path) -> String {
    let git = &job["git_info"];
    let mut script = exports(job, project);
    let dir = escaped(project.to_str().unwrap());
    script.push_str("if [ \"$GIT_STRATEGY\" = none ]; then echo 'Skipping Git repository setup'\n");
    writeln!(script, "else rm -rf {dir}; git init -q {dir}; cd {dir}").unwrap();
    let url = escaped(git["repo_url"].as_str().unwrap());
    writeln!(script, "git remote add origin {url}").unwrap();
    let specs = git["refspecs"].as_array().unwrap().iter();
    let specs: Vec<String> = specs.map(|spec| escaped(spec.as_str().unwrap())).collect();
    writeln!(script, "git fetch -q origin --no-tags {}", specs.join(" ")).unwrap();
    let sha = git["sha"].as_str().unwrap();
    writeln!(script, "echo 'Checking out {} as detached HEAD'", &sha[..8]).unwrap();
    writeln!(script, "git checkout -f -q --detach {sha}\nfi").unwrap();
    complete_script(&script)
}

/// Runs the lines of a step and prints each before it runs.
fn step_script(job: &Value, step: &Value, project: &Path) -> String {
    let mut script = exports(job, project);
    writeln!(script, "cd {}", escaped(project.to_str().unwrap())).unwrap();
    for line in step["script"].as_array().unwrap() {
        let line = line.as_str().unwrap().trim();
        let shown = match line.split_once('\n') {
            Some((first, _)) => format!("$ {first} # collapsed multi-line command"),
            None => format!("$ {line}"),
        };
        writeln!(script, "echo {}\n{line}", escaped(&shown)).unwrap();
    }
    complete_script(&script)
}
