//! Tokens that are derived and not stored: they belong to one row, and can be reset.

use bytes::Bytes;
use chrono::TimeDelta;
use serde_json::json;
use slipway_domain::{AccessToken, RegistrationToken, Role, TriggerToken};
use slipway_farm::{ClaimedJob, FarmError, FileKind, ProjectKey, RunnerRequest};

use crate::support::Api;

/// A farm with one project, a trigger of it, and its first job, claimed.
struct Started {
    api: Api,
    job: ClaimedJob,
    trigger: String,
    trigger_id: i64,
}

async fn start() -> Started {
    let api = Api::start().await;
    api.project().await;
    api.build().await;
    let runner = api.runner().await;
    let job = api.claim(&runner).await;
    let path = "/v1/projects/acme/api/triggers";
    let created = api.post(&api.root, path, json!({"description": "d"})).await;
    let trigger = created.expect(201).json();
    Started {
        job,
        trigger: trigger["token"].as_str().unwrap().to_owned(),
        trigger_id: trigger["id"].as_i64().unwrap(),
        api,
    }
}

/// A farm whose database was lost, or restored from a backup, has the same seal key and gives the
/// same ids to new rows.
#[actix_web::test]
async fn rows_that_get_the_same_ids_again_do_not_get_the_same_tokens() {
    let (before, after) = (start().await, start().await);
    let (old, farm) = (&before.job, &after.api.farm);
    assert_eq!(old.job.id, after.job.job.id);
    assert_eq!(before.trigger_id, after.trigger_id);

    let access = farm.job_access(old.job.id, &old.token).await;
    assert!(matches!(access, Err(FarmError::Forbidden(_))), "{access:?}");
    let access = farm.own_job_access(old.job.id, &old.token).await;
    assert!(matches!(access, Err(FarmError::BadToken)), "{access:?}");
    let archive = farm.archive_for_need(old.job.id, &old.token).await;
    assert!(matches!(archive, Err(FarmError::BadToken)), "{archive:?}");
    assert_ne!(old.mark.line("", ""), after.job.mark.line("", ""));

    let project = || ProjectKey::Id(old.project.id);
    let trigger = TriggerToken::presented(&before.trigger);
    let triggering = farm.triggering(project(), &trigger).await;
    assert!(matches!(triggering, Err(FarmError::NotFound("trigger"))));
    let trigger = TriggerToken::presented(&after.trigger);
    assert!(farm.triggering(project(), &trigger).await.is_ok());

    let runners = before.api.farm.project_runners_token(&old.project);
    let registered = farm.register_runner(&runners, request()).await;
    assert!(matches!(registered, Err(FarmError::BadToken)));
    let runners = farm.project_runners_token(&after.job.project);
    assert!(farm.register_runner(&runners, request()).await.is_ok());
    assert!(farm.job_access(old.job.id, &after.job.token).await.is_ok());
}

/// A runners token that names a project which does not exist is an unknown token.
#[actix_web::test]
async fn runners_token_of_a_missing_project_is_refused() {
    let api = Api::start().await;
    for text in ["slreg-99-00", "slreg-1-", "slreg-x"] {
        let token = RegistrationToken::presented(text);
        let registered = api.farm.register_runner(&token, request()).await;
        assert!(matches!(registered, Err(FarmError::BadToken)), "{text}");
    }
}

/// The runners token of `acme/api`.
async fn runners_token(api: &Api) -> RegistrationToken {
    let root = AccessToken::presented(&api.root);
    let actor = api.farm.authenticate(&root).await.unwrap();
    let (ns, name) = ("acme".parse().unwrap(), "api".parse().unwrap());
    let access = api.farm.project(&actor, &ns, &name, Role::Owner).await;
    api.farm.project_runners_token(access.unwrap().project())
}

async fn registers(api: &Api, token: &RegistrationToken) -> bool {
    match api.farm.register_runner(token, request()).await {
        Ok(_) => true,
        Err(FarmError::BadToken) => false,
        Err(other) => panic!("{other}"),
    }
}

#[actix_web::test]
async fn reset_ends_the_runners_token_and_returns_the_next_one() {
    let api = Api::start().await;
    api.project().await;
    let before = runners_token(&api).await;
    assert!(registers(&api, &before).await);
    let path = "/v1/projects/acme/api/runners-token/reset";
    let reset = api.post(&api.root, path, json!({})).await.expect(200);
    let after = RegistrationToken::presented(reset.json()["token"].as_str().unwrap());
    assert!(!registers(&api, &before).await);
    assert!(registers(&api, &after).await);
    assert_eq!(runners_token(&api).await.hash(), after.hash());
    let developer = api.user("dora", &["admin"]).await;
    api.member("projects/acme/api", "dora", "developer").await;
    api.post(&developer, path, json!({})).await.expect(403);
    assert!(registers(&api, &after).await);
}

/// How somebody stops maintaining `acme/api`, or does not: where it is a member, the change, and
/// whether the runners token is reset.
#[actix_web::test]
async fn runners_token_is_reset_when_a_maintainer_leaves() {
    let (project, namespace) = ("projects/acme/api", "namespaces/acme");
    let cases = [
        (
            vec![(project, "maintainer")],
            (project, Some("developer")),
            true,
        ),
        (vec![(project, "owner")], (project, None), true),
        (vec![(namespace, "maintainer")], (namespace, None), true),
        (
            vec![(namespace, "owner")],
            (namespace, Some("reader")),
            true,
        ),
        (
            vec![(project, "owner")],
            (project, Some("maintainer")),
            false,
        ),
        (vec![(project, "developer")], (project, None), false),
        (vec![(namespace, "developer")], (namespace, None), false),
        (
            vec![(project, "developer")],
            (project, Some("owner")),
            false,
        ),
        // The role in the namespace stays.
        (
            vec![(project, "owner"), (namespace, "maintainer")],
            (project, None),
            false,
        ),
    ];
    let api = Api::start().await;
    api.project().await;
    for (number, (roles, (of, change), resets)) in cases.into_iter().enumerate() {
        let name = format!("user-{number}");
        api.user(&name, &["admin"]).await;
        for (of, role) in &roles {
            api.member(of, &name, role).await;
        }
        let before = runners_token(&api).await;
        match change {
            Some(role) => api.member(of, &name, role).await,
            None => {
                let path = format!("/v1/{of}/members/{name}");
                api.delete(&api.root, &path).await.expect(204);
            }
        }
        let is_reset = !registers(&api, &before).await;
        assert_eq!(is_reset, resets, "{roles:?} {of} {change:?}");
    }
}

#[actix_web::test]
async fn blocking_a_maintainer_or_administrator_ends_its_runner_tokens() {
    let api = Api::start().await;
    api.project().await;
    let ann = api.user("ann", &["admin"]).await;
    api.member("projects/acme/api", "ann", "maintainer").await;
    let path = "/v1/projects/acme/api/registration-tokens";
    let body = json!({"description": "d", "single_use": false});
    let created = api.post(&ann, path, body).await.expect(201).json();
    let theirs = RegistrationToken::presented(created["token"].as_str().unwrap());
    assert!(registers(&api, &theirs).await);
    let before = runners_token(&api).await;
    let blocked = json!({"active": false});
    api.patch(&api.root, "/v1/users/ann", blocked)
        .await
        .expect(200);
    assert!(!registers(&api, &theirs).await);
    assert!(!registers(&api, &before).await);

    let body = json!({"name": "max", "admin": true});
    api.post(&api.root, "/v1/users", body).await.expect(201);
    let before = runners_token(&api).await;
    let demoted = json!({"admin": false});
    api.patch(&api.root, "/v1/users/max", demoted)
        .await
        .expect(200);
    assert!(!registers(&api, &before).await);
}

/// Uploads an archive for a running job.
async fn upload(started: &Started) -> Result<(), FarmError> {
    let (farm, job) = (&started.api.farm, &started.job);
    let access = farm.running_job_access(job.job.id, &job.token).await?;
    let content = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from("zip"))]);
    let received = farm.receive_archive(&access, content).await?;
    let name = "a.zip".to_owned();
    let put = farm.put_file(&access, received, FileKind::Archive, name, None);
    put.await.map(drop)
}

async fn append(started: &Started, start: u64) -> Result<(), FarmError> {
    let (farm, job) = (&started.api.farm, &started.job);
    let access = farm.job_access(job.job.id, &job.token).await?;
    let appended = farm.append_trace(&access, start, Bytes::from("more\n"));
    appended.await.map(drop)
}

#[actix_web::test]
async fn token_of_a_finished_job_reads_its_archive_for_an_hour_and_changes_nothing() {
    let started = start().await;
    let (api, job) = (&started.api, &started.job);
    upload(&started).await.unwrap();
    append(&started, 0).await.unwrap();
    let end = slipway_farm::Report {
        ended: Some(slipway_farm::Ended {
            result: slipway_domain::ReportedResult::Succeeded,
            message: None,
            trace: None,
            image: None,
            exit_code: None,
            build_steps: Vec::new(),
        }),
        ..slipway_farm::Report::default()
    };
    let access = api.farm.own_job_access(job.job.id, &job.token).await;
    api.farm.report_own(&access.unwrap(), end).await.unwrap();

    let appended = append(&started, 5).await;
    assert!(
        matches!(appended, Err(FarmError::Forbidden(_))),
        "{appended:?}"
    );
    let uploaded = upload(&started).await;
    assert!(
        matches!(uploaded, Err(FarmError::Conflict(_))),
        "{uploaded:?}"
    );
    let access = api.farm.active_job_access(job.job.id, &job.token).await;
    assert!(matches!(access, Err(FarmError::Refused(_))));

    let by_token = async || {
        let first = api.farm.archive_by_token(job.job.id, &job.token).await;
        let second = api.farm.archive_for_need(job.job.id, &job.token).await;
        assert_eq!(first.is_ok(), second.is_ok());
        first.is_ok()
    };
    assert!(by_token().await);
    api.clock.advance(TimeDelta::minutes(59));
    assert!(by_token().await);
    api.clock.advance(TimeDelta::minutes(1));
    assert!(!by_token().await);
}

/// The runner of a canceled job learns of it from the answer to a chunk of the trace.
#[actix_web::test]
async fn trace_of_a_canceled_job_grows_for_five_minutes() {
    let started = start().await;
    append(&started, 0).await.unwrap();
    let path = format!("/v1/jobs/{}/cancel", started.job.job.id);
    started
        .api
        .call_with(
            "POST",
            &path,
            &[("private-token", started.api.root.as_str())],
            None,
        )
        .await
        .expect(200);
    append(&started, 5).await.unwrap();
    started.api.clock.advance(TimeDelta::minutes(5));
    let appended = append(&started, 10).await;
    assert!(
        matches!(appended, Err(FarmError::Forbidden(_))),
        "{appended:?}"
    );
}

fn request() -> RunnerRequest {
    RunnerRequest {
        run_untagged: true,
        ..RunnerRequest::default()
    }
}
