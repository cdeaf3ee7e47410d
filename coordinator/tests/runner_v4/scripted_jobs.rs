//! Whole jobs, run by [`ScriptedRunner`], which makes the calls of a stock runner in its order and runs
//! the steps in a real shell. What the coordinator cannot see, such as the runner's configuration file,
//! is left out.
//!
//! See `docs/protocols/runner-v4.md#life-of-a-job`.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::http::header::RETRY_AFTER;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use reqwest::Method;
use serde_json::{Value, json};
use slipway_farm::ProjectAccess;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends, wait_until};

use crate::client::{RunnerApi, definition};
use crate::scripted_runner::ScriptedRunner;

on_both_back_ends!(
    job_succeeds_with_a_complete_trace,
    runner_with_a_created_token_runs_a_job_and_unregisters,
    artifacts_are_passed_to_a_dependent_job_on_another_host,
    job_succeeds_when_each_kind_of_call_first_returns_503,
    canceled_job_runs_its_after_script,
    failed_script_reports_its_exit_code,
);

/// Longer than any step of these tests takes.
const SOON: Duration = Duration::from_secs(20);

/// Creates a project whose jobs fetch no sources, because its repository does not exist.
async fn project_without_sources(farm: &TestFarm) -> ProjectAccess {
    let project = farm.project("acme/api").await;
    let request = farm
        .http
        .put(farm.url("/v1/projects/acme/api/variables/GIT_STRATEGY"))
        .json(&json!({"value": "none", "public": true}));
    let response = request.bearer_auth(&farm.admin_token).send().await.unwrap();
    assert!(response.status().is_success(), "{response:?}");
    project
}

fn script_job(name: &str, commands: Value) -> Value {
    json!({"name": name, "spec": {"kind": "script", "commands": commands}})
}

async fn job_succeeds_with_a_complete_trace(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let jobs = json!([script_job("test", json!(["echo \"grün on $CI_JOB_NAME\""]))]);
    let build = farm
        .build_defined(&project_without_sources(&farm).await, definition(jobs))
        .await;
    let stock = ScriptedRunner::register(&farm.url(""), &farm.registration_token, "").await;
    let finished = stock.run(&stock.claim().await.unwrap()).await;
    assert!(finished.succeeded, "{finished:?}");
    assert_eq!(finished.job_status, "success");
    assert!(
        finished.trace.contains("\ngrün on test\n"),
        "{}",
        finished.trace
    );
    let shown = farm.farm().detailed_build(build.id).await.unwrap();
    assert_eq!(shown.jobs[0].job.state.name(), "succeeded");
    assert!(!shown.jobs[0].details.trace_incomplete);
    assert_eq!(shown.jobs[0].job.id.0, finished.id);
    assert_eq!(
        farm.trace(shown.jobs[0].job.id).await,
        finished.trace.as_bytes()
    );
    assert!(stock.claim().await.is_none());
}

async fn runner_with_a_created_token_runs_a_job_and_unregisters(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).create_runner(&farm).await;
    // `register` with such a token creates no runner; it verifies the token and stores the id.
    let response = runner.verify().await.is(200).json();
    assert_ne!(response["id"].as_i64().unwrap(), 0);
    let jobs = json!([script_job("test", json!(["true"]))]);
    farm.build_defined(&project_without_sources(&farm).await, definition(jobs))
        .await;
    let stock = ScriptedRunner::with_token(&farm.url(""), &runner.token);
    let finished = stock.run(&stock.claim().await.unwrap()).await;
    assert!(finished.succeeded, "{finished:?}");
    // `unregister` deletes the manager and leaves the runner to the others.
    let body = json!({"token": runner.token, "system_id": runner.system_id});
    let unregister = runner.api.json(Method::DELETE, "/runners/managers", &body);
    unregister.await.is(204);
    assert_eq!(farm.runners().await.len(), 1);
}

async fn artifacts_are_passed_to_a_dependent_job_on_another_host(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let mut first = script_job("first", json!(["mkdir -p out", "echo made >out/text"]));
    first["spec"]["artifacts"] = json!({"paths": ["out/"]});
    let mut second = script_job("second", json!(["cat out/text"]));
    second["needs"] = json!(["first"]);
    let project = project_without_sources(&farm).await;
    let build = farm
        .build_defined(&project, definition(json!([first, second])))
        .await;
    let url = farm.url("");
    let stock = ScriptedRunner::register(&url, &farm.registration_token, "").await;
    let finished = stock.run(&stock.claim().await.unwrap()).await;
    assert!(finished.succeeded, "{finished:?}");
    // Another host, so the files of the first job can only come from the farm.
    let other = ScriptedRunner::register(&url, &farm.registration_token, "").await;
    let finished = other.run(&other.claim().await.unwrap()).await;
    assert!(
        finished.succeeded && finished.trace.contains("\nmade\n"),
        "{finished:?}"
    );
    assert_eq!(farm.build_now(&build).await.state.as_str(), "succeeded");
}

/// Starts a proxy before the farm that answers the first call of each kind with 503.
async fn start_unavailable_proxy(farm: &TestFarm) -> String {
    let base = farm.url("");
    let seen: Arc<Mutex<HashSet<(String, String)>>> = Arc::default();
    let http = reqwest::Client::new();
    let server = HttpServer::new(move || {
        let (base, seen, http) = (base.clone(), Arc::clone(&seen), http.clone());
        App::new().default_service(web::to(move |request: HttpRequest, body: web::Bytes| {
            let (base, seen, http) = (base.clone(), Arc::clone(&seen), http.clone());
            async move {
                let kind = request.path().replace(|c: char| c.is_ascii_digit(), "");
                let is_new = seen
                    .lock()
                    .unwrap()
                    .insert((request.method().to_string(), kind));
                if is_new {
                    return HttpResponse::ServiceUnavailable()
                        .insert_header((RETRY_AFTER, "0"))
                        .finish();
                }
                forward(&http, &base, &request, body).await
            }
        }))
    });
    let server = server.workers(1).bind("127.0.0.1:0").unwrap();
    let address = server.addrs()[0];
    tokio::spawn(server.disable_signals().run());
    format!("http://{address}")
}

async fn forward(
    http: &reqwest::Client,
    base: &str,
    request: &HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let method: Method = request.method().as_str().parse().unwrap();
    let mut forward = http.request(method, format!("{base}{}", request.uri()));
    for (name, value) in request.headers() {
        if !["host", "transfer-encoding", "content-length"].contains(&name.as_str()) {
            forward = forward.header(name.as_str(), value.as_bytes());
        }
    }
    let response = forward.body(body).send().await.unwrap();
    let mut forwarded = HttpResponse::build(
        actix_web::http::StatusCode::from_u16(response.status().as_u16()).unwrap(),
    );
    for name in ["content-type", "job-status", "range"] {
        if let Some(value) = response.headers().get(name) {
            forwarded.insert_header((name, value.as_bytes()));
        }
    }
    forwarded.body(response.bytes().await.unwrap())
}

async fn job_succeeds_when_each_kind_of_call_first_returns_503(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let mut job = script_job("test", json!(["echo one", "sleep 0.5", "echo two >file"]));
    job["spec"]["artifacts"] = json!({"paths": ["file"]});
    let project = project_without_sources(&farm).await;
    let build = farm.build_defined(&project, definition(json!([job]))).await;
    let waiting = farm.build(&project).await;
    let address = start_unavailable_proxy(&farm).await;
    let stock = ScriptedRunner::register(&address, &farm.registration_token, "").await;
    let finished = stock.run(&stock.claim().await.unwrap()).await;
    assert!(finished.succeeded, "{finished:?}");
    assert_eq!(farm.build_now(&build).await.state.as_str(), "succeeded");
    assert_eq!(farm.jobs(&build).await.len(), 1, "one attempt was enough");
    assert_eq!(farm.jobs(&waiting).await[0].state.name(), "pending");
    assert_eq!(farm.runners().await.len(), 1);
}

async fn canceled_job_runs_its_after_script(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let jobs = json!([script_job(
        "test",
        json!(["echo started", "sleep 600", "echo never"])
    )]);
    let build = farm
        .build_defined(&project_without_sources(&farm).await, definition(jobs))
        .await;
    let mut stock = ScriptedRunner::register(&farm.url(""), &farm.registration_token, "").await;
    stock.after_script = Some("echo after script".to_owned());
    let job = stock.claim().await.unwrap();
    let id = farm.jobs(&build).await[0].id;
    let canceling = async {
        wait_until(SOON, "the script starts", async || {
            String::from_utf8_lossy(&farm.trace(id).await).contains("\nstarted\n")
        })
        .await;
        farm.cancel(id).await;
    };
    let (finished, ()) = tokio::join!(stock.run(&job), canceling);
    assert!(!finished.succeeded);
    assert_eq!(finished.job_status, "canceled");
    let trace = String::from_utf8(farm.trace(id).await).unwrap();
    assert!(trace.contains("\nafter script\n"), "{trace}");
    assert!(!trace.contains("\nnever\n"), "{trace}");
    assert_eq!(trace, finished.trace);
    assert_eq!(farm.job(id).await.state.name(), "canceled");
}

async fn failed_script_reports_its_exit_code(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let jobs = json!([script_job("test", json!(["exit 3", "echo never"]))]);
    let build = farm
        .build_defined(&project_without_sources(&farm).await, definition(jobs))
        .await;
    let stock = ScriptedRunner::register(&farm.url(""), &farm.registration_token, "").await;
    let finished = stock.run(&stock.claim().await.unwrap()).await;
    assert!(
        !finished.succeeded && !finished.trace.contains("\nnever"),
        "{finished:?}"
    );
    let shown = farm.farm().detailed_build(build.id).await.unwrap();
    assert_eq!(shown.jobs[0].job.state.name(), "failed");
    assert_eq!(shown.jobs[0].details.exit_code, Some(3));
}
