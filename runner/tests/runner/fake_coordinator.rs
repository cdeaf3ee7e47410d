//! A strict coordinator over real HTTP: it holds a few jobs in memory, and notes down whatever
//! the protocol forbids.

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

/// What the coordinator holds of one job.
#[derive(Clone, Default)]
pub(crate) struct Held {
    pub(crate) status: String,
    pub(crate) trace: Vec<u8>,
    pub(crate) phases: Vec<String>,
    pub(crate) bases: Vec<PulledImage>,
    pub(crate) report: Option<UpdateRequest>,
    /// Reports that came after a cancel: the work has stopped.
    pub(crate) stops: Vec<UpdateRequest>,
    pub(crate) uploads: Vec<Upload>,
}

/// An archive that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) name: String,
    pub(crate) query: String,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) queue: VecDeque<Value>,
    pub(crate) jobs: HashMap<i64, Held>,
    pub(crate) polls: usize,
    open_polls: usize,
    held_polls: usize,
    /// Trace pieces that are stored, but whose answer is lost.
    pub(crate) lose_answers: usize,
    /// Before the next last report is looked at, so many bytes of the trace are lost.
    pub(crate) forget: usize,
    /// The archives of earlier jobs.
    pub(crate) archives: HashMap<i64, Vec<u8>>,
    /// The uploaded packages that jobs build, with their types.
    pub(crate) packages: HashMap<i64, (&'static str, Vec<u8>)>,
    /// Sources that were handed in, by job.
    pub(crate) sources: HashMap<i64, Vec<u8>>,
    /// What the next requests for sources are answered.
    pub(crate) source_answers: VecDeque<u16>,
    /// The phase on entering which jobs turn out to be canceled.
    pub(crate) canceled_at: Option<&'static str>,
    /// What the next archives that are sent are answered.
    pub(crate) upload_answers: VecDeque<u16>,
    pub(crate) wrongs: Vec<String>,
    revision: u64,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

pub(crate) struct Fake {
    shared: Arc<Shared>,
    port: u16,
    server: Mutex<Option<ServerHandle>>,
}

impl Fake {
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

    /// Goes away: connections break, and new ones are refused.
    pub(crate) async fn go_away(&self) {
        let server = self.server.lock().unwrap().take();
        server.unwrap().stop(false).await;
    }

    /// Comes back with all it held.
    pub(crate) fn come_back(&self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        let server = routes::serve(listener, Arc::clone(&self.shared));
        *self.server.lock().unwrap() = Some(server);
    }

    /// Puts a scripted job into the queue; more members of the payload come from `more`.
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

    /// Waits until what the coordinator holds is as `wanted` says, and returns the job.
    pub(crate) async fn until(&self, id: i64, wanted: impl Fn(&Held) -> bool) -> Held {
        let find = |state: &State| state.jobs.get(&id).filter(|held| wanted(held)).cloned();
        self.look(&format!("job {id}"), find).await
    }

    /// Waits until no runner polls.
    pub(crate) async fn until_no_poll(&self) {
        let none = |state: &State| (state.open_polls == 0).then_some(());
        self.look("the polls", none).await;
    }

    /// Waits until a runner's poll is held.
    pub(crate) async fn until_polled(&self) {
        let polled = async {
            while self.change_quietly(|state| state.held_polls) == 0 {
                tokio::task::yield_now().await;
            }
        };
        let polled = tokio::time::timeout(LIMIT, polled).await;
        assert!(polled.is_ok(), "no runner polls");
    }

    async fn look<T>(&self, what: &str, find: impl Fn(&State) -> Option<T>) -> T {
        let look = async {
            loop {
                let changed = self.shared.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(found) = self.change_quietly(|state| find(state)) {
                    return found;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(LIMIT, look).await {
            Ok(found) => found,
            Err(_) => panic!("{what} did not come to what was waited for"),
        }
    }

    pub(crate) async fn until_reported(&self, id: i64) -> Held {
        self.until(id, |held| held.report.is_some()).await
    }

    /// Fails the test if the runner did anything that the protocol forbids.
    pub(crate) fn assert_nothing_wrong(&self) {
        let wrongs = self.change_quietly(|state| std::mem::take(&mut state.wrongs));
        assert!(wrongs.is_empty(), "{wrongs:#?}");
    }

    fn change_quietly<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.shared.state.lock().unwrap())
    }
}

/// What `Authorization` has for the sources of a job.
pub(crate) fn source_token(id: i64) -> String {
    format!("slsrc-of-{id}")
}

pub(crate) fn job_token(id: i64) -> String {
    format!("sljob-of-{id}")
}

/// Waits until a directory has nothing in it.
pub(crate) async fn until_empty(dir: &Path) {
    let look = async {
        while dir.read_dir().map_or(0, Iterator::count) > 0 {
            tokio::task::yield_now().await;
        }
    };
    let looked = tokio::time::timeout(LIMIT, look).await;
    assert!(looked.is_ok(), "{} is not empty", dir.display());
}
