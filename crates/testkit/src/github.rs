//! A mock of GitHub's API over real HTTP that accepts only what GitHub accepts.
//!
//! It serves branches and accepts commit statuses. If it got a request that GitHub would refuse, dropping
//! the mock fails the test.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::dev::ServerHandle;
use actix_web::http::Method;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::Bytes;
use serde_json::{Value, json};

/// A status that the mock accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenStatus {
    /// `owner/name`.
    pub repository: String,
    pub sha: String,
    /// `pending`, `success` or `failure`.
    pub state: String,
    /// The label of the status.
    pub context: String,
    pub description: String,
    pub target_url: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<String>,
    branches: HashMap<(String, String), String>,
    statuses: Vec<TakenStatus>,
    failures: VecDeque<u16>,
    redirects: HashMap<String, (u16, String)>,
    requests: usize,
    refused: usize,
    complaints: Vec<String>,
}

impl State {
    /// The status and the target of a planned redirect of this path.
    fn redirect_of(&self, path: &str) -> Option<(actix_web::http::StatusCode, String)> {
        self.redirects
            .iter()
            .find_map(|(repository, (status, target))| {
                let rest = path.strip_prefix(&format!("/repos/{repository}/"))?;
                let status = actix_web::http::StatusCode::from_u16(*status).ok()?;
                Some((status, format!("{target}/{rest}")))
            })
    }
}

type Shared = Arc<Mutex<State>>;

/// The mock. It serves until it is dropped.
#[derive(Debug)]
pub struct GithubMock {
    state: Shared,
    address: std::net::SocketAddr,
    handle: ServerHandle,
}

impl GithubMock {
    /// Starts a mock without branches that requires no token.
    pub fn start() -> Self {
        let state = Shared::default();
        let data = web::Data::new(Arc::clone(&state));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .default_service(web::to(answer))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .expect("a port");
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self {
            state,
            address,
            handle,
        }
    }

    /// The base URL of its API and of its repositories.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Accepts only requests with this token from now on.
    pub fn require_token(&self, token: &str) {
        locked(&self.state).token = Some(token.to_owned());
    }

    /// Sets the commit of a branch of `owner/name`.
    pub fn set_branch(&self, repository: &str, branch: &str, sha: &str) {
        let key = (repository.to_owned(), branch.to_owned());
        locked(&self.state).branches.insert(key, sha.to_owned());
    }

    /// Answers the next requests with these statuses instead, one each.
    pub fn fail_next(&self, statuses: &[u16]) {
        locked(&self.state).failures.extend(statuses);
    }

    /// Redirects requests about the repository `owner/name` with this status to the same path below
    /// `target`.
    pub fn redirect(&self, status: u16, repository: &str, target: &str) {
        let redirect = (status, target.to_owned());
        let mut state = locked(&self.state);
        state.redirects.insert(repository.to_owned(), redirect);
    }

    /// The number of requests to the API.
    pub fn requests(&self) -> usize {
        locked(&self.state).requests
    }

    /// The number of requests that were answered with a planned failure.
    pub fn planned_failures(&self) -> usize {
        locked(&self.state).refused
    }

    /// The accepted statuses, in order.
    pub fn statuses(&self) -> Vec<TakenStatus> {
        locked(&self.state).statuses.clone()
    }

    /// Stops serving; connections are refused from now on.
    pub async fn stop(&self) {
        self.handle.stop(false).await;
    }
}

impl Drop for GithubMock {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        let complaints = std::mem::take(&mut locked(&self.state).complaints);
        if !std::thread::panicking() {
            assert!(complaints.is_empty(), "GitHub would refuse {complaints:#?}");
        }
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(state: web::Data<Shared>, request: HttpRequest, body: Bytes) -> HttpResponse {
    // Requests of git itself: the mock has no repository to clone.
    if request.path().ends_with("/info/refs") {
        return HttpResponse::NotFound().finish();
    }
    let mut state = locked(&state);
    state.requests += 1;
    let what = format!("{} {}", request.method(), request.path());
    if let Err(why) = check_headers(&state, &request) {
        state.complaints.push(format!("{what}: {why}"));
        return HttpResponse::Unauthorized().json(json!({ "message": "Bad credentials" }));
    }
    if let Some(status) = state.failures.pop_front() {
        state.refused += 1;
        let status = actix_web::http::StatusCode::from_u16(status).unwrap_or_default();
        return HttpResponse::build(status).json(json!({ "message": "planned" }));
    }
    if let Some((status, target)) = state.redirect_of(request.path()) {
        return HttpResponse::build(status)
            .insert_header(("location", target))
            .finish();
    }
    let parts: Vec<&str> = request.path().trim_start_matches('/').split('/').collect();
    match (request.method(), parts.as_slice()) {
        (&Method::GET, ["repos", owner, name, "git", "ref", "heads", branch @ ..]) => {
            let (key, branch) = (format!("{owner}/{name}"), branch.join("/"));
            match state.branches.get(&(key, branch.clone())) {
                Some(sha) => HttpResponse::Ok().json(json!({
                    "ref": format!("refs/heads/{branch}"),
                    "object": { "type": "commit", "sha": sha, "url": "" },
                })),
                None => HttpResponse::NotFound().json(json!({ "message": "Not Found" })),
            }
        }
        (&Method::POST, ["repos", owner, name, "statuses", sha]) => {
            match status(&body, format!("{owner}/{name}"), sha) {
                Ok(status) => {
                    state.statuses.push(status);
                    HttpResponse::Created().json(json!({ "id": state.statuses.len() }))
                }
                Err(why) => {
                    state.complaints.push(format!("{what}: {why}"));
                    HttpResponse::UnprocessableEntity().json(json!({ "message": why }))
                }
            }
        }
        _ => {
            state.complaints.push(format!("{what}: no such route"));
            HttpResponse::NotFound().json(json!({ "message": "Not Found" }))
        }
    }
}

fn check_headers(state: &State, request: &HttpRequest) -> Result<(), String> {
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    let expected = [
        ("accept", Some("application/vnd.github+json")),
        ("x-github-api-version", Some("2022-11-28")),
    ];
    for (name, value) in expected {
        if header(name) != value {
            return Err(format!("{name}: {:?}", header(name)));
        }
    }
    // GitHub refuses requests without a User-Agent.
    if header("user-agent").is_none_or(str::is_empty) {
        return Err("the User-Agent is missing".to_owned());
    }
    match &state.token {
        Some(token) if header("authorization") != Some(&format!("Bearer {token}")) => {
            Err("the token is missing or wrong".to_owned())
        }
        _ => Ok(()),
    }
}

fn status(body: &[u8], repository: String, sha: &str) -> Result<TakenStatus, String> {
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let members = body.as_object().ok_or("the body is not an object")?;
    let known = ["state", "context", "description", "target_url"];
    if let Some(odd) = members.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("unknown member {odd}"));
    }
    let text = |name: &str| {
        let text = members.get(name).and_then(Value::as_str);
        text.map(str::to_owned)
            .ok_or(format!("{name} is not a string"))
    };
    let (state, description) = (text("state")?, text("description")?);
    if !["pending", "success", "failure", "error"].contains(&state.as_str()) {
        return Err(format!("{state} is not a state"));
    }
    if description.chars().count() > 140 {
        return Err("the description is too long".to_owned());
    }
    if sha.len() != 40 || !sha.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(format!("{sha} is not a sha"));
    }
    let target_url = members.get("target_url").map(|_| text("target_url"));
    let target_url = target_url.transpose()?;
    if target_url
        .as_ref()
        .is_some_and(|url| !url.starts_with("http"))
    {
        return Err("target_url is not a URL".to_owned());
    }
    Ok(TakenStatus {
        repository,
        sha: sha.to_owned(),
        state,
        context: text("context")?,
        description,
        target_url,
    })
}
