//! Checks 1 to 21: who comes in, what is told to those who do not, and the shape of URLs.

use reqwest::Method;
use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::support::{L, URL, World, send};

on_both_back_ends!(
    check_01_nobody_is_401,
    check_02_a_token_that_expired_is_nobody,
    check_03_a_login_is_no_token,
    check_04_the_scheme_may_be_in_lower_case,
    check_05_a_token_without_repositories_is_403,
    check_06_a_reader_lists_no_builds,
    check_07_everybody_sees_a_public_repository,
    check_08_nobody_cannot_build,
    check_09_a_reader_cannot_build,
    check_10_a_writer_cannot_cancel,
    check_11_a_foreign_namespace_is_403_whatever_is_in_it,
    check_12_an_unknown_repository_of_ones_own_has_no_builds,
    check_13_and_takes_none,
    check_14_a_problem_has_a_page,
    check_15_an_unknown_kind_has_none,
    check_16_a_missing_slash_is_redirected,
    check_17_a_slash_too_many_is_404,
    check_18_a_wrong_method_is_405,
    check_19_logs_take_no_post,
    check_20_a_name_may_have_slashes,
    check_21_one_segment_is_no_repository,
    every_answer_may_be_read_by_other_origins,
    reading_without_a_body_is_the_same,
    the_runner_protocol_keeps_its_paths,
);

const UNAUTHORIZED: &str = "Unauthorized";

async fn check_01_nobody_is_401(backend: Backend) {
    let world = World::start(backend).await;
    let body = world.nobody.get(L).await.problem(401, "invalid_token");
    assert_eq!(body["detail"], "Requires authentication");
    let unknown = "/api/v1/repository/ada/nothing/build/";
    world
        .nobody
        .get(unknown)
        .await
        .problem(401, "invalid_token");
}

async fn check_02_a_token_that_expired_is_nobody(backend: Backend) {
    let world = World::start(backend).await;
    world.x.get(L).await.problem(401, "invalid_token");
}

async fn check_03_a_login_is_no_token(backend: Backend) {
    let world = World::start(backend).await;
    let login = world.nobody.bare(Method::GET, L);
    let login = login.basic_auth("$oauthtoken", Some(&world.r.token));
    send(login).await.problem(401, "invalid_token");
    let in_query = format!("{L}?access_token={}", world.r.token);
    world
        .nobody
        .get(&in_query)
        .await
        .problem(401, "invalid_token");
}

async fn check_04_the_scheme_may_be_in_lower_case(backend: Backend) {
    let world = World::start(backend).await;
    let request = world.nobody.bare(Method::GET, L);
    let lower = format!("bearer {}", world.r.token);
    send(request.header("authorization", lower)).await.is(200);
}

async fn check_05_a_token_without_repositories_is_403(backend: Backend) {
    let world = World::start(backend).await;
    let answer = world.n.get(L).await;
    answer.details(403, "insufficient_scope", UNAUTHORIZED);
}

async fn check_06_a_reader_lists_no_builds(backend: Backend) {
    let world = World::start(backend).await;
    let answer = world.r.get(L).await.is(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json(), json!({ "builds": [] }));
}

async fn check_07_everybody_sees_a_public_repository(backend: Backend) {
    let world = World::start(backend).await;
    let list = "/api/v1/repository/ada/pub/build/";
    for client in [&world.nobody, &world.x, &world.n, &world.r, &world.bob] {
        client.get(list).await.is(200);
    }
    let garbage = world.nobody.bare(Method::GET, list);
    send(garbage.bearer_auth("garbage")).await.is(200);
}

/// In the mode that is not offered it is 403.
async fn check_08_nobody_cannot_build(backend: Backend) {
    let world = World::start(backend).await;
    let body = json!({ "archive_url": URL });
    for list in [L, "/api/v1/repository/ada/pub/build/"] {
        let answer = world.nobody.post(list, &body).await;
        answer.problem(401, "invalid_token");
    }
}

async fn check_09_a_reader_cannot_build(backend: Backend) {
    let world = World::start(backend).await;
    let answer = world.r.post(L, &json!({ "archive_url": URL })).await;
    answer.details(403, "insufficient_scope", UNAUTHORIZED);
    // Who may not is told so before the body is looked at.
    let answer = world.r.post(L, &json!({})).await;
    answer.problem(403, "insufficient_scope");
}

async fn check_10_a_writer_cannot_cancel(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.build().await;
    let answer = world.w.delete(&format!("{L}{id}")).await;
    answer.problem(403, "insufficient_scope");
    assert_eq!(world.phase(&id).await, "waiting");
}

async fn check_11_a_foreign_namespace_is_403_whatever_is_in_it(backend: Backend) {
    let world = World::start(backend).await;
    for path in ["bob/x", "bob/nothing", "nobody/nothing", "no%20name/x"] {
        let list = format!("/api/v1/repository/{path}/build/");
        let answer = world.a.get(&list).await;
        answer.details(403, "insufficient_scope", UNAUTHORIZED);
        let answer = world.a.post(&list, &json!({ "archive_url": URL })).await;
        answer.details(403, "insufficient_scope", UNAUTHORIZED);
        let answer = world.a.get(&format!("{list}some-build/logs")).await;
        answer.problem(403, "insufficient_scope");
    }
}

async fn check_12_an_unknown_repository_of_ones_own_has_no_builds(backend: Backend) {
    let world = World::start(backend).await;
    let list = "/api/v1/repository/ada/nothing/build/";
    let answer = world.r.get(list).await.is(200);
    assert_eq!(answer.json(), json!({ "builds": [] }));
    let one = world.r.get(&format!("{list}some-build")).await;
    one.problem(404, "not_found");
}

async fn check_13_and_takes_none(backend: Backend) {
    let world = World::start(backend).await;
    let list = "/api/v1/repository/ada/nothing/build/";
    let answer = world.w.post(list, &json!({ "archive_url": URL })).await;
    answer.details(404, "not_found", "Not Found");
    // What is wrong with the body is told first.
    let answer = world.w.post(list, &json!({})).await;
    answer.problem(400, "invalid_request");
    let answer = world.r.post(list, &json!({ "archive_url": URL })).await;
    answer.problem(403, "insufficient_scope");
}

async fn check_14_a_problem_has_a_page(backend: Backend) {
    let world = World::start(backend).await;
    let invalid = world.w.post(L, &json!({})).await.is(400);
    let problems = [
        world.nobody.get(L).await,
        world.n.get(L).await,
        world.r.get(&format!("{L}nothing")).await,
        invalid,
    ];
    for answer in problems {
        let body = answer.json();
        let page = world.nobody.get(body["type"].as_str().unwrap()).await;
        let page = page.is(200).json();
        assert_eq!(page["title"], body["title"]);
        assert_eq!(page["type"], body["type"]);
        assert!(page["description"].is_string());
    }
}

async fn check_15_an_unknown_kind_has_none(backend: Backend) {
    let world = World::start(backend).await;
    let answer = world.nobody.get("/api/v1/error/nope").await;
    answer.problem(404, "not_found");
}

async fn check_16_a_missing_slash_is_redirected(backend: Backend) {
    let world = World::start(backend).await;
    let without = L.trim_end_matches('/');
    let target = world.farm.url(L);
    let answer = world.r.get(without).await.is(308);
    assert_eq!(answer.header("location"), Some(target.as_str()));
    let answer = world.w.post(without, &json!({ "archive_url": URL })).await;
    assert_eq!(answer.is(308).header("location"), Some(target.as_str()));
    let answer = world.r.get(&format!("{without}?limit=2")).await.is(308);
    let with_query = format!("{target}?limit=2");
    assert_eq!(answer.header("location"), Some(with_query.as_str()));
    let answer = world.n.post("/api/v1/filedrop", &json!({})).await.is(308);
    let target = world.farm.url("/api/v1/filedrop/");
    assert_eq!(answer.header("location"), Some(target.as_str()));
}

async fn check_17_a_slash_too_many_is_404(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.build().await;
    for path in ["/", "/status/", "/logs/"] {
        let answer = world.a.get(&format!("{L}{id}{path}")).await;
        answer.problem(404, "not_found");
    }
}

async fn check_18_a_wrong_method_is_405(backend: Backend) {
    let world = World::start(backend).await;
    for (method, path) in [
        (Method::PUT, L.to_owned()),
        (Method::PATCH, L.to_owned()),
        (Method::POST, format!("{L}some-build")),
        (Method::DELETE, format!("{L}some-build/status")),
        (Method::PUT, "/api/v1/filedrop/".to_owned()),
        (Method::POST, "/api/v1/error/not_found".to_owned()),
    ] {
        let answer = send(world.a.request(method, &path)).await;
        assert!(answer.message(405).is_string(), "{path}");
    }
}

async fn check_19_logs_take_no_post(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.build().await;
    let answer = world.a.post(&format!("{L}{id}/logs"), &json!({})).await;
    answer.message(405);
}

async fn check_20_a_name_may_have_slashes(backend: Backend) {
    let world = World::start(backend).await;
    let list = "/api/v1/repository/ada/team/app/build/";
    let answer = world.r.get(list).await.is(200);
    assert_eq!(answer.json(), json!({ "builds": [] }));
    let foreign = "/api/v1/repository/bob/team/app/build/";
    world
        .r
        .get(foreign)
        .await
        .problem(403, "insufficient_scope");
}

async fn check_21_one_segment_is_no_repository(backend: Backend) {
    let world = World::start(backend).await;
    let list = "/api/v1/repository/app/build/";
    world.r.get(list).await.problem(404, "not_found");
}

async fn every_answer_may_be_read_by_other_origins(backend: Backend) {
    let world = World::start(backend).await;
    // That there is an origin is looked at wherever the checks send something.
    for path in [L, "/api/v1/filedrop/", "/api/v1/error/not_found"] {
        let answer = send(world.nobody.bare(Method::OPTIONS, path)).await.is(200);
        assert_eq!(
            answer.header("access-control-allow-methods"),
            Some("DELETE, GET, HEAD, OPTIONS, POST, PUT")
        );
        assert_eq!(answer.header("access-control-max-age"), Some("21600"));
        assert_eq!(
            answer.header("access-control-allow-headers"),
            Some("AUTHORIZATION, CONTENT-TYPE, X-REQUESTED-WITH")
        );
    }
}

async fn reading_without_a_body_is_the_same(backend: Backend) {
    let world = World::start(backend).await;
    let answer = send(world.r.request(Method::HEAD, L)).await.is(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.body.is_empty());
    send(world.nobody.bare(Method::HEAD, L)).await.is(401);
    let id = world.build().await;
    let logs = format!("{L}{id}/logs");
    for path in [format!("{L}{id}"), format!("{L}{id}/status"), logs] {
        let answer = send(world.r.request(Method::HEAD, &path)).await.is(200);
        assert!(answer.body.is_empty(), "{path}");
    }
}

async fn the_runner_protocol_keeps_its_paths(backend: Backend) {
    let world = World::start(backend).await;
    let body = json!({"token": "none"});
    for path in [
        "/api/v1/builds/register.json",
        "/api/v1/runners/register.json",
    ] {
        let request = world.farm.http.post(world.farm.url(path)).json(&body);
        assert_eq!(request.send().await.unwrap().status(), 403, "{path}");
    }
}
