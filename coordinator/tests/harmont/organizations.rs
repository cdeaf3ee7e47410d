//! Organizations of the caller.
//!
//! See `docs/protocols/harmont.md#organizations`.

use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{Fixture, ORGANIZATION, slugs};

on_both_back_ends!(only_organizations_of_the_caller_are_listed,);

async fn only_organizations_of_the_caller_are_listed(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let path = "/api/v0/organizations";
    let empty = fixture.outsider.get(path).await.is(200).json();
    assert_eq!(empty, json!({"data": [], "next_cursor": null}));
    for slug in ["the-team", "the-team-2"] {
        let created = fixture
            .member
            .post(path, &json!({"name": "The Team"}))
            .await;
        assert_eq!(created.is(201).json()["slug"], slug);
    }
    let list = fixture.member.get(path).await.is(200).json();
    assert_eq!(slugs(&list), ["acme", "the-team", "the-team-2"]);
    let list = fixture
        .member
        .get(&format!("{path}?limit=1"))
        .await
        .is(200)
        .json();
    let cursor = list["next_cursor"].as_str().unwrap();
    let rest = fixture.member.get(&format!("{path}?cursor={cursor}")).await;
    assert_eq!(slugs(&rest.is(200).json()), ["the-team", "the-team-2"]);
    for body in [json!({"name": " "}), json!({}), json!({"name": 5})] {
        let response = fixture.member.post(path, &body).await;
        response.fails_with_code(422, "unprocessable_entity", "organization_invalid");
    }
    let one = fixture.member.get(ORGANIZATION).await.is(200).json();
    assert_eq!(one["slug"], "acme");
    let response = fixture.outsider.get(ORGANIZATION).await;
    response.fails_with_code(404, "not_found", "organization_not_found");
}
