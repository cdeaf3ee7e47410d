//! Followed traces whose runner begins each line with a header that has a time.
//!
//! See `docs/protocols/runner-v4.md#line-headers`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use serde_json::Value;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::Fixture;
use crate::log_stream::joined_text;

on_both_back_ends!(
    chunk_has_the_time_of_its_line,
    all_apis_stream_the_text_without_headers,
);

fn nanoseconds(time: &str) -> i64 {
    let time = DateTime::parse_from_rfc3339(time).unwrap();
    time.timestamp_nanos_opt().unwrap()
}

async fn chunk_has_the_time_of_its_line(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut job = fixture.start_job().await;
    let (one, two) = ("2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:06.654321Z");
    job.append(format!("{one} 00O first\n{two} 00O second"))
        .await;
    let mut reader = fixture.follow(&job).await;
    let shown = |chunk: &Value| {
        let content = chunk["content"].as_str().unwrap().to_owned();
        (content, chunk["ts"].as_i64().unwrap())
    };
    let history: Vec<_> = reader.history().await.iter().map(shown).collect();
    let expected = [
        ("first\n".to_owned(), nanoseconds(one)),
        ("second".to_owned(), nanoseconds(two)),
    ];
    assert_eq!(history, expected);
    // The rest of a line has the time of the line.
    job.append(" half\n").await;
    let chunk = shown(&reader.next_chunk().await);
    assert_eq!(chunk, (" half\n".to_owned(), nanoseconds(two)));
    // A header may arrive in parts.
    job.append(&one[..20]).await;
    job.append(format!("{} 01E third\n", &one[20..])).await;
    let chunk = shown(&reader.next_chunk().await);
    assert_eq!(chunk, ("third\n".to_owned(), nanoseconds(one)));
    job.succeed().await;
    let all = fixture.follow(&job).await.read_to_end().await;
    assert_eq!(joined_text(&all, 0), "first\nsecond half\nthird\n");
    let times: Vec<i64> = all.iter().map(|chunk| shown(chunk).1).collect();
    assert_eq!(times.first(), Some(&nanoseconds(one)));
}

async fn all_apis_stream_the_text_without_headers(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut job = fixture.start_job().await;
    let get = |path: String| {
        let request = fixture.farm.http.get(fixture.farm.url(&path));
        request.bearer_auth(&fixture.farm.admin_token)
    };
    let native = get(format!("/v1/jobs/{}/trace/stream", job.claim.id));
    let conveyor = get(format!("/logs/{}", job.build.uuid));
    let copy = job.clone();
    let (mut raw, mut text) = (String::new(), String::new());
    for number in 0..60 {
        let header = format!("2026-01-02T03:04:{number:02}.123456Z 00O");
        raw.push_str(&format!("{header} {number}%\r\n{header}+ line ü\n"));
        text.push_str(&format!("{number}%\r line ü\n"));
    }
    let writer = async {
        for part in raw.as_bytes().chunks(97) {
            job.append(part).await;
        }
        job.succeed().await;
    };
    let (native, conveyor, ours, ()) = tokio::join!(
        Fixture::send(native),
        Fixture::send(conveyor),
        async { fixture.follow(&copy).await.read_to_end().await },
        writer
    );
    assert_eq!(String::from_utf8_lossy(&conveyor.is(200).body), text);
    assert_eq!(joined_text(&ours, 0), text);
    let native = native.is(200);
    let events = std::str::from_utf8(&native.body).unwrap().split("\n\n");
    let chunks = events.filter(|event| event.contains("event: chunk"));
    let received = chunks.flat_map(|event| {
        let (_, data) = event.split_once("data: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        STANDARD.decode(data["base64"].as_str().unwrap()).unwrap()
    });
    assert_eq!(received.collect::<Vec<u8>>(), text.as_bytes());
    let v3 = get(format!("/api/v3/projects/1/builds/{}/trace", job.claim.id));
    assert_eq!(Fixture::send(v3).await.is(200).body, text);
}
