//! Two coordinators on one PostgreSQL database: readers at one receive what a runner sends to the other.
//!
//! See `docs/protocols/harmont.md#delivery`.

use slipway_coordinator::Coordinator;
use slipway_testkit::Backend;
use tokio::time::Instant;

use crate::fixture::{Fixture, RunningJob, SECOND};
use crate::log_stream::{LIMIT, LogStream, joined_text};

/// Opens the log of a job at the other coordinator, from an offset.
async fn follow_at(second: &Coordinator, job: &RunningJob, from: u64) -> LogStream {
    let url = format!("http://{}/v0/jobs/{}/logs", second.address, job.uuid());
    let request = reqwest::Client::new().get(url);
    let request = request.query(&[("token", job.token())]);
    LogStream::open(request.header("Last-Event-ID", from)).await
}

#[tokio::test]
async fn output_sent_to_one_coordinator_is_read_at_the_other() {
    let fixture = Fixture::new(Backend::Postgres).await;
    let second = fixture.farm.second_coordinator().await;
    let mut job = fixture.start_job().await;
    job.append("before\n").await;
    let mut there = follow_at(&second, &job, 0).await;
    assert_eq!(joined_text(&there.history().await, 0), "before\n");
    let began = Instant::now();
    for number in 0..50 {
        let line = format!("line {number} €\n");
        job.append(&line).await;
        assert_eq!(there.next_chunk().await["content"], line);
    }
    job.succeed().await;
    there.expect_done(LIMIT).await;
    // The other coordinator was notified each time: polling the database takes up to two seconds.
    assert!(began.elapsed() < 25 * SECOND);
}

#[tokio::test]
async fn runner_and_readers_may_change_coordinators() {
    let fixture = Fixture::new(Backend::Postgres).await;
    let second = fixture.farm.second_coordinator().await;
    let mut job = fixture.start_job().await;
    let mut here = fixture.follow(&job).await;
    let mut there = follow_at(&second, &job, 0).await;
    let apis = [
        job.claim.runner.api.clone(),
        crate::client::RunnerApi::at(&format!("http://{}", second.address)),
    ];
    for number in 0..100 {
        job.claim.runner.api = apis[number % 2].clone();
        job.append(format!("{number} 𝄞\n")).await;
    }
    let mut numbers = Vec::new();
    let mut partly = follow_at(&second, &job, 100).await;
    job.succeed().await;
    for reader in [&mut here, &mut there] {
        let chunks = reader.read_to_end().await;
        assert!(joined_text(&chunks, 0).as_bytes() == job.written);
        numbers.push(chunks.last().unwrap()["seq"].clone());
    }
    assert_eq!(numbers[0], numbers[1]);
    let rest = String::from_utf8_lossy(&job.written[100..]).into_owned();
    let received = partly.read_to_end().await;
    let received: String = received
        .iter()
        .map(|chunk| chunk["content"].as_str().unwrap())
        .collect();
    assert_eq!(received, rest);
}
