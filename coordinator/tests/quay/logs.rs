//! Reading logs, while a build runs and afterwards.
//!
//! See `docs/protocols/quay.md#logs`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{BUILDS, PUBLIC_BUILDS, send};
use crate::client::Claim;
use crate::fixture::{Fixture, report_phase};

on_both_back_ends!(
    waiting_build_has_an_empty_log,
    log_of_a_public_repository_is_readable_without_token,
    logs_can_be_restricted_to_writers,
    start_skips_entries,
    negative_start_counts_from_the_end,
    start_must_be_an_integer,
    log_of_a_finished_build_moves_to_the_archive,
    log_archive_can_be_restricted_to_writers,
    unreadable_log_is_empty,
    entries_have_a_datetime,
    first_entry_is_build_scheduled,
);

async fn waiting_build_has_an_empty_log(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let path = format!("{BUILDS}{}/logs", fixture.create_build().await);
    let nothing = json!({"start": 0, "total": 0, "logs": []});
    for client in [&fixture.reader, &fixture.writer, &fixture.admin] {
        assert_eq!(client.get(&path).await.is(200).json(), nothing);
    }
    fixture
        .anonymous
        .get(&path)
        .await
        .fails_with_problem(401, "invalid_token");
}

async fn log_of_a_public_repository_is_readable_without_token(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let path = format!(
        "{PUBLIC_BUILDS}{}/logs",
        fixture.create_build_in(PUBLIC_BUILDS).await
    );
    fixture.anonymous.get(&path).await.is(200);
    fixture.bob.get(&path).await.is(200);
}

async fn logs_can_be_restricted_to_writers(backend: Backend) {
    let fixture =
        Fixture::start_with(backend, |config| config.quay.reader_build_logs = false).await;
    let path = format!("{BUILDS}{}/logs", fixture.create_build().await);
    fixture
        .reader
        .get(&path)
        .await
        .fails_with_problem(403, "insufficient_scope");
    fixture.writer.get(&path).await.is(200);
    let unknown = fixture.reader.get(&format!("{BUILDS}nothing/logs")).await;
    unknown.fails_with_problem(403, "insufficient_scope");
    let path = format!(
        "{PUBLIC_BUILDS}{}/logs",
        fixture.create_build_in(PUBLIC_BUILDS).await
    );
    fixture
        .anonymous
        .get(&path)
        .await
        .fails_with_problem(401, "invalid_token");
    fixture
        .bob
        .get(&path)
        .await
        .fails_with_problem(403, "insufficient_scope");
}

/// A running build whose log has three entries: two phases and a line.
async fn build_with_three_entries(fixture: &Fixture) -> (String, Claim) {
    let (id, claim) = fixture.build_in_phase("building").await;
    claim.patch("0-5", "hello\n").await.is(202);
    (id, claim)
}

async fn get_log(fixture: &Fixture, id: &str, query: &str) -> Value {
    let path = format!("{BUILDS}{id}/logs{query}");
    fixture.reader.get(&path).await.is(200).json()
}

async fn start_skips_entries(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, _claim) = build_with_three_entries(&fixture).await;
    let all = get_log(&fixture, &id, "").await;
    assert_eq!(all["total"], 3, "{all}");
    let all = all["logs"].as_array().unwrap();
    let rest = get_log(&fixture, &id, "?start=1").await;
    assert_eq!(rest["start"], 1);
    assert_eq!(rest["total"], 3);
    assert_eq!(rest["logs"].as_array().unwrap(), &all[1..]);
    for start in [3, 99] {
        let none = get_log(&fixture, &id, &format!("?start={start}")).await;
        assert_eq!(none, json!({"start": start, "total": 3, "logs": []}));
    }
}

async fn negative_start_counts_from_the_end(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, _claim) = build_with_three_entries(&fixture).await;
    let last = get_log(&fixture, &id, "?start=-1").await;
    assert_eq!(last["start"], -1);
    assert_eq!(last["logs"].as_array().unwrap().len(), 1);
    assert_eq!(last["logs"][0]["message"], "hello\n");
}

async fn start_must_be_an_integer(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.create_build().await;
    for start in ["abc", "", "1.5"] {
        let response = fixture
            .reader
            .get(&format!("{BUILDS}{id}/logs?start={start}"))
            .await;
        assert!(response.fails_with_message(400)["start"].is_string());
    }
}

/// The URL of the archived log of a finished build.
async fn log_url(fixture: &Fixture, id: &str, query: &str) -> String {
    fixture.farm.advance(30);
    let body = get_log(fixture, id, query).await;
    let body = body.as_object().unwrap();
    assert_eq!(body.keys().collect::<Vec<_>>(), ["logs_url"]);
    body["logs_url"].as_str().unwrap().to_owned()
}

async fn log_of_a_finished_build_moves_to_the_archive(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = build_with_three_entries(&fixture).await;
    claim.succeed().await;
    // For a short time, clients that follow the log still get its end from `/logs`.
    fixture.farm.advance(10);
    let end = get_log(&fixture, &id, "?start=3").await;
    assert_eq!(end["total"], 4);
    assert_eq!(end["logs"][0]["message"], "complete");
    let url = log_url(&fixture, &id, "?start=5").await;
    assert_eq!(url, fixture.farm.url(&format!("/logarchive/{id}")));
    let with_bearer = |token: &str| {
        fixture
            .anonymous
            .request_without_token(Method::GET, &url)
            .bearer_auth(token)
    };
    let with_login = fixture.anonymous.request_without_token(Method::GET, &url);
    let with_login = with_login.basic_auth("$oauthtoken", Some(&fixture.writer.token));
    for request in [
        with_bearer(&fixture.writer.token),
        with_login,
        with_bearer(&fixture.reader.token),
    ] {
        let response = send(request).await.is(200);
        assert_eq!(response.header("content-type"), Some("application/json"));
        let log = response.json();
        assert_eq!(log["start"], 0);
        assert_eq!(log["total"], 4);
        let logs = log["logs"].as_array().unwrap();
        assert_eq!(logs.len(), 4);
        assert_eq!(logs[2]["message"], "hello\n");
        assert_eq!(logs[3]["message"], "complete");
    }
    let other_user = fixture.anonymous.request_without_token(Method::GET, &url);
    let other_user = other_user.basic_auth("ada", Some(&fixture.writer.token));
    let refused = [
        fixture.anonymous.request_without_token(Method::GET, &url),
        with_bearer(&fixture.identity_only.token),
        with_bearer(&fixture.expired.token),
        with_bearer(&fixture.bob.token),
        other_user,
        fixture.writer.request(Method::GET, "/logarchive/nothing"),
        fixture.writer.request(
            Method::GET,
            "/logarchive/0190a6d0-0000-7000-8000-000000000001",
        ),
    ];
    for request in refused {
        send(request).await.is(403);
    }
}

async fn log_archive_can_be_restricted_to_writers(backend: Backend) {
    let fixture =
        Fixture::start_with(backend, |config| config.quay.reader_build_logs = false).await;
    let id = fixture.create_build().await;
    fixture.admin.delete(&format!("{BUILDS}{id}")).await.is(204);
    let path = format!("/logarchive/{id}");
    fixture.reader.get(&path).await.is(403);
    let nothing = json!({"start": 0, "total": 0, "logs": []});
    assert_eq!(fixture.writer.get(&path).await.is(200).json(), nothing);
    let public = fixture.create_build_in(PUBLIC_BUILDS).await;
    let path = format!("/logarchive/{public}");
    fixture.anonymous.get(&path).await.is(403);
    fixture.bob.get(&path).await.is(403);
    fixture.writer.get(&path).await.is(200);
}

async fn unreadable_log_is_empty(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = build_with_three_entries(&fixture).await;
    let lines = "line\n".repeat(9);
    claim.patch("6-51", lines).await.is(202);
    fixture.farm.lose_blobs();
    let nothing = json!({"start": 7, "total": 0, "logs": []});
    assert_eq!(get_log(&fixture, &id, "?start=7").await, nothing);
    assert_eq!(get_log(&fixture, &id, "").await["total"], 0);
    // The number of lines and the phases come from the database, not from blobs.
    let known = json!({"start": 12, "total": 12, "logs": []});
    assert_eq!(get_log(&fixture, &id, "?start=12").await, known);
    report_phase(&claim, "pushing").await.is(200);
    let phase = get_log(&fixture, &id, "?start=12").await;
    assert_eq!(phase["total"], 13);
    assert_eq!(phase["logs"][0]["message"], "pushing");
}

async fn entries_have_a_datetime(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, _claim) = build_with_three_entries(&fixture).await;
    let all = get_log(&fixture, &id, "").await;
    for entry in all["logs"].as_array().unwrap() {
        assert!(entry["message"].is_string(), "{entry}");
        let datetime = entry["data"]["datetime"].as_str().unwrap();
        assert_eq!(datetime.len(), "2026-03-01 10:00:02.104511".len());
        let parsed = chrono::NaiveDateTime::parse_from_str(datetime, "%Y-%m-%d %H:%M:%S%.6f");
        parsed.unwrap();
    }
    let output = &all["logs"][2];
    assert_eq!(output["message"], "hello\n");
    assert_eq!(output.get("type"), None);
}

async fn first_entry_is_build_scheduled(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = fixture.claimed_build().await;
    report_phase(&claim, "fetching").await.is(200);
    let all = get_log(&fixture, &id, "").await;
    let first = &all["logs"][0];
    assert_eq!(first["type"], "phase");
    assert_eq!(first["message"], "build-scheduled");
    assert_eq!(all["logs"][1]["message"], "unpacking");
}
