//! Checks 71 to 79: what a build says, while it does and afterwards.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::client::Claim;
use crate::support::{L, World, enter, send};

on_both_back_ends!(
    check_71_a_build_that_waits_has_said_nothing,
    check_72_everybody_reads_what_is_public,
    check_71_and_72_logs_may_be_for_writers,
    check_73_a_log_is_read_from_an_entry_on,
    check_74_or_from_the_end,
    check_75_or_from_no_number,
    check_76_a_log_that_is_over_is_elsewhere,
    check_76_readers_may_be_kept_from_it,
    check_77_a_log_that_cannot_be_read_is_empty,
    check_78_an_entry_has_a_moment,
    check_79_the_first_says_that_work_began,
);

const PUB: &str = "/api/v1/repository/ada/pub/build/";

async fn check_71_a_build_that_waits_has_said_nothing(backend: Backend) {
    let world = World::start(backend).await;
    let path = format!("{L}{}/logs", world.build().await);
    let nothing = json!({"start": 0, "total": 0, "logs": []});
    for client in [&world.r, &world.w, &world.a] {
        assert_eq!(client.get(&path).await.is(200).json(), nothing);
    }
    world.nobody.get(&path).await.problem(401, "invalid_token");
}

async fn check_72_everybody_reads_what_is_public(backend: Backend) {
    let world = World::start(backend).await;
    let path = format!("{PUB}{}/logs", world.build_in(PUB).await);
    world.nobody.get(&path).await.is(200);
    world.bob.get(&path).await.is(200);
}

async fn check_71_and_72_logs_may_be_for_writers(backend: Backend) {
    let world = World::with(backend, |config| config.quay.reader_build_logs = false).await;
    let path = format!("{L}{}/logs", world.build().await);
    world.r.get(&path).await.problem(403, "insufficient_scope");
    world.w.get(&path).await.is(200);
    let unknown = world.r.get(&format!("{L}nothing/logs")).await;
    unknown.problem(403, "insufficient_scope");
    let path = format!("{PUB}{}/logs", world.build_in(PUB).await);
    world.nobody.get(&path).await.problem(401, "invalid_token");
    world
        .bob
        .get(&path)
        .await
        .problem(403, "insufficient_scope");
}

/// A build at work that has three entries: two phases and a line.
async fn three(world: &World) -> (String, Claim) {
    let (id, claim) = world.in_phase("building").await;
    claim.patch("0-5", "hello\n").await.is(202);
    (id, claim)
}

async fn entries(world: &World, id: &str, query: &str) -> Value {
    let path = format!("{L}{id}/logs{query}");
    world.r.get(&path).await.is(200).json()
}

async fn check_73_a_log_is_read_from_an_entry_on(backend: Backend) {
    let world = World::start(backend).await;
    let (id, _claim) = three(&world).await;
    let all = entries(&world, &id, "").await;
    assert_eq!(all["total"], 3, "{all}");
    let all = all["logs"].as_array().unwrap();
    let rest = entries(&world, &id, "?start=1").await;
    assert_eq!(rest["start"], 1);
    assert_eq!(rest["total"], 3);
    assert_eq!(rest["logs"].as_array().unwrap(), &all[1..]);
    for start in [3, 99] {
        let none = entries(&world, &id, &format!("?start={start}")).await;
        assert_eq!(none, json!({"start": start, "total": 3, "logs": []}));
    }
}

async fn check_74_or_from_the_end(backend: Backend) {
    let world = World::start(backend).await;
    let (id, _claim) = three(&world).await;
    let last = entries(&world, &id, "?start=-1").await;
    assert_eq!(last["start"], -1);
    assert_eq!(last["logs"].as_array().unwrap().len(), 1);
    assert_eq!(last["logs"][0]["message"], "hello\n");
}

async fn check_75_or_from_no_number(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.build().await;
    for start in ["abc", "", "1.5"] {
        let answer = world.r.get(&format!("{L}{id}/logs?start={start}")).await;
        assert!(answer.message(400)["start"].is_string());
    }
}

/// Where the whole log of a build is that is over.
async fn log_url(world: &World, id: &str, query: &str) -> String {
    world.farm.advance(30);
    let told = entries(world, id, query).await;
    let told = told.as_object().unwrap();
    assert_eq!(told.keys().collect::<Vec<_>>(), ["logs_url"]);
    told["logs_url"].as_str().unwrap().to_owned()
}

async fn check_76_a_log_that_is_over_is_elsewhere(backend: Backend) {
    let world = World::start(backend).await;
    let (id, claim) = three(&world).await;
    claim.succeed().await;
    // For a while those who followed it find the end where they found the rest.
    world.farm.advance(10);
    let end = entries(&world, &id, "?start=3").await;
    assert_eq!(end["total"], 4);
    assert_eq!(end["logs"][0]["message"], "complete");
    let url = log_url(&world, &id, "?start=5").await;
    assert_eq!(url, world.farm.url(&format!("/logarchive/{id}")));
    let bare = |token: &str| world.nobody.bare(Method::GET, &url).bearer_auth(token);
    let login = world.nobody.bare(Method::GET, &url);
    let login = login.basic_auth("$oauthtoken", Some(&world.w.token));
    for request in [bare(&world.w.token), login, bare(&world.r.token)] {
        let whole = send(request).await.is(200);
        assert_eq!(whole.header("content-type"), Some("application/json"));
        let whole = whole.json();
        assert_eq!(whole["start"], 0);
        assert_eq!(whole["total"], 4);
        let logs = whole["logs"].as_array().unwrap();
        assert_eq!(logs.len(), 4);
        assert_eq!(logs[2]["message"], "hello\n");
        assert_eq!(logs[3]["message"], "complete");
    }
    let other = world.nobody.bare(Method::GET, &url);
    let other = other.basic_auth("ada", Some(&world.w.token));
    let refused = [
        world.nobody.bare(Method::GET, &url),
        bare(&world.n.token),
        bare(&world.x.token),
        bare(&world.bob.token),
        other,
        world.w.request(Method::GET, "/logarchive/nothing"),
        world.w.request(
            Method::GET,
            "/logarchive/0190a6d0-0000-7000-8000-000000000001",
        ),
    ];
    for request in refused {
        send(request).await.is(403);
    }
}

async fn check_76_readers_may_be_kept_from_it(backend: Backend) {
    let world = World::with(backend, |config| config.quay.reader_build_logs = false).await;
    let id = world.build().await;
    world.a.delete(&format!("{L}{id}")).await.is(204);
    let path = format!("/logarchive/{id}");
    world.r.get(&path).await.is(403);
    let nothing = json!({"start": 0, "total": 0, "logs": []});
    assert_eq!(world.w.get(&path).await.is(200).json(), nothing);
    let public = world.build_in(PUB).await;
    let path = format!("/logarchive/{public}");
    world.nobody.get(&path).await.is(403);
    world.bob.get(&path).await.is(403);
    world.w.get(&path).await.is(200);
}

async fn check_77_a_log_that_cannot_be_read_is_empty(backend: Backend) {
    let world = World::start(backend).await;
    let (id, claim) = three(&world).await;
    let lines = "line\n".repeat(9);
    claim.patch("6-51", lines).await.is(202);
    world.farm.lose_blobs();
    let nothing = json!({"start": 7, "total": 0, "logs": []});
    assert_eq!(entries(&world, &id, "?start=7").await, nothing);
    assert_eq!(entries(&world, &id, "").await["total"], 0);
    // How many lines there are is known without reading them, and a phase stands in no blob.
    let known = json!({"start": 12, "total": 12, "logs": []});
    assert_eq!(entries(&world, &id, "?start=12").await, known);
    enter(&claim, "pushing").await.is(200);
    let phase = entries(&world, &id, "?start=12").await;
    assert_eq!(phase["total"], 13);
    assert_eq!(phase["logs"][0]["message"], "pushing");
}

async fn check_78_an_entry_has_a_moment(backend: Backend) {
    let world = World::start(backend).await;
    let (id, _claim) = three(&world).await;
    let all = entries(&world, &id, "").await;
    for entry in all["logs"].as_array().unwrap() {
        assert!(entry["message"].is_string(), "{entry}");
        let moment = entry["data"]["datetime"].as_str().unwrap();
        assert_eq!(moment.len(), "2026-03-01 10:00:02.104511".len());
        let parsed = chrono::NaiveDateTime::parse_from_str(moment, "%Y-%m-%d %H:%M:%S%.6f");
        parsed.unwrap();
    }
    let output = &all["logs"][2];
    assert_eq!(output["message"], "hello\n");
    assert_eq!(output.get("type"), None);
}

async fn check_79_the_first_says_that_work_began(backend: Backend) {
    let world = World::start(backend).await;
    let (id, claim) = world.claimed().await;
    enter(&claim, "fetching").await.is(200);
    let all = entries(&world, &id, "").await;
    let first = &all["logs"][0];
    assert_eq!(first["type"], "phase");
    assert_eq!(first["message"], "build-scheduled");
    assert_eq!(all["logs"][1]["message"], "unpacking");
}
