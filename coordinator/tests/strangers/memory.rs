//! The memory that the bodies of requests take.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::connection::{Connection, metric};

on_both_back_ends!(
    garbage_of_fifty_clients_does_not_fill_the_memory,
    body_beyond_the_memory_is_answered_503,
    json_with_too_many_values_is_refused,
    multipart_form_with_too_many_fields_is_refused,
);

const CLIENTS: usize = 50;
const GARBAGE_BYTES: usize = 64_000_000;

/// The resident memory of this process, in which the coordinator runs, in bytes.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}

async fn garbage_of_fifty_clients_does_not_fill_the_memory(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let token = &farm.admin_token;
    let requests = [
        "POST /api/v3/projects HTTP/1.1\nContent-Type: application/json".to_owned(),
        "PUT /ci/api/v1/builds/1 HTTP/1.1\nContent-Type: application/json".to_owned(),
        "POST /ci/api/v1/builds/1/artifacts HTTP/1.1\nContent-Type: multipart/form-data; boundary=b"
            .to_owned(),
        "POST /api/v4/jobs/request HTTP/1.1\nContent-Type: multipart/form-data; boundary=b".to_owned(),
        "POST /hooks/github HTTP/1.1\nX-GitHub-Event: push\nX-Hub-Signature-256: sha256=00".to_owned(),
        // Known senders send garbage, too.
        format!("POST /v1/projects HTTP/1.1\nContent-Type: application/json\nPRIVATE-TOKEN: {token}"),
        format!("POST /api/v3/projects HTTP/1.1\nPRIVATE-TOKEN: {token}"),
        format!("POST /builds HTTP/1.1\nAuthorization: Bearer {token}"),
    ];
    let before = resident_bytes();
    let clients = (0..CLIENTS).map(async |client| {
        let mut connection = Connection::to(&farm).await;
        let request = &requests[client % requests.len()];
        connection
            .head(&format!("{request}\nTransfer-Encoding: chunked"))
            .await;
        connection.flood(b"4000\r\n", 1).await;
        // One chunk of 16 KiB again and again, of the values that take the most memory.
        let piece = format!(
            "{}\r\n4000\r\n",
            "[0,".repeat(0x4000 / 3 + 1).get(..0x4000).unwrap()
        );
        connection.flood(piece.as_bytes(), GARBAGE_BYTES).await;
    });
    let flood = join_all(clients);
    let mut peak = before;
    let mut slowest = Duration::ZERO;
    let others = async {
        loop {
            let begun = Instant::now();
            let answer = farm
                .http
                .get(farm.url("/v1/user"))
                .bearer_auth(token)
                .send();
            assert_eq!(answer.await.unwrap().status(), 200);
            slowest = slowest.max(begun.elapsed());
            peak = peak.max(resident_bytes());
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = flood => {}
        () = others => {}
    }
    let grown = peak.saturating_sub(before) >> 20;
    assert!(
        grown < 120,
        "the memory grew by {grown} MiB; the slowest answer took {slowest:?}"
    );
    assert_eq!(metric(&farm, "slipway_body_memory_bytes").await, 0);
}

async fn body_beyond_the_memory_is_answered_503(backend: Backend) {
    let memory = |config: &mut slipway_coordinator::Config| {
        config.traffic.body_memory_bytes = 100_000;
    };
    let farm = TestFarm::start_with(backend, memory).await;
    let create = async |length: usize| {
        let post = farm
            .http
            .post(farm.url("/v1/projects"))
            .bearer_auth(&farm.admin_token);
        let body = format!("{{\"x\":\"{}\"}}", "x".repeat(length));
        let post = post.header("Content-Type", "application/json").body(body);
        post.send().await.unwrap()
    };
    // The values of JSON count like its text.
    assert_eq!(create(40_000).await.status(), 400);
    let refused = create(60_000).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "3");
    assert_eq!(create(200_000).await.status(), 503);
    let counted = "slipway_refused_requests_total{reason=\"body_memory\"}";
    assert_eq!(metric(&farm, counted).await, 2);
    assert_eq!(metric(&farm, "slipway_body_memory_bytes").await, 0);
}

async fn json_with_too_many_values_is_refused(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let many = format!("{{\"x\":[{}0]}}", "0,".repeat(100_000));
    for (path, refused) in [
        ("/v1/projects", 400),
        ("/api/v3/projects", 400),
        ("/builds", 400),
        ("/api/v1/filedrop/", 400),
        ("/api/v0/organizations", 400),
    ] {
        let post = farm
            .http
            .post(farm.url(path))
            .bearer_auth(&farm.admin_token);
        let post = post.header("Content-Type", "application/json");
        let answer = post.body(many.clone()).send().await.unwrap();
        assert_eq!(answer.status(), refused, "{path}");
        let text = answer.text().await.unwrap();
        assert!(text.contains("too many values"), "{path}: {text}");
    }
}

async fn multipart_form_with_too_many_fields_is_refused(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let register = async |fields: usize| {
        let mut form = reqwest::multipart::Form::new();
        for number in 0..fields {
            form = form.text(format!("f{number}"), "x");
        }
        let form = form.text("token", farm.registration_token.clone());
        let post = farm.http.post(farm.url("/ci/api/v1/runners/register"));
        post.multipart(form).send().await.unwrap().status()
    };
    assert_eq!(register(10).await, 201);
    assert_eq!(register(100).await, 400);
}
