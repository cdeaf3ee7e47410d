//! Bodies that stop arriving are ended, and slow ones that make progress are not.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all, stream};
use slipway_coordinator::Config;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};
use tokio::time::interval;

use crate::connection::Connection;

on_both_back_ends!(
    half_body_is_answered_408_and_closed,
    one_byte_at_a_time_is_no_progress,
    slow_upload_that_makes_progress_is_stored,
    many_half_bodies_are_all_closed,
    half_head_is_answered_408_and_closed,
    stranger_gets_one_request_for_each_connection,
);

/// The time in which a body must make progress, in these tests.
const PROGRESS: Duration = Duration::from_secs(1);
/// When a connection without progress is closed at the latest.
const CLOSED: Duration = Duration::from_secs(10);

fn impatient(config: &mut Config) {
    config.traffic.body_progress_s = PROGRESS;
}

async fn half_body_is_answered_408_and_closed(backend: Backend) {
    let farm = TestFarm::start_with(backend, impatient).await;
    farm.project("acme/api").await;
    let token = &farm.admin_token;
    let requests = [
        format!("POST /v1/projects HTTP/1.1\nPRIVATE-TOKEN: {token}\nContent-Type: application/json"),
        format!("POST /v1/projects/acme/api/sources HTTP/1.1\nPRIVATE-TOKEN: {token}\nContent-Type: application/gzip"),
        format!("POST /api/v3/projects HTTP/1.1\nPRIVATE-TOKEN: {token}"),
        format!("POST /builds HTTP/1.1\nAuthorization: Bearer {token}"),
        format!("POST /api/v0/organizations HTTP/1.1\nAuthorization: Bearer {token}"),
        format!("POST /api/v1/filedrop/ HTTP/1.1\nAuthorization: Bearer {token}\nContent-Type: application/json"),
        // The senders of these are not known yet.
        "POST /api/v3/session HTTP/1.1".to_owned(),
        "POST /ci/api/v1/builds/register HTTP/1.1".to_owned(),
        "PUT /ci/api/v1/builds/1 HTTP/1.1".to_owned(),
        "POST /ci/api/v1/builds/1/artifacts HTTP/1.1\nContent-Type: multipart/form-data; boundary=b".to_owned(),
        "POST /api/v4/jobs/request HTTP/1.1".to_owned(),
        "POST /hooks/github HTTP/1.1\nX-GitHub-Event: push\nX-Hub-Signature-256: sha256=00".to_owned(),
    ];
    let send = async |request: &str, framing: &str| {
        let mut connection = Connection::to(&farm).await;
        connection.head(&format!("{request}\n{framing}")).await;
        connection.send(b"3\r\n{\"a").await;
        let answer = connection.answer_and_close(CLOSED).await;
        assert_eq!(answer.status, 408, "{request}\n{framing}\n{}", answer.text);
    };
    // All at once, because each takes as long as the farm waits for progress.
    let all = requests.iter().flat_map(|request| {
        ["Content-Length: 1000", "Transfer-Encoding: chunked"].map(|framing| send(request, framing))
    });
    join_all(all).await;
}

async fn one_byte_at_a_time_is_no_progress(backend: Backend) {
    let farm = TestFarm::start_with(backend, impatient).await;
    let mut connection = Connection::to(&farm).await;
    let token = &farm.admin_token;
    let head =
        format!("POST /api/v3/projects HTTP/1.1\nPRIVATE-TOKEN: {token}\nContent-Length: 1000");
    connection.head(&head).await;
    let mut ticks = interval(PROGRESS / 5);
    for _ in 0..5 {
        ticks.tick().await;
        connection.flood(b"x", 1).await;
    }
    assert_eq!(connection.answer_and_close(CLOSED).await.status, 408);
}

async fn slow_upload_that_makes_progress_is_stored(backend: Backend) {
    let farm = TestFarm::start_with(backend, impatient).await;
    farm.project("acme/api").await;
    let pieces = stream::unfold(interval(PROGRESS / 2), async |mut ticks| {
        ticks.tick().await;
        let piece = Bytes::from_static(&[b'x'; 2048]);
        Some((Ok::<_, std::io::Error>(piece), ticks))
    });
    // Four times as long as a body may make no progress.
    let body = reqwest::Body::wrap_stream(pieces.take(8));
    let upload = farm.http.post(farm.url("/v1/projects/acme/api/sources"));
    let upload = upload
        .bearer_auth(&farm.admin_token)
        .header("Content-Type", "application/gzip")
        .body(body);
    assert_eq!(upload.send().await.unwrap().status(), 201);
}

async fn many_half_bodies_are_all_closed(backend: Backend) {
    let farm = TestFarm::start_with(backend, impatient).await;
    let half = (0..200).map(async |_| {
        let mut connection = Connection::to(&farm).await;
        let head = "POST /ci/api/v1/builds/register HTTP/1.1\nContent-Length: 1000";
        connection.head(head).await;
        connection.send(b"{\"token\":").await;
        connection.answer_and_close(2 * CLOSED).await.status
    });
    let statuses = join_all(half).await;
    assert!(statuses.iter().all(|status| *status == 408), "{statuses:?}");
}

async fn half_head_is_answered_408_and_closed(backend: Backend) {
    let short = |config: &mut Config| config.traffic.request_head_s = PROGRESS;
    let farm = TestFarm::start_with(backend, short).await;
    let mut connection = Connection::to(&farm).await;
    connection
        .send(b"GET /v1/user HTTP/1.1\r\nHost: farm")
        .await;
    assert_eq!(connection.answer_and_close(CLOSED).await.status, 408);
}

async fn stranger_gets_one_request_for_each_connection(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for request in [
        "GET /healthz HTTP/1.1",
        "GET /v1/docs HTTP/1.1",
        "GET /v1/user HTTP/1.1\nAuthorization: Bearer wrong",
        "GET /no/such/route HTTP/1.1\nAuthorization: Bearer wrong",
    ] {
        let mut connection = Connection::to(&farm).await;
        connection.head(request).await;
        // The head of a second request, which never ends.
        connection
            .flood(b"GET /healthz HTTP/1.1\r\nHost: farm", 1)
            .await;
        connection.answer_and_close(CLOSED).await;
    }
}
