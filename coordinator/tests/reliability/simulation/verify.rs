//! Compares what the farm has at the end with what was acknowledged.

use slipway_history::{Action, State, check};

use super::network::Network;
use super::workers::{PERSON, Person, Sent, read_build};
use crate::client::{Reply, Request};
use crate::left_overs::nothing_is_left_over;

pub(super) async fn verify(network: &mut Network, person: &Person, sent: Vec<Sent>) {
    for build in &person.builds {
        let shown = read_build(network, build).await;
        let state = shown["state"].as_str().unwrap();
        assert!(!["pending", "running"].contains(&state), "{shown:#}");
    }
    for sent in &sent {
        let from = network.history.now();
        let job = get(network, &format!("/v1/jobs/{}", sent.job)).await.json();
        let state = State::from_name(job["state"].as_str().unwrap()).unwrap();
        let retries = job["retries"].as_i64();
        let read = Action::Read { state, retries };
        network.history.record(PERSON, sent.job, from, read);
        trace_is_stored(network, sent).await;
        file_is_stored(network, sent).await;
    }
    let violations = check(&network.history.events());
    assert!(violations.is_empty(), "{violations:#?}");
    nothing_is_left_over(&mut network.farm).await;
}

async fn get(network: &mut Network, path: &str) -> Reply {
    let request = Request::get(&network.farm, path);
    let reply = network.send(PERSON, &request).await.unwrap();
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply
}

async fn trace_is_stored(network: &mut Network, sent: &Sent) {
    let job = sent.job;
    let stored = get(network, &format!("/v1/jobs/{job}/trace")).await.body;
    // A request whose answer was lost may have been carried out.
    assert!(sent.trace.starts_with(&stored), "the trace of job {job}");
    let least = match sent.result {
        Some(_) => sent.trace.len(),
        None => sent.acknowledged,
    };
    assert!(
        stored.len() >= least,
        "{} of {least} bytes of job {job}",
        stored.len()
    );
}

async fn file_is_stored(network: &mut Network, sent: &Sent) {
    let job = sent.job;
    let list = get(network, &format!("/v1/jobs/{job}/artifacts"))
        .await
        .json();
    let items = list["items"].as_array().unwrap();
    assert!(items.len() <= 1, "{list:#}");
    assert!(!sent.is_uploaded || items.len() == 1, "job {job}: {list:#}");
    for item in items {
        let path = format!("/v1/artifacts/{}/content", item["id"]);
        assert_eq!(
            get(network, &path).await.body,
            sent.file,
            "the file of job {job}"
        );
    }
}
