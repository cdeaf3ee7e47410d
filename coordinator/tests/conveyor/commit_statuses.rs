//! Commit statuses at GitHub.
//!
//! See `docs/protocols/conveyor.md#commit-statuses`.

use serde_json::{Value, json};
use slipway_coordinator::Config;
use slipway_testkit::github::TakenStatus;
use slipway_testkit::{Backend, GithubMock, on_both_back_ends, wait_for, wait_until};

use crate::fixture::{Fixture, LIMIT, REPOSITORY, SHA};
use crate::scripted_runner::ScriptedRunner;

on_both_back_ends!(
    pending_is_sent_at_the_start_and_success_with_the_duration_at_the_end,
    failing_endpoint_is_retried_with_backoff_and_fails_no_build,
    failure_is_sent_with_its_reason,
    undelivered_status_is_given_up_after_a_day,
    retry_sends_its_own_statuses,
    template_sets_the_link_of_a_status,
    project_on_another_host_gets_no_status,
);

mod postgres_two_coordinators {
    use super::*;

    #[tokio::test]
    async fn two_coordinators_send_each_status_once() {
        let (github, fixture) = start_farm(Backend::Postgres, |_| {}).await;
        let second = fixture.farm.second_coordinator().await;
        let runner = ScriptedRunner::register(&fixture.farm).await;
        fixture.create_build().await;
        runner.claim().await.succeed().await;
        let both_sent = async || {
            // Both coordinators look for unsent statuses at the same moment.
            let (one, other) = tokio::join!(
                fixture.farm.farm().report_statuses(),
                second.farm.report_statuses()
            );
            one.unwrap();
            other.unwrap();
            github.statuses().len() >= 2
        };
        wait_until(LIMIT, "both statuses", both_sent).await;
        both_sent().await;
        assert_eq!(states(&github), ["pending", "success"]);
        second.stop().await.unwrap();
    }
}

/// A farm that sends statuses to a fake GitHub, which hosts [`REPOSITORY`].
async fn start_farm(backend: Backend, adjust: impl FnOnce(&mut Config)) -> (GithubMock, Fixture) {
    let github = GithubMock::start();
    github.require_token("ghp_secret");
    let fixture = Fixture::with(backend, |config, files| {
        let token = files.join("token");
        std::fs::write(&token, "ghp_secret").unwrap();
        config.forges.github_api_url = github.url();
        config.forges.github_token_file = Some(token);
        config.public_url = Some("https://slipway.example/".to_owned());
        adjust(config);
    })
    .await;
    let url = format!("{}/Acme/Api.git", github.url());
    fixture.update_project(json!({"repo_url": url})).await;
    (github, fixture)
}

fn states(github: &GithubMock) -> Vec<String> {
    let statuses = github.statuses().into_iter();
    statuses.map(|status| status.state).collect()
}

/// Waits until GitHub has received `count` statuses, and returns the last of them.
async fn wait_for_status(github: &GithubMock, count: usize) -> TakenStatus {
    wait_for(LIMIT, "a status", || async {
        let statuses = github.statuses();
        (statuses.len() >= count).then(|| statuses[count - 1].clone())
    })
    .await
}

async fn pending_is_sent_at_the_start_and_success_with_the_duration_at_the_end(backend: Backend) {
    let (github, fixture) = start_farm(backend, |_| {}).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let build = fixture.create_build().await;
    let claim = runner.claim().await;
    let pending = wait_for_status(&github, 1).await;
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
    fixture.farm.advance(60);
    claim.succeed().await;
    let success = wait_for_status(&github, 2).await;
    assert_eq!(
        (success.state.as_str(), success.target_url),
        ("success", Some(link))
    );
    let description = &success.description;
    assert!(
        description.starts_with("Image built in 1 min "),
        "{description}"
    );
}

async fn failing_endpoint_is_retried_with_backoff_and_fails_no_build(backend: Backend) {
    let (github, fixture) = start_farm(backend, |_| {}).await;
    github.fail_next(&[500, 502]);
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let build = fixture.create_build().await;
    let claim = runner.claim().await;
    wait_until(LIMIT, "the first failure", || async {
        github.planned_failures() == 1
    })
    .await;
    claim.succeed().await;
    assert_eq!(fixture.read_build(&build).await["state"], "succeeded");
    // The status is not sent again at once, but after a backoff.
    fixture.farm.farm().report_statuses().await.unwrap();
    assert_eq!(github.planned_failures(), 1);
    let wait_for_failures = |failures| {
        let (fixture, github) = (&fixture, &github);
        wait_until(LIMIT, "another attempt", move || async move {
            fixture.farm.advance(1);
            github.planned_failures() == failures
        })
    };
    wait_for_failures(2).await;
    wait_until(LIMIT, "the status", || async {
        fixture.farm.advance(1);
        !github.statuses().is_empty()
    })
    .await;
    // The build has finished meanwhile, so `pending` is not sent any more.
    assert_eq!(states(&github), ["success"]);
}

async fn failure_is_sent_with_its_reason(backend: Backend) {
    let (github, fixture) = start_farm(backend, |_| {}).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    fixture.create_build().await;
    runner.claim().await.fail().await;
    let failure = wait_for_status(&github, 2).await;
    assert_eq!(failure.state, "failure");
    assert_eq!(
        failure.description,
        "No image: a step of the Dockerfile failed."
    );
    // A build that was canceled before it started.
    let build = fixture.create_build().await;
    let cancel = format!("/v1/builds/{}/cancel", build["id"].as_str().unwrap());
    fixture
        .native_api(reqwest::Method::POST, &cancel, Value::Null)
        .await;
    let canceled = wait_for_status(&github, 3).await;
    assert_eq!(canceled.state, "failure");
    assert_eq!(canceled.description, "The build was canceled.");
}

async fn undelivered_status_is_given_up_after_a_day(backend: Backend) {
    let (github, fixture) = start_farm(backend, |_| {}).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    fixture.create_build().await;
    github.fail_next(&[503; 10]);
    let claim = runner.claim().await;
    wait_until(LIMIT, "the first failure", || async {
        github.planned_failures() == 1
    })
    .await;
    claim.succeed().await;
    // The periodic task may send the final status before the clock moves, which is one failure more.
    fixture.farm.advance(25 * 3600);
    fixture.farm.farm().report_statuses().await.unwrap();
    wait_until(LIMIT, "the attempt after a day", || async {
        github.planned_failures() >= 2
    })
    .await;
    fixture.farm.farm().report_statuses().await.unwrap();
    let failures = github.planned_failures();
    // No further attempt follows.
    for _ in 0..3 {
        fixture.farm.advance(3600);
        fixture.farm.farm().report_statuses().await.unwrap();
    }
    assert_eq!(github.planned_failures(), failures);
    assert!(github.statuses().is_empty());
}

async fn retry_sends_its_own_statuses(backend: Backend) {
    let (github, fixture) = start_farm(backend, |_| {}).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let build = fixture.create_build().await;
    runner.claim().await.fail().await;
    wait_for_status(&github, 2).await;
    let retry = format!("/v1/builds/{}/retry", build["id"].as_str().unwrap());
    wait_until(LIMIT, "the final status is recorded as sent", || async {
        fixture.farm.farm().report_statuses().await.unwrap() == 0
    })
    .await;
    fixture
        .native_api(reqwest::Method::POST, &retry, Value::Null)
        .await;
    wait_for_status(&github, 3).await;
    runner.claim().await.succeed().await;
    wait_for_status(&github, 4).await;
    assert_eq!(
        states(&github),
        ["pending", "failure", "pending", "success"]
    );
}

async fn template_sets_the_link_of_a_status(backend: Backend) {
    let template = "https://ci.example/{repository}/{branch}?c={sha}&b={id}";
    let adjust = |config: &mut Config| config.forges.status_target_url = Some(template.to_owned());
    let (github, fixture) = start_farm(backend, adjust).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let body = json!({"repository": REPOSITORY, "branch": "a/b&c", "sha": SHA});
    let build = fixture.create(body).await.is(201).json();
    runner.claim().await.succeed().await;
    let status = wait_for_status(&github, 1).await;
    let id = build["id"].as_str().unwrap();
    let expected = format!("https://ci.example/acme/api/a/b%26c?c={SHA}&b={id}");
    assert_eq!(status.target_url, Some(expected));
    wait_for_status(&github, 2).await;
}

async fn project_on_another_host_gets_no_status(backend: Backend) {
    let (github, fixture) = start_farm(backend, |_| {}).await;
    fixture
        .update_project(json!({"repo_url": "https://gitlab.example/acme/api.git"}))
        .await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    fixture.create_build().await;
    runner.claim().await.succeed().await;
    assert_eq!(fixture.farm.farm().report_statuses().await.unwrap(), 0);
    assert!(github.statuses().is_empty());
}
