//! Check 48: what GitHub is told.

use serde_json::{Value, json};
use slipway_coordinator::Config;
use slipway_testkit::github::TakenStatus;
use slipway_testkit::{Backend, GithubMock, on_both_back_ends, wait_for, wait_until};

use crate::client::{LIMIT, REPOSITORY, SHA, Yard};
use crate::hands::Hands;

on_both_back_ends!(
    check_48_the_beginning_and_the_end_are_told_with_the_duration,
    check_48_a_failing_endpoint_fails_no_build_and_is_tried_again,
    a_failure_is_told_with_its_reason,
    what_nobody_takes_for_a_day_is_given_up,
    a_retry_is_told_anew,
    a_template_says_what_a_status_links_to,
    without_a_token_or_elsewhere_nobody_is_told,
);

mod postgres_two_coordinators {
    use super::*;

    #[tokio::test]
    async fn two_coordinators_tell_everything_once() {
        let (github, yard) = yard(Backend::Postgres, |_| {}).await;
        let second = yard.farm.second_coordinator().await;
        let hands = Hands::of(&yard.farm).await;
        yard.build().await;
        hands.claim().await.succeed().await;
        let told = async || {
            // Both look at the same moment, as their duties do anyway.
            let (one, other) = tokio::join!(
                yard.farm.farm().report_statuses(),
                second.farm.report_statuses()
            );
            one.unwrap();
            other.unwrap();
            github.statuses().len() >= 2
        };
        wait_until(LIMIT, "both statuses", told).await;
        told().await;
        assert_eq!(states(&github), ["pending", "success"]);
        second.stop().await.unwrap();
    }
}

/// A farm that tells a GitHub, where [`REPOSITORY`] is.
async fn yard(backend: Backend, adjust: impl FnOnce(&mut Config)) -> (GithubMock, Yard) {
    let github = GithubMock::start();
    github.require_token("ghp_secret");
    let yard = Yard::with(backend, |config, files| {
        let token = files.join("token");
        std::fs::write(&token, "ghp_secret").unwrap();
        config.forges.github_api_url = github.url();
        config.forges.github_token_file = Some(token);
        config.public_url = Some("https://slipway.example/".to_owned());
        adjust(config);
    })
    .await;
    let url = format!("{}/Acme/Api.git", github.url());
    yard.change(json!({"repo_url": url})).await;
    (github, yard)
}

fn states(github: &GithubMock) -> Vec<String> {
    let statuses = github.statuses().into_iter();
    statuses.map(|status| status.state).collect()
}

/// Waits until so many statuses were taken, and gives the last one.
async fn nth(github: &GithubMock, count: usize) -> TakenStatus {
    wait_for(LIMIT, "a status", || async {
        let statuses = github.statuses();
        (statuses.len() >= count).then(|| statuses[count - 1].clone())
    })
    .await
}

async fn check_48_the_beginning_and_the_end_are_told_with_the_duration(backend: Backend) {
    let (github, yard) = yard(backend, |_| {}).await;
    let hands = Hands::of(&yard.farm).await;
    let build = yard.build().await;
    let work = hands.claim().await;
    let pending = nth(&github, 1).await;
    let link = format!(
        "https://slipway.example/builds/{}",
        build["id"].as_str().unwrap()
    );
    let expected = TakenStatus {
        repository: "Acme/Api".to_owned(),
        sha: SHA.to_owned(),
        state: "pending".to_owned(),
        context: "container/docker".to_owned(),
        description: "Image building.".to_owned(),
        target_url: Some(link.clone()),
    };
    assert_eq!(pending, expected);
    yard.farm.advance(60);
    work.succeed().await;
    let success = nth(&github, 2).await;
    assert_eq!(
        (success.state.as_str(), success.target_url),
        ("success", Some(link))
    );
    let said = &success.description;
    assert!(said.starts_with("Image built in 1 min "), "{said}");
}

async fn check_48_a_failing_endpoint_fails_no_build_and_is_tried_again(backend: Backend) {
    let (github, yard) = yard(backend, |_| {}).await;
    github.fail_next(&[500, 502]);
    let hands = Hands::of(&yard.farm).await;
    let build = yard.build().await;
    let work = hands.claim().await;
    wait_until(LIMIT, "the first refusal", || async {
        github.planned_failures() == 1
    })
    .await;
    work.succeed().await;
    assert_eq!(yard.show(&build).await["state"], "succeeded");
    // Not at once, but after a wait that grows.
    yard.farm.farm().report_statuses().await.unwrap();
    assert_eq!(github.planned_failures(), 1);
    let turn = |failures| {
        let (yard, github) = (&yard, &github);
        wait_until(LIMIT, "another try", move || async move {
            yard.farm.advance(1);
            github.planned_failures() == failures
        })
    };
    turn(2).await;
    wait_until(LIMIT, "the status", || async {
        yard.farm.advance(1);
        !github.statuses().is_empty()
    })
    .await;
    // By now the beginning is no news any more.
    assert_eq!(states(&github), ["success"]);
}

async fn a_failure_is_told_with_its_reason(backend: Backend) {
    let (github, yard) = yard(backend, |_| {}).await;
    let hands = Hands::of(&yard.farm).await;
    yard.build().await;
    hands.claim().await.fail().await;
    let failure = nth(&github, 2).await;
    assert_eq!(failure.state, "failure");
    assert_eq!(
        failure.description,
        "No image: a step of the Dockerfile failed."
    );
    // One that was called off before it began.
    let build = yard.build().await;
    let cancel = format!("/v1/builds/{}/cancel", build["id"].as_str().unwrap());
    yard.native(reqwest::Method::POST, &cancel, Value::Null)
        .await;
    let canceled = nth(&github, 3).await;
    assert_eq!(canceled.state, "failure");
    assert_eq!(canceled.description, "The build was canceled.");
}

async fn what_nobody_takes_for_a_day_is_given_up(backend: Backend) {
    let (github, yard) = yard(backend, |_| {}).await;
    let hands = Hands::of(&yard.farm).await;
    yard.build().await;
    github.fail_next(&[503; 3]);
    let work = hands.claim().await;
    wait_until(LIMIT, "the first refusal", || async {
        github.planned_failures() == 1
    })
    .await;
    work.succeed().await;
    yard.farm.advance(25 * 3600);
    wait_until(LIMIT, "the last refusal", || async {
        github.planned_failures() == 2
    })
    .await;
    // Nothing is due any more, however long one waits.
    for _ in 0..3 {
        yard.farm.advance(3600);
        yard.farm.farm().report_statuses().await.unwrap();
    }
    assert_eq!(github.planned_failures(), 2);
    assert!(github.statuses().is_empty());
}

async fn a_retry_is_told_anew(backend: Backend) {
    let (github, yard) = yard(backend, |_| {}).await;
    let hands = Hands::of(&yard.farm).await;
    let build = yard.build().await;
    hands.claim().await.fail().await;
    nth(&github, 2).await;
    let retry = format!("/v1/builds/{}/retry", build["id"].as_str().unwrap());
    wait_until(LIMIT, "it is noted that the end was told", || async {
        yard.farm.farm().report_statuses().await.unwrap() == 0
    })
    .await;
    yard.native(reqwest::Method::POST, &retry, Value::Null)
        .await;
    nth(&github, 3).await;
    hands.claim().await.succeed().await;
    nth(&github, 4).await;
    assert_eq!(
        states(&github),
        ["pending", "failure", "pending", "success"]
    );
}

async fn a_template_says_what_a_status_links_to(backend: Backend) {
    let template = "https://ci.example/{repository}/{branch}?c={sha}&b={id}";
    let adjust = |config: &mut Config| config.forges.status_target_url = Some(template.to_owned());
    let (github, yard) = yard(backend, adjust).await;
    let hands = Hands::of(&yard.farm).await;
    let body = json!({"repository": REPOSITORY, "branch": "a/b&c", "sha": SHA});
    let build = yard.ask(body).await.is(201).json();
    hands.claim().await.succeed().await;
    let status = nth(&github, 1).await;
    let id = build["id"].as_str().unwrap();
    let expected = format!("https://ci.example/acme/api/a/b%26c?c={SHA}&b={id}");
    assert_eq!(status.target_url, Some(expected));
    nth(&github, 2).await;
}

async fn without_a_token_or_elsewhere_nobody_is_told(backend: Backend) {
    let (github, yard) = yard(backend, |_| {}).await;
    yard.change(json!({"repo_url": "https://gitlab.example/acme/api.git"}))
        .await;
    let hands = Hands::of(&yard.farm).await;
    yard.build().await;
    hands.claim().await.succeed().await;
    assert_eq!(yard.farm.farm().report_statuses().await.unwrap(), 0);
    assert!(github.statuses().is_empty());
}
