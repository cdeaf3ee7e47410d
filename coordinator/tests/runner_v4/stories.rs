//! Checks 55 to 59, which ask for a stock runner. What stands in for one is [`Stock`], which makes its
//! calls in its order and runs the steps in a real shell; what no farm can see of a runner, such as its
//! configuration file, is left out.

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
    check_55_a_stock_runner_runs_a_job_and_the_trace_is_whole,
    check_56_a_stock_runner_comes_with_a_token_and_leaves,
    check_57_a_stock_runner_hands_files_on,
    check_58_a_stock_runner_bears_with_a_farm_that_cannot_do_it_now,
    check_59_a_stock_runner_ends_a_canceled_job_in_its_own_way,
    a_failed_script_tells_its_code,
);

const SOON: Duration = Duration::from_secs(20);

/// A project whose jobs need no sources, as its repository is nowhere.
async fn project(farm: &TestFarm) -> ProjectAccess {
    let project = farm.project("acme/api").await;
    let request = farm
        .http
        .put(farm.url("/v1/projects/acme/api/variables/GIT_STRATEGY"))
        .json(&json!({"value": "none", "public": true}));
    let answer = request.bearer_auth(&farm.admin_token).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    project
}

fn script(name: &str, commands: Value) -> Value {
    json!({"name": name, "spec": {"kind": "script", "commands": commands}})
}

async fn check_55_a_stock_runner_runs_a_job_and_the_trace_is_whole(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let jobs = json!([script("test", json!(["echo \"grün on $CI_JOB_NAME\""]))]);
    let build = farm
        .build_defined(&project(&farm).await, definition(jobs))
        .await;
    let stock = ScriptedRunner::register(&farm.url(""), &farm.registration_token, "").await;
    let ran = stock.run(&stock.claim().await.unwrap()).await;
    assert!(ran.succeeded, "{ran:?}");
    assert_eq!(ran.job_status, "success");
    assert!(ran.trace.contains("\ngrün on test\n"), "{}", ran.trace);
    let shown = farm.farm().detailed_build(build.id).await.unwrap();
    assert_eq!(shown.jobs[0].job.state.name(), "succeeded");
    assert!(!shown.jobs[0].details.trace_incomplete);
    assert_eq!(shown.jobs[0].job.id.0, ran.id);
    assert_eq!(farm.trace(shown.jobs[0].job.id).await, ran.trace.as_bytes());
    assert!(stock.claim().await.is_none());
}

async fn check_56_a_stock_runner_comes_with_a_token_and_leaves(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).create_runner(&farm).await;
    // `register` with such a token makes no runner: it verifies, and keeps the id.
    let answer = runner.verify().await.is(200).json();
    assert_ne!(answer["id"].as_i64().unwrap(), 0);
    let jobs = json!([script("test", json!(["true"]))]);
    farm.build_defined(&project(&farm).await, definition(jobs))
        .await;
    let stock = ScriptedRunner::with_token(&farm.url(""), &runner.token);
    let ran = stock.run(&stock.claim().await.unwrap()).await;
    assert!(ran.succeeded, "{ran:?}");
    // `unregister` takes the process away, and leaves the runner to the others.
    let body = json!({"token": runner.token, "system_id": runner.system_id});
    let leave = runner.api.json(Method::DELETE, "/runners/managers", &body);
    leave.await.is(204);
    assert_eq!(farm.runners().await.len(), 1);
}

async fn check_57_a_stock_runner_hands_files_on(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let mut first = script("first", json!(["mkdir -p out", "echo made >out/text"]));
    first["spec"]["artifacts"] = json!({"paths": ["out/"]});
    let mut second = script("second", json!(["cat out/text"]));
    second["needs"] = json!(["first"]);
    let project = project(&farm).await;
    let build = farm
        .build_defined(&project, definition(json!([first, second])))
        .await;
    let url = farm.url("");
    let stock = ScriptedRunner::register(&url, &farm.registration_token, "").await;
    let ran = stock.run(&stock.claim().await.unwrap()).await;
    assert!(ran.succeeded, "{ran:?}");
    // Another host: what it has of the first job's files came from the farm.
    let other = ScriptedRunner::register(&url, &farm.registration_token, "").await;
    let ran = other.run(&other.claim().await.unwrap()).await;
    assert!(ran.succeeded && ran.trace.contains("\nmade\n"), "{ran:?}");
    assert_eq!(farm.build_now(&build).await.state.as_str(), "succeeded");
}

/// What stands before the farm and cannot do a call of each kind the first time.
async fn unready(farm: &TestFarm) -> String {
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
                forwarded(&http, &base, &request, body).await
            }
        }))
    });
    let server = server.workers(1).bind("127.0.0.1:0").unwrap();
    let address = server.addrs()[0];
    tokio::spawn(server.disable_signals().run());
    format!("http://{address}")
}

async fn forwarded(
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
    let answer = forward.body(body).send().await.unwrap();
    let mut said = HttpResponse::build(
        actix_web::http::StatusCode::from_u16(answer.status().as_u16()).unwrap(),
    );
    for name in ["content-type", "job-status", "range"] {
        if let Some(value) = answer.headers().get(name) {
            said.insert_header((name, value.as_bytes()));
        }
    }
    said.body(answer.bytes().await.unwrap())
}

async fn check_58_a_stock_runner_bears_with_a_farm_that_cannot_do_it_now(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let mut job = script("test", json!(["echo one", "sleep 0.5", "echo two >file"]));
    job["spec"]["artifacts"] = json!({"paths": ["file"]});
    let project = project(&farm).await;
    let build = farm.build_defined(&project, definition(json!([job]))).await;
    let waiting = farm.build(&project).await;
    let address = unready(&farm).await;
    let stock = ScriptedRunner::register(&address, &farm.registration_token, "").await;
    let ran = stock.run(&stock.claim().await.unwrap()).await;
    assert!(ran.succeeded, "{ran:?}");
    assert_eq!(farm.build_now(&build).await.state.as_str(), "succeeded");
    assert_eq!(farm.jobs(&build).await.len(), 1, "it took one attempt");
    assert_eq!(farm.jobs(&waiting).await[0].state.name(), "pending");
    assert_eq!(farm.runners().await.len(), 1);
}

async fn check_59_a_stock_runner_ends_a_canceled_job_in_its_own_way(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let jobs = json!([script(
        "test",
        json!(["echo begun", "sleep 600", "echo never"])
    )]);
    let build = farm
        .build_defined(&project(&farm).await, definition(jobs))
        .await;
    let mut stock = ScriptedRunner::register(&farm.url(""), &farm.registration_token, "").await;
    stock.after_script = Some("echo after all".to_owned());
    let job = stock.claim().await.unwrap();
    let id = farm.jobs(&build).await[0].id;
    let canceling = async {
        wait_until(SOON, "the script begins", async || {
            String::from_utf8_lossy(&farm.trace(id).await).contains("\nbegun\n")
        })
        .await;
        farm.cancel(id).await;
    };
    let (ran, ()) = tokio::join!(stock.run(&job), canceling);
    assert!(!ran.succeeded);
    assert_eq!(ran.job_status, "canceled");
    let trace = String::from_utf8(farm.trace(id).await).unwrap();
    assert!(trace.contains("\nafter all\n"), "{trace}");
    assert!(!trace.contains("\nnever\n"), "{trace}");
    assert_eq!(trace, ran.trace);
    assert_eq!(farm.job(id).await.state.name(), "canceled");
}

async fn a_failed_script_tells_its_code(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let jobs = json!([script("test", json!(["exit 3", "echo never"]))]);
    let build = farm
        .build_defined(&project(&farm).await, definition(jobs))
        .await;
    let stock = ScriptedRunner::register(&farm.url(""), &farm.registration_token, "").await;
    let ran = stock.run(&stock.claim().await.unwrap()).await;
    assert!(!ran.succeeded && !ran.trace.contains("\nnever"), "{ran:?}");
    let shown = farm.farm().detailed_build(build.id).await.unwrap();
    assert_eq!(shown.jobs[0].job.state.name(), "failed");
    assert_eq!(shown.jobs[0].details.exit_code, Some(3));
}
