//! Pages of lists, and their headers.
//!
//! See `docs/protocols/gitlab-builds-v3.md#pagination`.

use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{ApiResponse, PROJECT, send};
use crate::fixture::Fixture;

on_both_back_ends!(
    page_has_twenty_items_by_default,
    last_page_has_no_next_link,
    per_page_is_at_most_100_and_invalid_values_mean_20,
    page_after_the_last_is_empty,
    next_link_is_absolute_and_keeps_parameters,
    last_value_of_a_repeated_parameter_counts,
    links_contain_no_token,
    cursor_counts_only_for_its_own_page,
    builds_created_meanwhile_shift_no_next_page,
);

/// A fixture with `count` pending builds.
async fn start_with_builds(backend: Backend, count: usize) -> Fixture {
    let fixture = Fixture::start(backend).await;
    for _ in 0..count {
        fixture.pending_build().await;
    }
    fixture
}

#[track_caller]
fn assert_headers(response: &ApiResponse, expected: [(&str, &str); 6]) {
    for (name, value) in expected {
        assert_eq!(response.header(name), Some(value), "{name} of {response:?}");
    }
}

/// The relations and URLs of the header `Link`, in their order.
fn links(response: &ApiResponse) -> Vec<(String, String)> {
    let link = response.header("link").unwrap();
    let one = |link: &str| {
        let (url, rel) = link.split_once(">; rel=\"").unwrap();
        let url = url.strip_prefix('<').unwrap();
        (rel.trim_end_matches('"').to_owned(), url.to_owned())
    };
    link.split(", ").map(one).collect()
}

fn relations(response: &ApiResponse) -> Vec<String> {
    links(response).into_iter().map(|(rel, _)| rel).collect()
}

async fn page_has_twenty_items_by_default(backend: Backend) {
    let fixture = start_with_builds(backend, 45).await;
    let response = fixture.developer.get(&format!("{PROJECT}/builds")).await;
    assert_headers(
        &response,
        [
            ("X-Total", "45"),
            ("X-Total-Pages", "3"),
            ("X-Per-Page", "20"),
            ("X-Page", "1"),
            ("X-Next-Page", "2"),
            ("X-Prev-Page", ""),
        ],
    );
    assert_eq!(relations(&response), ["next", "first", "last"]);
    assert_eq!(response.items().len(), 20);
}

async fn last_page_has_no_next_link(backend: Backend) {
    let fixture = start_with_builds(backend, 45).await;
    let response = fixture
        .developer
        .get(&format!("{PROJECT}/builds?page=3"))
        .await;
    assert_headers(
        &response,
        [
            ("X-Total", "45"),
            ("X-Total-Pages", "3"),
            ("X-Per-Page", "20"),
            ("X-Page", "3"),
            ("X-Next-Page", ""),
            ("X-Prev-Page", "2"),
        ],
    );
    assert_eq!(relations(&response), ["prev", "first", "last"]);
    assert_eq!(response.items().len(), 5);
}

async fn per_page_is_at_most_100_and_invalid_values_mean_20(backend: Backend) {
    let fixture = start_with_builds(backend, 1).await;
    for (requested, actual) in [("1000", "100"), ("0", "20"), ("-3", "20"), ("x", "20")] {
        let path = format!("{PROJECT}/builds?per_page={requested}");
        let response = fixture.developer.get(&path).await.is(200);
        assert_eq!(response.header("x-per-page"), Some(actual), "{requested}");
    }
    let path = format!("{PROJECT}/builds?page=x");
    let response = fixture.developer.get(&path).await;
    response.has_error(400, "page is invalid");
}

async fn page_after_the_last_is_empty(backend: Backend) {
    let fixture = start_with_builds(backend, 1).await;
    for page in ["99", "9223372036854775807"] {
        let path = format!("{PROJECT}/builds?page={page}");
        assert!(fixture.developer.get(&path).await.items().is_empty());
    }
}

async fn next_link_is_absolute_and_keeps_parameters(backend: Backend) {
    let fixture = start_with_builds(backend, 5).await;
    let path = format!("{PROJECT}/builds?scope[]=pending&per_page=2");
    let mut response = fixture.developer.get(&path).await;
    let mut seen = Vec::new();
    loop {
        let next = links(&response).into_iter().find(|(rel, _)| rel == "next");
        seen.extend(response.ids());
        let Some((_, url)) = next else { break };
        let expected = format!("{}{PROJECT}/builds?", fixture.farm.url("/api/v3"));
        assert!(url.starts_with(&expected), "{url}");
        assert!(url.contains("scope%5B%5D=pending"), "{url}");
        response = fixture.developer.get(&url).await;
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");
}

async fn last_value_of_a_repeated_parameter_counts(backend: Backend) {
    let fixture = start_with_builds(backend, 3).await;
    let path = format!("{PROJECT}/builds?per_page=2&per_page=2&project_id=1&project_id=1");
    assert_eq!(fixture.developer.get(&path).await.items().len(), 2);
}

async fn links_contain_no_token(backend: Backend) {
    let fixture = start_with_builds(backend, 3).await;
    let token = &fixture.developer.token;
    for name in ["private_token", "access_token"] {
        let path = format!("{PROJECT}/builds?per_page=1&page=2&{name}={token}");
        let request = fixture
            .anonymous()
            .request_without_token(reqwest::Method::GET, &path);
        let response = send(request).await.is(200);
        assert_eq!(relations(&response), ["prev", "next", "first", "last"]);
        let link = response.header("link").unwrap();
        assert!(!link.contains(token.as_str()), "{link}");
    }
}

/// The URL of the next page.
fn next(response: &ApiResponse) -> String {
    let next = links(response).into_iter().find(|(rel, _)| rel == "next");
    next.unwrap().1
}

async fn cursor_counts_only_for_its_own_page(backend: Backend) {
    let fixture = start_with_builds(backend, 5).await;
    let path = format!("{PROJECT}/builds?per_page=2");
    let first = fixture.developer.get(&path).await;
    let url = next(&first);
    assert!(url.contains("&cursor=2-"), "{url}");
    let third = url.replace("page=2&per_page", "page=3&per_page");
    assert_eq!(fixture.developer.get(&third).await.ids(), [1]);
    for cursor in ["x", "2-", "2-x", "-2-3", "9999999999999999999999-1"] {
        let path = format!("{PROJECT}/builds?page=2&per_page=2&cursor={cursor}");
        assert_eq!(fixture.developer.get(&path).await.ids(), [3, 2], "{cursor}");
    }
    let links = links(&fixture.developer.get(&url).await);
    let cursors = links.iter().filter(|(_, url)| url.contains("cursor"));
    let cursors: Vec<&str> = cursors.map(|(rel, _)| rel.as_str()).collect();
    assert_eq!(cursors, ["next"], "{links:?}");
}

async fn builds_created_meanwhile_shift_no_next_page(backend: Backend) {
    let fixture = start_with_builds(backend, 4).await;
    let path = format!("{PROJECT}/builds?per_page=2");
    let first = fixture.developer.get(&path).await;
    let url = next(&first);
    assert_eq!(first.ids(), [4, 3]);
    fixture.pending_build().await;
    let second = fixture.developer.get(&url).await;
    assert_eq!(second.header("x-total"), Some("5"));
    assert_eq!(second.ids(), [2, 1]);
}

#[tokio::test]
async fn list_of_more_than_10000_builds_has_no_total() {
    let fixture = start_with_builds(Backend::Postgres, 1).await;
    let copy = |count: u32| {
        format!(
            "INSERT INTO jobs (build_id, project_id, queue_key_id, name, stage, spec, timeout_s, \
             allow_failure, attempt, superseded, priority, state, created_at, rev, run_when) \
             SELECT build_id, project_id, queue_key_id, name, stage, spec, timeout_s, \
             allow_failure, attempt, superseded, priority, 'canceled', created_at, rev, run_when \
             FROM jobs CROSS JOIN generate_series(1, {count}) WHERE id = 1"
        )
    };
    let database = fixture.farm.database.as_ref().unwrap();
    database.execute(&copy(9_999)).await;
    let path = format!("{PROJECT}/builds?page=2&per_page=100");
    let counted = fixture.developer.get(&path).await;
    assert_eq!(counted.header("x-total"), Some("10000"));
    assert_eq!(counted.header("x-total-pages"), Some("100"));
    database.execute(&copy(1)).await;
    let uncounted = fixture.developer.get(&path).await.is(200);
    assert_eq!(uncounted.header("x-total"), None);
    assert_eq!(uncounted.header("x-total-pages"), None);
    assert_eq!(uncounted.header("x-next-page"), Some("3"));
    assert_eq!(relations(&uncounted), ["prev", "next", "first"]);
    assert_eq!(uncounted.items().len(), 100);
}
