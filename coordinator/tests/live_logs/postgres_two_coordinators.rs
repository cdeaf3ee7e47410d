//! Two coordinators on one PostgreSQL: a reader at one sees what a runner sends to the other.

use slipway_coordinator::Coordinator;
use slipway_testkit::Backend;
use tokio::time::Instant;

use crate::support::{LIMIT, Reader, SECOND, Work, Yard, text};

async fn at_the_other(second: &Coordinator, work: &Work, from: u64) -> Reader {
    let url = format!("http://{}/v0/jobs/{}/logs", second.address, work.name());
    let request = reqwest::Client::new().get(url);
    let request = request.query(&[("token", work.token())]);
    Reader::of(request.header("Last-Event-ID", from)).await
}

#[tokio::test]
async fn what_is_sent_to_one_is_read_at_the_other() {
    let yard = Yard::new(Backend::Postgres).await;
    let second = yard.farm.second_coordinator().await;
    let mut work = yard.work().await;
    work.say("before\n").await;
    let mut there = at_the_other(&second, &work, 0).await;
    assert_eq!(text(&there.history().await, 0), "before\n");
    let began = Instant::now();
    for number in 0..50 {
        let line = format!("line {number} €\n");
        work.say(&line).await;
        assert_eq!(there.chunk().await["content"], line);
    }
    work.succeed().await;
    there.done(LIMIT).await;
    // It was told each time: to look takes up to two seconds.
    assert!(began.elapsed() < 25 * SECOND);
}

#[tokio::test]
async fn a_runner_and_its_readers_may_change_coordinators() {
    let yard = Yard::new(Backend::Postgres).await;
    let second = yard.farm.second_coordinator().await;
    let mut work = yard.work().await;
    let mut here = yard.follow(&work).await;
    let mut there = at_the_other(&second, &work, 0).await;
    let apis = [
        work.claim.runner.api.clone(),
        crate::client::RunnerApi::at(&format!("http://{}", second.address)),
    ];
    for number in 0..100 {
        work.claim.runner.api = apis[number % 2].clone();
        work.say(format!("{number} 𝄞\n")).await;
    }
    let mut numbers = Vec::new();
    let mut partly = at_the_other(&second, &work, 100).await;
    work.succeed().await;
    for reader in [&mut here, &mut there] {
        let chunks = reader.rest().await;
        assert!(text(&chunks, 0).as_bytes() == work.said);
        numbers.push(chunks.last().unwrap()["seq"].clone());
    }
    assert_eq!(numbers[0], numbers[1]);
    let rest = String::from_utf8_lossy(&work.said[100..]).into_owned();
    let told = partly.rest().await;
    let told: String = told
        .iter()
        .map(|chunk| chunk["content"].as_str().unwrap())
        .collect();
    assert_eq!(told, rest);
}
