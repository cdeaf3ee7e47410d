//! Reading traces and artifacts: completely, in part, and as a stream.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use slipway_domain::ReportedResult;
use slipway_farm::{ClaimedJob, Ended, FileKind, Report, Runner};

use crate::support::{Api, ApiResponse};

/// A farm with a running job whose trace is "0123456789".
async fn running() -> (Api, Runner, ClaimedJob) {
    let api = Api::start().await;
    api.project().await;
    api.build().await;
    let runner = api.runner().await;
    let claimed = api.claim(&runner).await;
    for (start, text) in [(0, "01234"), (5, "56789")] {
        let bytes = Bytes::from_static(text.as_bytes());
        let access = api.farm.job_access(claimed.job.id, &claimed.token);
        let access = access.await.unwrap();
        let appended = api.farm.append_trace(&access, start, bytes);
        appended.await.unwrap();
    }
    (api, runner, claimed)
}

async fn get(api: &Api, path: &str, range: &str) -> ApiResponse {
    let headers = [("private-token", api.root.as_str()), ("range", range)];
    api.call_with("GET", path, &headers, None).await
}

#[actix_web::test]
async fn a_trace_is_read_whole_and_in_part() {
    let (api, _, claimed) = running().await;
    let path = format!("/v1/jobs/{}/trace", claimed.job.id);
    let whole = api.get(&api.root, &path).await.expect(200);
    assert_eq!(whole.body, "0123456789");
    assert_eq!(whole.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    let part = get(&api, &path, "bytes=3-6").await.expect(206);
    assert_eq!(part.body, "3456");
    assert_eq!(part.header("content-range"), "bytes 3-6/10");
    let rest = api.get(&api.root, &format!("{path}?offset=8")).await;
    assert_eq!(rest.expect(206).body, "89");
    let beyond = get(&api, &path, "bytes=10-").await.expect(416);
    assert_eq!(beyond.header("content-range"), "bytes */10");
    api.get(&api.root, &format!("{path}?offset=10"))
        .await
        .expect(416);
    api.get(&api.root, &format!("{path}?offset=x"))
        .await
        .expect(400);
    api.get(&api.root, "/v1/jobs/999/trace").await.expect(404);
}

/// Reports that a job succeeded.
async fn succeed(api: &Api, runner: &Runner, claimed: &ClaimedJob) {
    let report = Report {
        ended: Some(Ended {
            result: ReportedResult::Succeeded,
            message: None,
            trace: None,
            image: None,
            exit_code: None,
            build_steps: Vec::new(),
        }),
        ..Report::default()
    };
    api.farm
        .report(runner, claimed.job.id, report)
        .await
        .unwrap();
}

#[actix_web::test]
async fn a_job_with_a_trace_is_erased_once() {
    let (api, runner, claimed) = running().await;
    let root = api.root.as_str();
    let erase = format!("/v1/jobs/{}/erase", claimed.job.id);
    api.post(root, &erase, json!({})).await.expect(409);
    succeed(&api, &runner, &claimed).await;
    let erased = api.post(root, &erase, json!({})).await.expect(200);
    assert!(erased.json()["erased_at"].is_string());
    let user = api.get(root, "/v1/user").await.expect(200).json();
    assert_eq!(erased.json()["erased_by"], user["id"]);
    let trace = format!("/v1/jobs/{}/trace", claimed.job.id);
    assert_eq!(api.get(root, &trace).await.expect(200).body, "");
    api.post(root, &erase, json!({})).await.expect(409);
}

#[actix_web::test]
async fn a_job_token_in_a_trace_is_masked() {
    let (api, runner, claimed) = running().await;
    let id = claimed.job.id;
    let token = claimed.token.expose();
    let (first, second) = token.split_at(20);
    for (start, text) in [(10, first), (30, second)] {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let access = api.farm.job_access(id, &claimed.token).await.unwrap();
        let appended = api.farm.append_trace(&access, start, bytes);
        appended.await.unwrap();
    }
    let clear = format!("0123456789{}", "x".repeat(token.len()));
    let trace = api.get(&api.root, &format!("/v1/jobs/{id}/trace")).await;
    assert_eq!(trace.expect(200).body, clear);
    succeed(&api, &runner, &claimed).await;
    // It is masked too for a reader that resumes in the middle of the token.
    let path = format!("/v1/jobs/{id}/trace/stream");
    let headers = [
        ("private-token", api.root.as_str()),
        ("last-event-id", "30"),
    ];
    let rest = api.call_with("GET", &path, &headers, None).await;
    let text = String::from_utf8(rest.expect(200).body.to_vec()).unwrap();
    let data = STANDARD.encode(&clear[30..]);
    let expected = format!("data: {{\"offset\":30,\"base64\":\"{data}\"}}");
    assert!(text.contains(&expected), "{text}");
}

#[actix_web::test]
async fn a_trace_stream_ends_with_the_job_and_resumes_after_the_last_event() {
    let (api, runner, claimed) = running().await;
    succeed(&api, &runner, &claimed).await;
    let path = format!("/v1/jobs/{}/trace/stream", claimed.job.id);
    let whole = api.get(&api.root, &path).await.expect(200);
    assert_eq!(whole.header("content-type"), "text/event-stream");
    let text = String::from_utf8(whole.body.to_vec()).unwrap();
    assert!(text.starts_with("id: 5\nevent: chunk\n"), "{text}");
    assert!(
        text.ends_with(
            "id: 10\nevent: end\ndata: {\"state\":\"succeeded\",\"failure_reason\":null}\n\n"
        ),
        "{text}"
    );

    let headers = [("private-token", api.root.as_str()), ("last-event-id", "7")];
    let rest = api
        .call_with("GET", &path, &headers, None)
        .await
        .expect(200);
    let text = String::from_utf8(rest.body.to_vec()).unwrap();
    assert!(
        text.contains("{\"offset\":7,\"base64\":\"Nzg5\"}"),
        "{text}"
    );
    let headers = [("private-token", api.root.as_str()), ("last-event-id", "x")];
    api.call_with("GET", &path, &headers, None)
        .await
        .expect(400);
}

#[actix_web::test]
async fn an_archive_is_read_in_part_kept_and_deleted() {
    let (api, _, claimed) = running().await;
    let job = api
        .farm
        .running_job_access(claimed.job.id, &claimed.token)
        .await
        .unwrap();
    let content = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from("archive"))]);
    let received = api.farm.receive_archive(&job, content).await.unwrap();
    let a_day = Some(chrono::TimeDelta::days(1));
    let kept = api.farm.put_file(
        &job,
        received,
        FileKind::Archive,
        "größe.zip".to_owned(),
        a_day,
    );
    kept.await.unwrap();
    let root = api.root.as_str();
    let list = api
        .get(root, &format!("/v1/jobs/{}/artifacts", job.id()))
        .await;
    let list: Value = list.expect(200).json();
    assert_eq!(list["items"][0]["kind"], "archive");
    assert_eq!(list["items"][0]["size_bytes"], 7);
    let path = format!("/v1/artifacts/{}", list["items"][0]["id"]);
    api.get(root, &path).await.expect(200);
    let content = format!("{path}/content");
    let whole = api.get(root, &content).await.expect(200);
    assert_eq!(whole.body, "archive");
    assert!(
        whole
            .header("content-disposition")
            .starts_with("attachment")
    );
    let part = get(&api, &content, "bytes=-3").await.expect(206);
    assert_eq!(part.body, "ive");
    assert_eq!(
        get(&api, &content, "bytes=7-")
            .await
            .expect(416)
            .header("content-range"),
        "bytes */7"
    );
    assert!(list["items"][0]["expires_at"].is_string());
    for _ in 0..2 {
        let kept = api.post(root, &format!("{path}/keep"), json!({})).await;
        assert_eq!(kept.expect(200).json()["expires_at"], Value::Null);
    }
    api.delete(root, &path).await.expect(204);
    api.post(root, &format!("{path}/keep"), json!({}))
        .await
        .expect(404);
    api.get(root, &path).await.expect(404);
}
