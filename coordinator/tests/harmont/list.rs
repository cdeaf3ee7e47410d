//! Lists of builds, and single builds.
//!
//! See `docs/protocols/harmont.md#read-builds` and `docs/protocols/harmont.md#paging`.

use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{BUILDS, Fixture, two_steps};

on_both_back_ends!(
    builds_are_listed_page_by_page_newest_first,
    limit_is_clamped_and_never_an_error,
    invalid_cursor_returns_the_first_page,
    build_is_found_by_its_number_in_the_pipeline,
);

async fn page(fixture: &Fixture, query: &str) -> (Vec<i64>, Option<String>) {
    let list = fixture
        .member
        .get(&format!("{BUILDS}?{query}"))
        .await
        .is(200)
        .json();
    assert_eq!(list.as_object().unwrap().len(), 2, "{list}");
    let data = list["data"].as_array().unwrap().iter();
    let numbers = data.map(|build| build["number"].as_i64().unwrap());
    (
        numbers.collect(),
        list["next_cursor"].as_str().map(str::to_owned),
    )
}

async fn builds_are_listed_page_by_page_newest_first(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let empty = json!({"version": "0"});
    for _ in 0..2 {
        fixture.create_build(&empty).await;
    }
    assert_eq!(page(&fixture, "limit=2").await, (vec![2, 1], None));
    fixture.create_build(&empty).await;
    assert_eq!(page(&fixture, "").await, (vec![3, 2, 1], None));
    let (first, cursor) = page(&fixture, "limit=2").await;
    let cursor = cursor.expect("another page");
    assert_eq!(first, [3, 2]);
    fixture.create_build(&empty).await;
    let rest = page(&fixture, &format!("limit=2&cursor={cursor}")).await;
    assert_eq!(rest, (vec![1], None));
}

async fn limit_is_clamped_and_never_an_error(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let empty = json!({"version": "0"});
    for _ in 0..120 {
        fixture.create_build(&empty).await;
    }
    for (query, length) in [
        ("", 50),
        ("limit=1000", 100),
        ("limit=99999999999999999999", 100),
        ("limit=0", 1),
        ("limit=-3", 1),
        ("limit=abc", 50),
    ] {
        assert_eq!(page(&fixture, query).await.0.len(), length, "{query}");
    }
}

async fn invalid_cursor_returns_the_first_page(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let empty = fixture.member.get(BUILDS).await.is(200).json();
    assert_eq!(empty, json!({"data": [], "next_cursor": null}));
    fixture.create_build(&json!({"version": "0"})).await;
    for query in ["cursor=garbage", "cursor=", "cursor=%FF"] {
        assert_eq!(page(&fixture, query).await, (vec![1], None), "{query}");
    }
}

async fn build_is_found_by_its_number_in_the_pipeline(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture.create_source_pipeline().await;
    fixture.create_build(&two_steps()).await;
    let list = fixture.member.get(BUILDS).await.is(200).json();
    assert_eq!(list["data"][0], fixture.read_build(1).await);
    let huge = "99999999999999999999";
    for number in ["999", "0", "-1", "abc", "1.0", huge, "1%20"] {
        let response = fixture.member.get(&format!("{BUILDS}/{number}")).await;
        response.fails_with_code(404, "not_found", "build_not_found");
    }
    let other = BUILDS.replace("web", "acme-web-ci");
    let response = fixture.member.get(&format!("{other}/1")).await;
    response.fails_with_code(404, "not_found", "build_not_found");
}
