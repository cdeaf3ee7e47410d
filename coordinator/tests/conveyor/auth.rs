//! Credentials, scopes, roles and visibility.
//!
//! See `docs/protocols/conveyor.md#authentication`.

use reqwest::Method;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{Fixture, REPOSITORY, SHA, commit_on_main};
use crate::scripted_runner::ScriptedRunner;

on_both_back_ends!(
    missing_and_invalid_credentials_return_401,
    token_is_accepted_as_basic_password_with_any_user_name,
    token_is_accepted_as_bearer,
    create_requires_write_scope_and_the_role_developer,
    invisible_builds_artifacts_and_logs_return_404,
    logs_of_public_builds_need_no_credential,
);

async fn missing_and_invalid_credentials_return_401(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let build = fixture.create_build().await;
    let id = build["id"].as_str().unwrap();
    let mut paths = vec!["/builds/notauuid".to_owned(), "/logs/notauuid".to_owned()];
    for kind in ["builds", "artifacts", "logs"] {
        paths.push(format!("/{kind}/{id}"));
        paths.push(format!("/{kind}/{REPOSITORY}@{SHA}"));
        paths.push(format!("/{kind}/acme/gone@{SHA}"));
    }
    for path in &paths {
        let bare = || fixture.request(Method::GET, path);
        let wrong = [
            bare(),
            bare().basic_auth("root", Some("slpat-invalid")),
            bare().basic_auth("root", None::<&str>),
            bare().bearer_auth("slpat-invalid"),
            bare().header("Authorization", "Digest x"),
        ];
        for request in wrong {
            let response = Fixture::send(request)
                .await
                .fails_with_id(401, "unauthorized");
            let realm = response.header("www-authenticate");
            assert_eq!(realm, Some("Basic realm=\"slipway\""), "{path}");
        }
    }
    // The credential is checked before the body is parsed.
    let request = fixture.request(Method::POST, "/builds").body("[");
    Fixture::send(request)
        .await
        .fails_with_id(401, "unauthorized");
}

/// Creates a build; returns its path and the token of a user who may read it.
async fn build_and_reader_token(fixture: &Fixture) -> (String, String) {
    let build = fixture.create_build().await;
    let token = fixture.create_user("ada", "read", Some("reader")).await;
    (format!("/builds/{}", build["id"].as_str().unwrap()), token)
}

async fn token_is_accepted_as_basic_password_with_any_user_name(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let (path, token) = build_and_reader_token(&fixture).await;
    for user in ["ada", "x", ""] {
        let request = fixture.request(Method::GET, &path);
        Fixture::send(request.basic_auth(user, Some(&token)))
            .await
            .is(200);
    }
}

async fn token_is_accepted_as_bearer(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let (path, token) = build_and_reader_token(&fixture).await;
    let request = fixture.request(Method::GET, &path).bearer_auth(&token);
    Fixture::send(request).await.is(200);
}

async fn create_requires_write_scope_and_the_role_developer(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let read_only = fixture.create_user("ada", "read", Some("developer")).await;
    let reader = fixture.create_user("bob", "write", Some("reader")).await;
    let outsider = fixture.create_user("eve", "admin", None).await;
    let create = async |token: &str| {
        let request = fixture.request(Method::POST, "/builds").bearer_auth(token);
        Fixture::send(request.body(commit_on_main(SHA).to_string())).await
    };
    create(&read_only).await.fails_with_id(403, "forbidden");
    create(&reader).await.fails_with_id(403, "forbidden");
    create(&outsider).await.fails_with_not_found();
    assert!(fixture.builds(REPOSITORY).await.is_empty());
    let writing = fixture
        .create_user("cleo", "write", Some("developer"))
        .await;
    create(&writing).await.is(201);
}

async fn invisible_builds_artifacts_and_logs_return_404(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let build = fixture.create_build().await;
    runner.claim().await.succeed().await;
    let image = fixture
        .get(&format!("/artifacts/{REPOSITORY}@{SHA}"))
        .await
        .json();
    // A guest may see the project but not its builds.
    let guest = fixture.create_user("gus", "admin", Some("guest")).await;
    let outsider = fixture.create_user("eve", "admin", None).await;
    let (id, image) = (build["id"].as_str().unwrap(), image["id"].as_str().unwrap());
    for token in [&guest, &outsider] {
        for path in [
            format!("/builds/{id}"),
            format!("/builds/{REPOSITORY}@{SHA}"),
            format!("/artifacts/{id}"),
            format!("/artifacts/{image}"),
            format!("/artifacts/{REPOSITORY}@{SHA}"),
            format!("/logs/{id}"),
            format!("/logs/{REPOSITORY}@{SHA}"),
        ] {
            let request = fixture.request(Method::GET, &path).bearer_auth(token);
            Fixture::send(request).await.fails_with_not_found();
        }
    }
}

async fn logs_of_public_builds_need_no_credential(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let build = fixture.create_build().await;
    let mut claim = runner.claim().await;
    claim.append_trace("hello\n").await;
    claim.succeed().await;
    let access = fixture.farm.project(REPOSITORY).await;
    let change = slipway_farm::ProjectUpdate {
        visibility: Some(slipway_domain::Visibility::Public),
        ..Default::default()
    };
    fixture
        .farm
        .farm()
        .update_project(&access, change)
        .await
        .unwrap();
    let (by_id, by_commit) = (
        format!("/logs/{}", build["id"].as_str().unwrap()),
        format!("/logs/{REPOSITORY}@{SHA}"),
    );
    // The project is public, but its builds are not yet.
    Fixture::send(fixture.request(Method::GET, &by_id))
        .await
        .fails_with_id(401, "unauthorized");
    let change = slipway_farm::ProjectUpdate {
        public_builds: Some(true),
        ..Default::default()
    };
    fixture
        .farm
        .farm()
        .update_project(&access, change)
        .await
        .unwrap();
    for path in [&by_id, &by_commit] {
        let response = Fixture::send(fixture.request(Method::GET, path))
            .await
            .is(200);
        assert_eq!(response.text(), "hello\n");
    }
    let wrong = fixture
        .request(Method::GET, &by_id)
        .bearer_auth("slpat-invalid");
    Fixture::send(wrong)
        .await
        .fails_with_id(401, "unauthorized");
    let builds = by_id.replace("logs", "builds");
    Fixture::send(fixture.request(Method::GET, &builds))
        .await
        .fails_with_id(401, "unauthorized");
}
