//! Checks 58 to 66: builds in lists, and one by one.

use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::support::{L, URL, World};

on_both_back_ends!(
    check_58_a_list_has_five_unless_it_is_told,
    check_59_a_list_may_begin_at_a_moment,
    check_60_nothing_comes_after_the_newest,
    check_61_parameters_are_whole_numbers,
    check_62_the_source_is_for_writers,
    check_63_nobody_is_told_little,
    check_64_the_status_is_the_build,
    check_65_an_unknown_build_is_told_in_two_ways,
    check_66_a_build_belongs_to_its_repository,
    a_build_of_a_commit_is_listed_too,
);

const PUB: &str = "/api/v1/repository/ada/pub/build/";

async fn check_58_a_list_has_five_unless_it_is_told(backend: Backend) {
    let world = World::start(backend).await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.insert(0, world.build().await);
    }
    assert_eq!(world.r.get(L).await.ids(), ids[..5]);
    for (query, expected) in [("limit=2", 2), ("limit=100", 12), ("limit=0", 12)] {
        let listed = world.r.get(&format!("{L}?{query}")).await.ids();
        assert_eq!(listed, ids[..expected], "{query}");
    }
}

/// The moment at which a build was asked for, in seconds.
async fn moment(world: &World, id: &str) -> i64 {
    let build = world.r.get(&format!("{L}{id}")).await.is(200).json();
    let started = build["started"].as_str().unwrap();
    let started = chrono::DateTime::parse_from_rfc2822(started);
    started.unwrap().timestamp()
}

async fn check_59_a_list_may_begin_at_a_moment(backend: Backend) {
    let world = World::start(backend).await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.insert(0, world.build().await);
    }
    let since = moment(&world, &ids[6]).await;
    let all = world.r.get(&format!("{L}?since={since}&limit=100")).await;
    assert_eq!(all.ids(), ids[..7]);
    let usual = world.r.get(&format!("{L}?since={since}")).await;
    assert_eq!(usual.ids(), ids[..5]);
}

async fn check_60_nothing_comes_after_the_newest(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.build().await;
    let after = moment(&world, &id).await + 1;
    let answer = world.r.get(&format!("{L}?since={after}")).await;
    assert_eq!(answer.is(200).json(), json!({ "builds": [] }));
}

async fn check_61_parameters_are_whole_numbers(backend: Backend) {
    let world = World::start(backend).await;
    for (query, name) in [
        ("limit=abc", "limit"),
        ("limit=", "limit"),
        ("limit=2.5", "limit"),
        ("limit=-1", "limit"),
        ("since=abc", "since"),
        ("since=99999999999999999", "since"),
    ] {
        let help = world.r.get(&format!("{L}?{query}")).await.message(400);
        assert!(help[name].is_string(), "{query}: {help}");
        assert_eq!(help.as_object().unwrap().len(), 1, "{query}: {help}");
    }
    world
        .r
        .get(&format!("{L}?limit=1&limit=x&bogus=1"))
        .await
        .is(200);
}

async fn check_62_the_source_is_for_writers(backend: Backend) {
    let world = World::start(backend).await;
    let path = format!("{L}{}", world.build().await);
    let read = world.r.get(&path).await.is(200).json();
    assert_eq!(read.get("archive_url"), None);
    assert_eq!(read["is_writer"], false);
    assert_eq!(read["trigger_metadata"], json!({}));
    let written = world.w.get(&path).await.is(200).json();
    assert_eq!(written["archive_url"], URL);
    assert_eq!(written["is_writer"], true);
}

async fn check_63_nobody_is_told_little(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.build_in(PUB).await;
    for client in [&world.nobody, &world.bob] {
        let build = client.get(&format!("{PUB}{id}")).await.is(200).json();
        assert_eq!(build["trigger_metadata"], Value::Null);
        assert_eq!(build.get("archive_url"), None);
        assert_eq!(build["is_writer"], false);
    }
}

async fn check_64_the_status_is_the_build(backend: Backend) {
    let world = World::start(backend).await;
    let path = format!("{L}{}", world.build().await);
    let build = world.r.get(&path).await.is(200).json();
    let status = world.r.get(&format!("{path}/status")).await.is(200).json();
    assert_eq!(build, status);
}

async fn check_65_an_unknown_build_is_told_in_two_ways(backend: Backend) {
    let world = World::start(backend).await;
    for id in ["nothing", "0190a6d0-0000-7000-8000-000000000001"] {
        let build = world.r.get(&format!("{L}{id}")).await;
        build.problem(404, "not_found");
        for below in ["status", "logs"] {
            let answer = world.a.get(&format!("{L}{id}/{below}")).await;
            let told = json!({"message": format!("Unable to locate a build by id: {id}")});
            assert_eq!(answer.is(400).json(), told);
        }
    }
}

async fn check_66_a_build_belongs_to_its_repository(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.build().await;
    for below in ["", "/status", "/logs"] {
        let answer = world.a.get(&format!("{PUB}{id}{below}")).await;
        answer.problem(404, "not_found");
    }
    // A build of a repository that the caller may not know is no other than an unknown one.
    let body = json!({ "archive_url": URL });
    let foreign = "/api/v1/repository/bob/x/build/";
    let secret = world.bob.post(foreign, &body).await.is(201).json();
    let secret = secret["id"].as_str().unwrap();
    let answer = world.a.get(&format!("{L}{secret}")).await;
    answer.problem(404, "not_found");
}

async fn a_build_of_a_commit_is_listed_too(backend: Backend) {
    let world = World::start(backend).await;
    let made = world.farm.build(&world.app).await;
    let build = world
        .w
        .get(&format!("{L}{}", made.uuid))
        .await
        .is(200)
        .json();
    assert_eq!(build["display_name"], slipway_testkit::farm::SHA[..7]);
    assert_eq!(build["phase"], "waiting");
    assert_eq!(build.get("archive_url"), None);
    assert_eq!(build["resource_key"], Value::Null);
    assert_eq!(build["manual_user"], "root");
    assert_eq!(build["dockerfile_path"], "/Dockerfile");
    assert_eq!(build["context"], "/");
    assert_eq!(world.r.get(L).await.ids(), [made.uuid.to_string()]);
}
