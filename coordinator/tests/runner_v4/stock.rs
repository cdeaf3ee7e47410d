//! What stands in for a stock runner of 18.x with the shell executor: it makes the calls that one makes
//! for a job, in the same order, and runs the steps in a real shell.

use std::fmt::Write as _;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use zip::ZipArchive;

use crate::shell::{escaped, finished, login_shell, packed};

/// How often a call is made that was answered with "not now", as runners from 18.3 on do it.
const TRIES: usize = 5;
/// After how long without anything to send it says that it is alive. A stock runner takes 30 s.
const KEEP_ALIVE: Duration = Duration::from_millis(200);

/// What stops the script of a job. What comes after it goes on when the job is merely called off.
const STOPPED_BY: &[End] = &[End::Canceling, End::Aborted];

/// A runner that is registered.
pub(crate) struct Stock {
    base: String,
    token: String,
    http: reqwest::Client,
    dir: TempDir,
    /// What runs after a job, also after a canceled one. The farm has none; a runner's own
    /// configuration may.
    pub(crate) after_script: Option<String>,
}

/// A job that was run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) id: i64,
    pub(crate) succeeded: bool,
    pub(crate) trace: String,
    /// What the last call said that the job is.
    pub(crate) told: String,
}

/// How a shell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Exited(i32),
    /// The job is called off, and may be ended in the runner's own way.
    Canceling,
    /// The job is taken away.
    Aborted,
}

struct Answered {
    status: StatusCode,
    job: String,
    range: Option<String>,
    body: bytes::Bytes,
}

impl Answered {
    /// What the client makes of it while a job runs.
    fn verdict(&self) -> Option<End> {
        match (self.job.as_str(), self.status.as_u16()) {
            ("canceling", _) => Some(End::Canceling),
            ("canceled" | "failed", _) | (_, 403) => Some(End::Aborted),
            _ => None,
        }
    }
}

/// The log, and how much of it the farm has.
#[derive(Default)]
struct Log {
    text: Vec<u8>,
    held: usize,
}

impl Stock {
    /// A runner with this token, at the farm at `base`.
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

    /// Registers one with a registration token and these tags.
    pub(crate) async fn register(base: &str, registration_token: &str, tags: &str) -> Self {
        let mut runner = Self::with_token(base, "");
        let body = json!({
            "token": registration_token, "description": "stock", "tag_list": tags,
            "run_untagged": tags.is_empty(), "locked": true, "paused": false, "info": info(),
        });
        let url = format!("{}/runners", runner.base);
        let answer = runner.sent(|| runner.http.post(&url).json(&body)).await;
        assert_eq!(answer.status, 201);
        let made: Value = serde_json::from_slice(&answer.body).unwrap();
        runner.token = made["token"].as_str().unwrap().to_owned();
        runner
    }

    /// A place of its own for what the scripts of jobs leave on the host.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    /// Asks for a job.
    pub(crate) async fn claim(&self) -> Option<Value> {
        let url = format!("{}/jobs/request", self.base);
        let body = json!({"info": info(), "token": self.token, "system_id": "s_0123456789ab"});
        let answer = self.sent(|| self.http.post(&url).json(&body)).await;
        match answer.status.as_u16() {
            201 => Some(serde_json::from_slice(&answer.body).unwrap()),
            204 => None,
            other => panic!("{other}: {:?}", answer.body),
        }
    }

    /// Runs a job to its end, and reports.
    pub(crate) async fn run(&self, job: &Value) -> Ran {
        let first = json!({"state": "running", "output": {}});
        let answer = self.put(job, first).await;
        assert_eq!((answer.status.as_u16(), answer.verdict()), (200, None));
        let mut log = Log::default();
        log.text
            .extend(b"Running with gitlab-runner 18.11.4 (abcdef12)\n");
        let project = self.dir.path().join("builds/project");
        std::fs::create_dir_all(&project).unwrap();
        let mut end = self
            .shell(job, &sources_script(job, &project), &mut log, STOPPED_BY)
            .await;
        if end == End::Exited(0) {
            self.download_needs(job, &project).await;
            for step in job["steps"].as_array().unwrap() {
                let script = step_script(job, step, &project);
                end = self.shell(job, &script, &mut log, STOPPED_BY).await;
            }
        }
        if let (Some(after), true) = (&self.after_script, end != End::Aborted) {
            let step = json!({ "script": [after] });
            let script = step_script(job, &step, &project);
            self.shell(job, &script, &mut log, &[End::Aborted]).await;
        }
        let succeeded = end == End::Exited(0);
        if end != End::Aborted {
            self.upload(job, &project, succeeded).await;
        }
        log.text.extend(match end {
            End::Exited(0) => "Job succeeded\n".as_bytes(),
            End::Exited(_) => b"ERROR: Job failed: exit status 1\n",
            End::Canceling | End::Aborted => b"ERROR: Job failed: canceled\n",
        });
        self.send_rest(job, &mut log).await;
        let told = self.put(job, last_report(end, &log)).await.job;
        Ran {
            id: job["id"].as_i64().unwrap(),
            succeeded,
            trace: String::from_utf8(log.text).unwrap(),
            told,
        }
    }

    /// Runs a script as the executor does: a login shell reads it from its standard input. What it
    /// says is sent as it comes.
    async fn shell(&self, job: &Value, script: &str, log: &mut Log, stopped_by: &[End]) -> End {
        let mut shell = login_shell(self.dir.path(), &self.temporary());
        let mut child = shell.process_group(0).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let script = script.as_bytes().to_vec();
        // A script that fails early is not read to its end.
        let writing = tokio::spawn(async move { input.write_all(&script).await });
        let mut piece = vec![0; 64 << 10];
        let end = loop {
            let read = tokio::time::timeout(KEEP_ALIVE, output.read(&mut piece)).await;
            let verdict = match read {
                Ok(Ok(0)) => break None,
                Ok(count) => {
                    log.text.extend(&piece[..count.unwrap()]);
                    self.send_once(job, log).await
                }
                Err(_) => self.put(job, json!({"state": "running"})).await.verdict(),
            };
            let verdict = verdict.filter(|verdict| stopped_by.contains(verdict));
            if verdict.is_some() {
                interrupt(&child).await;
                break verdict;
            }
        };
        let _ = writing.await;
        let status = child.wait().await.unwrap();
        end.unwrap_or(End::Exited(status.code().unwrap_or(1)))
    }

    /// Sends what the farm does not have yet, once.
    async fn send_once(&self, job: &Value, log: &mut Log) -> Option<End> {
        let piece = log.text[log.held..].to_vec();
        let range = format!("{}-{}", log.held, log.text.len() - 1);
        let url = format!("{}/jobs/{}/trace?debug_trace=false", self.base, job["id"]);
        let token = job["token"].as_str().unwrap();
        let answer = self
            .sent(|| {
                let request = self.http.request(Method::PATCH, &url);
                let request = request.header("JOB-TOKEN", token);
                let request = request.header("Content-Type", "text/plain");
                request.header("Content-Range", &range).body(piece.clone())
            })
            .await;
        match answer.status.as_u16() {
            202 => log.held = log.text.len(),
            416 => {
                let range = answer.range.clone().unwrap();
                log.held = range.strip_prefix("0-").unwrap().parse().unwrap();
            }
            403 => {}
            other => panic!("{other}"),
        }
        answer.verdict()
    }

    /// Sends the rest until all is acknowledged, or nobody wants it.
    async fn send_rest(&self, job: &Value, log: &mut Log) {
        while log.held < log.text.len() {
            if self.send_once(job, log).await == Some(End::Aborted) {
                return;
            }
        }
    }

    async fn download_needs(&self, job: &Value, project: &Path) {
        for need in job["dependencies"].as_array().unwrap() {
            let token = need["token"].as_str().unwrap();
            let url = format!("{}/jobs/{}/artifacts", self.base, need["id"]);
            let answer = self
                .sent(|| self.http.get(&url).header("JOB-TOKEN", token))
                .await;
            assert_eq!(answer.status, 200);
            let mut archive = ZipArchive::new(Cursor::new(answer.body)).unwrap();
            archive.extract(project).unwrap();
        }
    }

    /// Packs the paths, of which each is a file or a directory here, and sends the archive.
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
            let answer = self
                .sent(|| {
                    let part = Part::stream(packed(project, &artifact["paths"]));
                    let part = part.file_name("artifacts.zip");
                    let request = self.http.post(&url).header("JOB-TOKEN", token);
                    request.multipart(Form::new().part("file", part))
                })
                .await;
            assert_eq!(answer.status, 201);
        }
    }

    async fn put(&self, job: &Value, mut body: Value) -> Answered {
        body["info"] = info();
        body["token"] = job["token"].clone();
        let url = format!("{}/jobs/{}", self.base, job["id"]);
        self.sent(|| self.http.put(&url).json(&body)).await
    }

    /// Makes a call, and again when the farm cannot do it now.
    async fn sent(&self, make: impl Fn() -> RequestBuilder) -> Answered {
        for _ in 0..TRIES {
            let answer = make().send().await.unwrap();
            let text = |name: &str| {
                let value = answer.headers().get(name)?.to_str().ok()?;
                Some(value.to_owned())
            };
            let answered = Answered {
                status: answer.status(),
                job: text("job-status").unwrap_or_default(),
                range: text("range"),
                body: bytes::Bytes::new(),
            };
            if answered.status == StatusCode::SERVICE_UNAVAILABLE {
                continue;
            }
            return Answered {
                body: answer.bytes().await.unwrap(),
                ..answered
            };
        }
        panic!("the farm never could");
    }
}

async fn interrupt(child: &Child) {
    let group = format!("-{}", child.id().unwrap());
    let kill = Command::new("kill").args(["-TERM", "--", &group]).status();
    kill.await.unwrap();
}

fn last_report(end: End, log: &Log) -> Value {
    let checksum = format!("crc32:{:08x}", crc32fast::hash(&log.text));
    let mut report = json!({
        "state": if end == End::Exited(0) { "success" } else { "failed" },
        "checksum": checksum, "output": {"checksum": checksum, "bytesize": log.text.len()},
    });
    if let End::Exited(code @ 1..) = end {
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

/// Exports of the variables, of which the last of a name wins.
fn exports(job: &Value, project: &Path) -> String {
    let mut script = String::new();
    let directory = escaped(project.to_str().unwrap());
    writeln!(script, "export CI_PROJECT_DIR={directory}").unwrap();
    for variable in job["variables"].as_array().unwrap() {
        let (key, value) = (&variable["key"], &variable["value"]);
        let (key, value) = (key.as_str().unwrap(), value.as_str().unwrap());
        writeln!(script, "export {key}={}", escaped(value)).unwrap();
    }
    script
}

/// Fetches what the refspecs say, unless the job wants no sources.
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
    finished(&script)
}

/// The lines of a step, each shown before it runs.
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
    finished(&script)
}
