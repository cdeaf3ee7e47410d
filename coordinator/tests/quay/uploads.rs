//! Checks 86 to 90: files that are uploaded for builds.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::client::ApiResponse;
use crate::support::{L, URL, World, send};

on_both_back_ends!(
    check_86_a_place_is_asked_for,
    check_87_with_a_type_and_a_token,
    check_88_a_file_is_uploaded_and_built,
    check_89_an_address_goes_before_a_file,
    check_90_a_file_is_not_read_where_places_are,
    an_upload_url_ends,
    an_upload_is_not_replaced_once_it_is_used,
    an_upload_url_cannot_be_made_up,
    a_download_url_ends,
    a_file_goes_when_no_build_has_used_it_for_long,
);

const FILEDROP: &str = "/api/v1/filedrop/";
const SCRATCH: &[u8] = b"FROM scratch\n";

async fn put(world: &World, url: &str, content: &'static [u8]) -> ApiResponse {
    let request = world.nobody.bare(Method::PUT, url);
    send(request.header(CONTENT_TYPE, "text/plain").body(content)).await
}

async fn check_86_a_place_is_asked_for(backend: Backend) {
    let world = World::start(backend).await;
    let body = json!({"mimeType": "application/zip"});
    let place = world.n.post(FILEDROP, &body).await.is(200).json();
    let keys: Vec<&String> = place.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["file_id", "url"]);
    let id = place["file_id"].as_str().unwrap();
    let parsed: slipway_domain::UploadId = id.parse().unwrap();
    assert_eq!(parsed.to_string(), id);
    let url = place["url"].as_str().unwrap();
    assert!(url.starts_with(&world.farm.url(&format!("/userfiles/{id}"))));
}

async fn check_87_with_a_type_and_a_token(backend: Backend) {
    let world = World::start(backend).await;
    for body in [json!({}), json!({"mimeType": 1}), json!({"mimeType": null})] {
        let answer = world.n.post(FILEDROP, &body).await;
        answer.problem(400, "invalid_request");
    }
    let body = json!({"mimeType": "application/zip"});
    for client in [&world.nobody, &world.x] {
        let answer = client.post(FILEDROP, &body).await;
        answer.problem(401, "invalid_token");
    }
}

async fn check_88_a_file_is_uploaded_and_built(backend: Backend) {
    let world = World::start(backend).await;
    let (file, _) = world.uploaded(&world.w, SCRATCH).await;
    let build = world.w.makes(&json!({ "file_id": file })).await;
    assert_eq!(build["resource_key"], file);
    assert_eq!(build["display_name"], "bb57c7d");
    let url = build["archive_url"].as_str().unwrap();
    let answer = send(world.nobody.bare(Method::GET, url)).await.is(200);
    assert_eq!(answer.body, SCRATCH);
    let disposition = answer.header("content-disposition").unwrap();
    assert!(disposition.starts_with("attachment"), "{disposition}");
    assert!(disposition.contains(&file), "{disposition}");
    // The same file may be built again.
    let again = world.w.makes(&json!({ "file_id": file })).await;
    assert_eq!(again["resource_key"], file);
}

async fn check_89_an_address_goes_before_a_file(backend: Backend) {
    let world = World::start(backend).await;
    let (file, _) = world.uploaded(&world.w, SCRATCH).await;
    let body = json!({"file_id": file, "archive_url": URL});
    let build = world.w.makes(&body).await;
    assert_eq!(build["resource_key"], file);
    assert_eq!(build["display_name"], "bb57c7d");
    let shown = build["archive_url"].as_str().unwrap();
    assert!(shown.contains(&file), "{shown}");
    let claim = world.runner().await.claim().await;
    let told = claim.payload.to_string();
    assert!(told.contains(URL), "{told}");
    assert!(!told.contains("/userfiles/"), "{told}");
}

async fn check_90_a_file_is_not_read_where_places_are(backend: Backend) {
    let world = World::start(backend).await;
    let (file, _) = world.uploaded(&world.w, SCRATCH).await;
    for path in [format!("{FILEDROP}{file}"), FILEDROP.to_owned()] {
        world.w.get(&path).await.problem(404, "not_found");
    }
}

/// A place for a file of ada's, as its URL.
async fn place(world: &World) -> String {
    let body = json!({"mimeType": "text/plain"});
    let place = world.n.post(FILEDROP, &body).await.is(200).json();
    place["url"].as_str().unwrap().to_owned()
}

async fn an_upload_url_ends(backend: Backend) {
    let world = World::start(backend).await;
    let url = place(&world).await;
    world.farm.advance(3500);
    put(&world, &url, b"FROM busybox\n").await.is(200);
    let answer = put(&world, &url, SCRATCH).await.is(200);
    assert_eq!(answer.body, "Okay".as_bytes());
    world.farm.advance(120);
    let answer = put(&world, &url, SCRATCH).await;
    answer.problem(403, "insufficient_scope");
}

async fn an_upload_is_not_replaced_once_it_is_used(backend: Backend) {
    let world = World::start(backend).await;
    let (file, url) = world.uploaded(&world.w, SCRATCH).await;
    let build = world.w.makes(&json!({ "file_id": file })).await;
    let answer = put(&world, &url, b"FROM busybox\n").await;
    answer.problem(403, "insufficient_scope");
    let url = build["archive_url"].as_str().unwrap();
    let answer = send(world.nobody.bare(Method::GET, url)).await.is(200);
    assert_eq!(answer.body, SCRATCH);
}

async fn an_upload_url_cannot_be_made_up(backend: Backend) {
    let world = World::start(backend).await;
    let (file, url) = world.uploaded(&world.w, SCRATCH).await;
    let bare = format!("/userfiles/{file}");
    let answer = put(&world, &bare, b"FROM busybox\n").await;
    answer.problem(403, "insufficient_scope");
    let answer = send(world.w.request(Method::GET, &bare)).await;
    assert_ne!(answer.status, 200);
    // What opens the place for writing does not open it for reading.
    let answer = send(world.nobody.bare(Method::GET, &url)).await;
    assert_ne!(answer.status, 200);
    let unknown = "/userfiles/3f0e9a3c-6f0e-4a55-9a5c-2f9a3c1b7e10";
    let answer = send(world.nobody.bare(Method::GET, unknown)).await;
    assert_ne!(answer.status, 200);
}

async fn a_download_url_ends(backend: Backend) {
    let world = World::start(backend).await;
    let (file, _) = world.uploaded(&world.w, SCRATCH).await;
    let build = world.w.makes(&json!({ "file_id": file })).await;
    let url = build["archive_url"].as_str().unwrap();
    world.farm.advance(240);
    send(world.nobody.bare(Method::GET, url)).await.is(200);
    world.farm.advance(120);
    let answer = send(world.nobody.bare(Method::GET, url)).await;
    answer.problem(403, "insufficient_scope");
    let later = url.replace("expires=", "expires=1");
    let answer = send(world.nobody.bare(Method::GET, &later)).await;
    answer.problem(403, "insufficient_scope");
}

async fn a_file_goes_when_no_build_has_used_it_for_long(backend: Backend) {
    let world = World::start(backend).await;
    let (file, _) = world.uploaded(&world.w, SCRATCH).await;
    let build = world.w.makes(&json!({ "file_id": file })).await;
    let path = format!("{L}{}", build["id"].as_str().unwrap());
    let read = async || {
        let build = world.w.get(&path).await.is(200).json();
        let url = build["archive_url"].as_str().unwrap().to_owned();
        send(world.nobody.bare(Method::GET, &url)).await
    };
    let days_later = async |days: i64| {
        world.farm.advance(days * 24 * 3600);
        world.farm.farm().expire_uploads().await.unwrap()
    };
    // It waits for a runner.
    assert_eq!(days_later(31).await, 0);
    read().await.is(200);
    world.a.delete(&path).await.is(204);
    assert_eq!(days_later(0).await, 1);
    read().await.problem(404, "not_found");
    // Whoever builds it now is told that there is none.
    let again = world.w.post(L, &json!({ "file_id": file })).await;
    assert_eq!(again.status, 400, "{again:?}");
}
