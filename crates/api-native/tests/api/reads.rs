//! Traces and artifacts: whole, in part, and as they grow.

use bytes::Bytes;
use serde_json::Value;
use slipway_domain::ReportedResult;
use slipway_farm::{ClaimedJob, Ended, Report, Runner};

use crate::support::{Answer, Api};

/// A farm with a running job whose trace is "0123456789".
async fn running() -> (Api, Runner, ClaimedJob) {
    let api = Api::start().await;
    api.project().await;
    api.build().await;
    let runner = api.runner().await;
    let claimed = api.claim(&runner).await;
    for (start, text) in [(0, "01234"), (5, "56789")] {
        let bytes = Bytes::from_static(text.as_bytes());
        api.farm
            .append_trace(claimed.job.id, &claimed.token, start, bytes)
            .await
            .unwrap();
    }
    (api, runner, claimed)
}

async fn get(api: &Api, path: &str, range: &str) -> Answer {
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

#[actix_web::test]
async fn a_stream_of_a_trace_ends_with_the_job() {
    let (api, runner, claimed) = running().await;
    let report = Report {
        ended: Some(Ended {
            result: ReportedResult::Succeeded,
            message: None,
            trace: None,
            image: None,
        }),
        ..Report::default()
    };
    api.farm
        .report(&runner, claimed.job.id, report)
        .await
        .unwrap();
    let path = format!("/v1/jobs/{}/trace/stream", claimed.job.id);
    let whole = api.get(&api.root, &path).await.expect(200);
    assert_eq!(whole.header("content-type"), "text/event-stream");
    let text = String::from_utf8(whole.body.to_vec()).unwrap();
    assert!(text.starts_with("event: chunk\nid: 5\n"), "{text}");
    assert!(
        text.ends_with(
            "event: end\nid: 10\ndata: {\"state\":\"succeeded\",\"failure_reason\":null}\n\n"
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
async fn an_archive_is_read_in_part_and_removed() {
    let (api, _, claimed) = running().await;
    let job = api
        .farm
        .uploading_job(claimed.job.id, &claimed.token)
        .await
        .unwrap();
    let content = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from("archive"))]);
    let received = api.farm.receive_archive(&job, content).await.unwrap();
    let kept = api
        .farm
        .keep_archive(&job, received, "größe.zip".to_owned(), None);
    kept.await.unwrap();
    let root = api.root.as_str();
    let list = api
        .get(root, &format!("/v1/jobs/{}/artifacts", job.id))
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
    api.delete(root, &path).await.expect(204);
    api.get(root, &path).await.expect(404);
}
