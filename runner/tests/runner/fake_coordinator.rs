//! A strict fake coordinator over real HTTP. It has a few jobs in memory and records every violation
//! of the protocol.

pub(crate) mod pieces;
mod routes;
mod sources;

use std::collections::{HashMap, VecDeque};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use serde_json::{Value, json};
use slipway_protocol::{PulledImage, UpdateRequest};
use tokio::sync::Notify;

pub(crate) const RUNNER_TOKEN: &str = "slrun-of-the-test";
pub(crate) const SECRET: &str = "very-s3cret-value";
const LIMIT: Duration = Duration::from_secs(30);

/// One job at the coordinator.
#[derive(Clone, Default)]
pub(crate) struct FakeJob {
    pub(crate) status: String,
    pub(crate) trace: Vec<u8>,
    pub(crate) phases: Vec<String>,
    pub(crate) bases: Vec<PulledImage>,
    pub(crate) report: Option<UpdateRequest>,
    /// Final reports that arrived after a cancel.
    pub(crate) reports_after_cancel: Vec<UpdateRequest>,
    pub(crate) uploads: Vec<Upload>,
}

/// An artifact that was uploaded.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) name: String,
    pub(crate) query: String,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) queue: VecDeque<Value>,
    pub(crate) jobs: HashMap<i64, FakeJob>,
    pub(crate) polls: usize,
    /// Why the runner claims no jobs, as it reported since its last poll.
    pub(crate) unready: Vec<String>,
    open_polls: usize,
    held_polls: usize,
    /// The claimed jobs by the ids of the requests that claimed them.
    claimed: HashMap<String, Value>,
    /// How many of the next answers with a job are lost.
    pub(crate) failing_claim_answers: usize,
    /// Whether somebody follows the traces.
    pub(crate) is_followed: bool,
    /// How many of the next trace pieces are stored but answered with an error.
    pub(crate) failing_trace_answers: usize,
    /// How many bytes of the trace are lost before the next final report.
    pub(crate) lost_trace_bytes: usize,
    /// The artifacts of needed jobs.
    pub(crate) artifacts: HashMap<i64, Vec<u8>>,
    /// The uploaded packages of jobs, with their content types.
    pub(crate) packages: HashMap<i64, (&'static str, Vec<u8>)>,
    /// The submitted sources of jobs.
    pub(crate) sources: HashMap<i64, Vec<u8>>,
    /// The statuses of the next answers to requests for sources.
    pub(crate) source_answers: VecDeque<u16>,
    /// Jobs are canceled when they report this phase.
    pub(crate) canceled_at: Option<&'static str>,
    /// The statuses of the next answers to uploads.
    pub(crate) upload_answers: VecDeque<u16>,
    pub(crate) pieces: pieces::Pieces,
    pub(crate) violations: Vec<String>,
    revision: u64,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

pub(crate) struct FakeCoordinator {
    shared: Arc<Shared>,
    port: u16,
    server: Mutex<Option<ServerHandle>>,
}

impl FakeCoordinator {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Notify::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = routes::serve(listener, Arc::clone(&shared));
        Self {
            shared,
            port,
            server: Mutex::new(Some(server)),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Stops: open connections break, and new ones are refused.
    pub(crate) async fn stop(&self) {
        let server = self.server.lock().unwrap().take();
        server.unwrap().stop(false).await;
    }

    /// Starts again with the same state.
    pub(crate) fn restart(&self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        let server = routes::serve(listener, Arc::clone(&self.shared));
        *self.server.lock().unwrap() = Some(server);
    }

    /// Adds a scripted job to the queue. `more` overrides members of its payload.
    pub(crate) fn enqueue(&self, id: i64, variables: &[(&str, &str)], more: Value) {
        let mut list = vec![json!({"key": "PASSWORD", "value": SECRET, "public": false})];
        let public = variables.iter();
        list.extend(public.map(|(key, value)| json!({"key": key, "value": value, "public": true})));
        let mut job = json!({
            "id": id, "project_id": 1, "project_name": "api", "commands": "", "name": "image",
            "repo_url": "http://127.0.0.1:1/acme/api.git", "ref": "main", "sha": "a".repeat(40),
            "before_sha": "0".repeat(40), "allow_git_fetch": true, "timeout": 600,
            "variables": list, "options": {}, "status": "running", "token": job_token(id),
            "stage": "build", "tag": false, "depends_on_builds": [], "credentials": [],
            "own": {"spec": {"kind": "image_build"}, "build": "b", "number": 1, "attempt": 1,
                    "lease_s": 15},
        });
        for (key, value) in more.as_object().cloned().unwrap_or_default() {
            job[key] = value;
        }
        self.change(|state| {
            state.queue.push_back(job);
            state.revision += 1;
        });
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.shared.state.lock().unwrap());
        self.shared.changed.notify_waiters();
        changed
    }

    /// Waits until the job satisfies `condition`, and returns it.
    pub(crate) async fn until(&self, id: i64, condition: impl Fn(&FakeJob) -> bool) -> FakeJob {
        let find = |state: &State| state.jobs.get(&id).filter(|job| condition(job)).cloned();
        self.wait_for(&format!("job {id}"), find).await
    }

    /// Waits until the runner has reported why it claims no jobs, and returns the reason.
    pub(crate) async fn until_unready(&self) -> String {
        let reported = |state: &State| state.unready.last().cloned();
        self.wait_for("a runner that is not ready", reported).await
    }

    /// Waits until no runner polls.
    pub(crate) async fn until_no_poll(&self) {
        let none = |state: &State| (state.open_polls == 0).then_some(());
        self.wait_for("no open poll", none).await;
    }

    /// Waits until the poll of a runner is held.
    pub(crate) async fn until_polled(&self) {
        let polled = async {
            while self.access(|state| state.held_polls) == 0 {
                tokio::task::yield_now().await;
            }
        };
        let polled = tokio::time::timeout(LIMIT, polled).await;
        assert!(polled.is_ok(), "no runner polls");
    }

    /// Waits until something outside of this coordinator is as it should be.
    pub(crate) async fn until_true(&self, what: &str, is_true: impl Fn() -> bool) {
        let waited = async {
            while !is_true() {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(LIMIT, waited).await;
        assert!(waited.is_ok(), "timed out waiting for {what}");
    }

    /// Waits until uploads in pieces satisfy `condition`.
    pub(crate) async fn until_pieces(&self, condition: impl Fn(&pieces::Pieces) -> bool) {
        let find = |state: &State| condition(&state.pieces).then_some(());
        self.wait_for("pieces of an upload", find).await;
    }

    async fn wait_for<T>(&self, what: &str, find: impl Fn(&State) -> Option<T>) -> T {
        let found = async {
            loop {
                let changed = self.shared.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(found) = self.access(|state| find(state)) {
                    return found;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(LIMIT, found).await {
            Ok(found) => found,
            Err(_) => panic!("timed out waiting for {what}"),
        }
    }

    pub(crate) async fn until_reported(&self, id: i64) -> FakeJob {
        self.until(id, |held| held.report.is_some()).await
    }

    /// Fails the test if the runner violated the protocol.
    pub(crate) fn assert_no_violations(&self) {
        let violations = self.access(|state| std::mem::take(&mut state.violations));
        assert!(violations.is_empty(), "{violations:#?}");
    }

    fn access<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.shared.state.lock().unwrap())
    }
}

/// The bearer token for the sources of a job.
pub(crate) fn source_token(id: i64) -> String {
    format!("slsrc-of-{id}")
}

pub(crate) fn job_token(id: i64) -> String {
    format!("sljob-of-{id}")
}

/// Waits until a directory is empty.
pub(crate) async fn until_empty(dir: &Path) {
    let emptied = async {
        while dir.read_dir().map_or(0, Iterator::count) > 0 {
            tokio::task::yield_now().await;
        }
    };
    let emptied = tokio::time::timeout(LIMIT, emptied).await;
    assert!(emptied.is_ok(), "{} is not empty", dir.display());
}
