//! Checks 11 to 23: lists, what is in them, and how they are paged.

use serde_json::Value;
use slipway_domain::JobId;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::support::{ApiResponse, P, World, send};

on_both_back_ends!(
    check_11_the_newest_comes_first,
    check_12_one_scope_is_one_status,
    check_13_a_numbered_list_of_scopes_is_a_union,
    check_14_an_unnumbered_list_of_scopes_is_the_same,
    check_15_brackets_may_be_encoded,
    check_16_an_unknown_scope_is_400,
    check_17_a_page_has_twenty_and_says_so,
    check_18_the_last_page_has_no_next,
    check_19_a_page_has_at_most_a_hundred,
    check_20_a_page_beyond_the_end_is_empty,
    check_21_the_next_page_is_a_whole_address,
    check_22_parameters_may_come_twice,
    check_23_no_link_has_the_token,
);

/// One build in each state that a list can show; gives pairs of id and status.
async fn mixed(world: &World) -> Vec<(JobId, &'static str)> {
    let mut made = vec![
        (world.ended("success").await.id, "success"),
        (world.ended("failed").await.id, "failed"),
        (world.running().await.id, "running"),
    ];
    let sha = slipway_testkit::farm::SHA;
    let jobs = [("unit", &[][..]), ("later", &["unit"][..])];
    let [pending, created] = world.build_jobs("master", sha, &jobs).await[..] else {
        panic!("two jobs");
    };
    made.extend([(pending, "pending"), (created, "created")]);
    let [canceled, skipped] = world.build_jobs("master", sha, &jobs).await[..] else {
        panic!("two jobs");
    };
    world.farm.cancel(canceled).await;
    made.extend([(canceled, "canceled"), (skipped, "skipped")]);
    made
}

/// The statuses of a list, sorted, each once.
fn statuses(answer: ApiResponse) -> Vec<String> {
    let items = answer.items();
    let status = |item: &Value| item["status"].as_str().unwrap().to_owned();
    let mut statuses: Vec<String> = items.iter().map(status).collect();
    statuses.sort();
    statuses.dedup();
    statuses
}

async fn check_11_the_newest_comes_first(backend: Backend) {
    let world = World::start(backend).await;
    for _ in 0..3 {
        world.pending().await;
    }
    let ids = world.developer.get(&format!("{P}/builds")).await.ids();
    assert_eq!(ids.len(), 3);
    assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
}

async fn check_12_one_scope_is_one_status(backend: Backend) {
    let world = World::start(backend).await;
    for (id, status) in mixed(&world).await {
        let path = format!("{P}/builds?scope={status}");
        let answer = world.developer.get(&path).await;
        assert_eq!(answer.header("x-total"), Some("1"), "{status}");
        assert_eq!(answer.ids(), [id.0], "{status}");
    }
    let all = world.developer.get(&format!("{P}/builds?scope=")).await;
    assert_eq!(all.items().len(), 7);
}

/// What is asked for in any spelling gives pending and running builds, and no others.
async fn pending_and_running(backend: Backend, queries: &[&str]) {
    let world = World::start(backend).await;
    mixed(&world).await;
    for query in queries {
        let answer = world.developer.get(&format!("{P}/builds?{query}")).await;
        assert_eq!(statuses(answer), ["pending", "running"], "{query}");
    }
}

async fn check_13_a_numbered_list_of_scopes_is_a_union(backend: Backend) {
    pending_and_running(backend, &["scope[0]=pending&scope[1]=running"]).await;
}

async fn check_14_an_unnumbered_list_of_scopes_is_the_same(backend: Backend) {
    let queries = [
        "scope[]=pending&scope[]=running",
        "scope=pending&scope=running",
    ];
    pending_and_running(backend, &queries).await;
}

async fn check_15_brackets_may_be_encoded(backend: Backend) {
    let queries = [
        "scope%5B0%5D=pending&scope%5B1%5D=running",
        "scope%5B%5D=pending&scope%5B%5D=running",
    ];
    pending_and_running(backend, &queries).await;
}

async fn check_16_an_unknown_scope_is_400(backend: Backend) {
    let world = World::start(backend).await;
    for query in ["scope=bogus", "scope[0]=pending&scope[1]=bogus"] {
        let answer = world.developer.get(&format!("{P}/builds?{query}")).await;
        answer.errs(400, "scope does not have a valid value");
    }
}

/// A world with so many builds.
async fn with_builds(backend: Backend, count: usize) -> World {
    let world = World::start(backend).await;
    for _ in 0..count {
        world.pending().await;
    }
    world
}

#[track_caller]
fn has_headers(answer: &ApiResponse, expected: [(&str, &str); 6]) {
    for (name, value) in expected {
        assert_eq!(answer.header(name), Some(value), "{name} of {answer:?}");
    }
}

/// The address of a relation in the header `Link`, and the relations in their order.
fn links(answer: &ApiResponse) -> Vec<(String, String)> {
    let link = answer.header("link").unwrap();
    let one = |link: &str| {
        let (url, rel) = link.split_once(">; rel=\"").unwrap();
        let url = url.strip_prefix('<').unwrap();
        (rel.trim_end_matches('"').to_owned(), url.to_owned())
    };
    link.split(", ").map(one).collect()
}

fn relations(answer: &ApiResponse) -> Vec<String> {
    links(answer).into_iter().map(|(rel, _)| rel).collect()
}

async fn check_17_a_page_has_twenty_and_says_so(backend: Backend) {
    let world = with_builds(backend, 45).await;
    let answer = world.developer.get(&format!("{P}/builds")).await;
    has_headers(
        &answer,
        [
            ("X-Total", "45"),
            ("X-Total-Pages", "3"),
            ("X-Per-Page", "20"),
            ("X-Page", "1"),
            ("X-Next-Page", "2"),
            ("X-Prev-Page", ""),
        ],
    );
    assert_eq!(relations(&answer), ["next", "first", "last"]);
    assert_eq!(answer.items().len(), 20);
}

async fn check_18_the_last_page_has_no_next(backend: Backend) {
    let world = with_builds(backend, 45).await;
    let answer = world.developer.get(&format!("{P}/builds?page=3")).await;
    has_headers(
        &answer,
        [
            ("X-Total", "45"),
            ("X-Total-Pages", "3"),
            ("X-Per-Page", "20"),
            ("X-Page", "3"),
            ("X-Next-Page", ""),
            ("X-Prev-Page", "2"),
        ],
    );
    assert_eq!(relations(&answer), ["prev", "first", "last"]);
    assert_eq!(answer.items().len(), 5);
}

async fn check_19_a_page_has_at_most_a_hundred(backend: Backend) {
    let world = with_builds(backend, 1).await;
    for (wanted, given) in [("1000", "100"), ("0", "20"), ("-3", "20"), ("x", "20")] {
        let path = format!("{P}/builds?per_page={wanted}");
        let answer = world.developer.get(&path).await.is(200);
        assert_eq!(answer.header("x-per-page"), Some(given), "{wanted}");
    }
    let path = format!("{P}/builds?page=x");
    let answer = world.developer.get(&path).await;
    answer.errs(400, "page is invalid");
}

async fn check_20_a_page_beyond_the_end_is_empty(backend: Backend) {
    let world = with_builds(backend, 1).await;
    for page in ["99", "9223372036854775807"] {
        let path = format!("{P}/builds?page={page}");
        assert!(world.developer.get(&path).await.items().is_empty());
    }
}

async fn check_21_the_next_page_is_a_whole_address(backend: Backend) {
    let world = with_builds(backend, 5).await;
    let path = format!("{P}/builds?scope[]=pending&per_page=2");
    let mut answer = world.developer.get(&path).await;
    let mut seen = Vec::new();
    loop {
        let next = links(&answer).into_iter().find(|(rel, _)| rel == "next");
        seen.extend(answer.ids());
        let Some((_, url)) = next else { break };
        let expected = format!("{}{P}/builds?", world.farm.url("/api/v3"));
        assert!(url.starts_with(&expected), "{url}");
        assert!(url.contains("scope%5B%5D=pending"), "{url}");
        answer = world.developer.get(&url).await;
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");
}

async fn check_22_parameters_may_come_twice(backend: Backend) {
    let world = with_builds(backend, 3).await;
    let path = format!("{P}/builds?per_page=2&per_page=2&project_id=1&project_id=1");
    assert_eq!(world.developer.get(&path).await.items().len(), 2);
}

async fn check_23_no_link_has_the_token(backend: Backend) {
    let world = with_builds(backend, 3).await;
    let token = &world.developer.token;
    for name in ["private_token", "access_token"] {
        let path = format!("{P}/builds?per_page=1&page=2&{name}={token}");
        let request = world.nobody().bare(reqwest::Method::GET, &path);
        let answer = send(request).await.is(200);
        assert_eq!(relations(&answer), ["prev", "next", "first", "last"]);
        let link = answer.header("link").unwrap();
        assert!(!link.contains(token.as_str()), "{link}");
    }
}
