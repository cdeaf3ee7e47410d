//! A request whose token is outside of its body is refused before a byte of the body is read.

use futures_util::future::join_all;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::connection::{Connection, PROMPT};

on_both_back_ends!(
    no_byte_of_a_stranger_s_body_is_needed_for_the_answer,
    rest_of_a_refused_body_is_not_read_as_fast_as_it_arrives,
    token_of_a_small_body_is_still_found,
    token_at_the_start_of_a_large_report_is_found,
);

/// Requests with a token that nobody has, and the statuses that refuse it.
const REQUESTS: &[(&str, u16)] = &[
    ("POST /v1/tokens HTTP/1.1\nAuthorization: Bearer wrong", 401),
    ("POST /v1/projects HTTP/1.1", 401),
    (
        "POST /v1/projects/a/b/sources?private_token=wrong HTTP/1.1",
        401,
    ),
    ("POST /api/v3/projects HTTP/1.1\nPRIVATE-TOKEN: wrong", 401),
    ("POST /api/v3/projects?private_token=wrong HTTP/1.1", 401),
    (
        "PUT /api/v3/projects/1 HTTP/1.1\nAuthorization: Bearer wrong",
        401,
    ),
    (
        "POST /api/v3/projects/1/trigger/builds?token=wrong&ref=main HTTP/1.1",
        404,
    ),
    // Without a token, it may be inside, but not in a body of this size.
    ("POST /api/v3/projects HTTP/1.1", 413),
    ("POST /api/v3/session HTTP/1.1", 413),
    ("POST /api/v3/projects/1/trigger/builds HTTP/1.1", 413),
    ("PUT /ci/api/v1/builds/1?token=wrong HTTP/1.1", 403),
    ("POST /ci/api/v1/builds/register?token=wrong HTTP/1.1", 403),
    ("POST /ci/api/v1/builds/register HTTP/1.1", 413),
    (
        "PATCH /ci/api/v1/builds/1/uploads/5f9d3c1e-0a70-4b1e-8a35-6f7a30b4f001 HTTP/1.1\nBUILD-TOKEN: wrong",
        403,
    ),
    (
        "POST /ci/api/v1/builds/1/uploads/5f9d3c1e-0a70-4b1e-8a35-6f7a30b4f001 HTTP/1.1\nBUILD-TOKEN: wrong",
        403,
    ),
    ("POST /ci/api/v1/runners/register HTTP/1.1", 413),
    (
        "POST /api/v4/jobs/request HTTP/1.1\nRUNNER-TOKEN: wrong",
        403,
    ),
    ("POST /api/v4/jobs/request HTTP/1.1", 413),
    ("POST /api/v4/runners HTTP/1.1", 413),
    ("PUT /api/v4/jobs/1 HTTP/1.1\nJOB-TOKEN: wrong", 403),
    (
        "PATCH /api/v4/jobs/1/trace HTTP/1.1\nJOB-TOKEN: wrong\nContent-Range: 0-5",
        403,
    ),
    (
        "POST /api/v4/jobs/1/artifacts HTTP/1.1\nJOB-TOKEN: wrong\nContent-Type: multipart/form-data; boundary=b",
        403,
    ),
    (
        "POST /api/v1/filedrop/ HTTP/1.1\nContent-Type: application/json",
        401,
    ),
    (
        "POST /api/v1/repository/a/b/build/ HTTP/1.1\nContent-Type: application/json",
        401,
    ),
    (
        "PUT /userfiles/0190a5d0-ac96-7b4b-8cce-b302099a8057?expires=9&signature=x HTTP/1.1",
        403,
    ),
    (
        "POST /api/v0/organizations HTTP/1.1\nAuthorization: Bearer wrong",
        401,
    ),
    ("POST /api/v0/auth/cli/redeem HTTP/1.1", 413),
    ("POST /builds HTTP/1.1\nAuthorization: Bearer wrong", 401),
    ("POST /hooks/github HTTP/1.1\nX-GitHub-Event: push", 403),
    (
        "POST /hooks/gitlab HTTP/1.1\nX-Gitlab-Event: Push Hook",
        403,
    ),
    ("POST /hooks/gitea HTTP/1.1\nX-Gitea-Event: push", 403),
    (
        "POST /hooks/github HTTP/1.1\nX-GitHub-Event: push\nX-Hub-Signature-256: sha256=00",
        413,
    ),
    ("POST /no/such/route HTTP/1.1", 404),
];

async fn no_byte_of_a_stranger_s_body_is_needed_for_the_answer(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let send = async |request: &str, framing: &str, status: u16| {
        // The rest of the body never arrives.
        let mut connection = Connection::to(&farm).await;
        connection.head(&format!("{request}\n{framing}")).await;
        let answer = connection.answer_and_close(PROMPT).await;
        assert_eq!(
            answer.status, status,
            "{request}\n{framing}\n{}",
            answer.text
        );
    };
    let send = &send;
    let all = REQUESTS.iter().flat_map(|(request, status)| {
        let framings = ["Content-Length: 64000000", "Transfer-Encoding: chunked"];
        // Where a small body is read from anybody, only its declared length shows that it is large.
        let is_shown = move |framing: &&str| *status != 413 || !framing.starts_with("Transfer");
        let framings = framings.into_iter().filter(is_shown);
        framings.map(move |framing| send(request, framing, *status))
    });
    join_all(all).await;
    // A runner's job that exists looks the same.
    let project = farm.project("acme/api").await;
    let build = farm.build(&project).await;
    let id = farm.jobs(&build).await[0].id;
    for request in [
        format!(
            "PATCH /ci/api/v1/builds/{id}/trace.txt HTTP/1.1\nBUILD-TOKEN: wrong\nContent-Range: 0-5"
        ),
        format!(
            "POST /ci/api/v1/builds/{id}/artifacts HTTP/1.1\nBUILD-TOKEN: wrong\nContent-Type: multipart/form-data; boundary=b"
        ),
        format!(
            "POST /ci/api/v1/builds/{id}/artifacts?token=wrong HTTP/1.1\nContent-Type: multipart/form-data; boundary=b"
        ),
    ] {
        let mut connection = Connection::to(&farm).await;
        connection
            .head(&format!("{request}\nContent-Length: 64000000"))
            .await;
        let answer = connection.answer_and_close(PROMPT).await;
        assert_eq!(answer.status, 403, "{request}\n{}", answer.text);
    }
}

/// What the farm may take of a body after its answer, in bytes: half a second at 32 MiB/s, and what the
/// sockets hold.
const MAX_AFTER_ANSWER: usize = 48 << 20;

async fn rest_of_a_refused_body_is_not_read_as_fast_as_it_arrives(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let mut connection = Connection::to(&farm).await;
    connection
        .head("POST /v1/projects HTTP/1.1\nContent-Length: 1000000000")
        .await;
    assert_eq!(connection.status().await, 401);
    let sent = connection.flood(&[b'x'; 0x10000], 1_000_000_000).await;
    assert!(sent < MAX_AFTER_ANSWER, "{sent} bytes were taken");
}

async fn token_of_a_small_body_is_still_found(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let token = &farm.registration_token;
    let registered = farm.http.post(farm.url("/ci/api/v1/runners/register"));
    let registered = registered.json(&serde_json::json!({ "token": token }));
    assert_eq!(registered.send().await.unwrap().status(), 201);
    let form = format!("private_token={}&x=y", farm.admin_token);
    let created = farm.http.post(farm.url("/api/v3/projects"));
    // The body is read, because the answer is about its content.
    let response = created.body(form).send().await.unwrap();
    assert_eq!(response.status(), 400);
    // A token in the body takes precedence over one in the header.
    let created = farm.http.post(farm.url("/api/v3/projects"));
    let response = created
        .header("PRIVATE-TOKEN", &farm.admin_token)
        .body("private_token=wrong")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 401);
}

async fn token_at_the_start_of_a_large_report_is_found(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let registered = farm.http.post(farm.url("/ci/api/v1/runners/register"));
    let body = serde_json::json!({ "token": farm.registration_token });
    let registered = registered.json(&body).send().await.unwrap();
    let registered: serde_json::Value = registered.json().await.unwrap();
    let token = registered["token"].as_str().unwrap();
    let project = farm.project("acme/api").await;
    let build = farm.build(&project).await;
    let claim = farm.http.post(farm.url("/ci/api/v1/builds/register"));
    let claim = claim.json(&serde_json::json!({ "token": token }));
    assert_eq!(claim.send().await.unwrap().status(), 201);
    let id = farm.jobs(&build).await[0].id;
    let report = async |body: String| {
        let put = farm
            .http
            .put(farm.url(&format!("/ci/api/v1/builds/{id}.json")));
        put.body(body).send().await.unwrap()
    };
    let trace = "x".repeat(2_000_000);
    let known = format!(r#"{{"info":{{"name":"a"}},"token":"{token}","trace":"{trace}"}}"#);
    assert_eq!(report(known).await.status(), 200);
    assert_eq!(farm.trace(id).await.len(), trace.len());
    let unknown = format!(r#"{{"token":"wrong","trace":"{trace}"}}"#);
    assert_eq!(report(unknown).await.status(), 403);
    // The token is too late: nothing says whose the first part is.
    let late = format!(r#"{{"trace":"{trace}","token":"{token}"}}"#);
    let refused = report(late).await;
    assert_eq!(refused.status(), 413);
    assert!(
        refused
            .text()
            .await
            .unwrap()
            .contains("send the token in a header")
    );
}
