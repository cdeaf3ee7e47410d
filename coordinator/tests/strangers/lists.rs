//! Reads that cost more the more there is.

use futures_util::{StreamExt, stream};
use slipway_domain::Slug;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

on_both_back_ends!(no_list_is_longer_than_a_thousand,);

async fn no_list_is_longer_than_a_thousand(backend: Backend) {
    const BUILDS: usize = 1010;
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let builds = stream::iter(0..BUILDS).map(|_| farm.build(&project));
    let created = builds.buffer_unordered(50).count().await;
    assert_eq!(created, BUILDS);
    let count = async |path: &str, list: &str| {
        let get = farm.http.get(farm.url(path)).bearer_auth(&farm.admin_token);
        let list_of: serde_json::Value = get.send().await.unwrap().json().await.unwrap();
        let list = if list.is_empty() {
            &list_of
        } else {
            &list_of[list]
        };
        list.as_array().map(Vec::len)
    };
    for limit in ["0", "100000", "4294967295"] {
        let path = format!("/api/v1/repository/acme/api/build/?limit={limit}");
        assert_eq!(count(&path, "builds").await, Some(1000), "{path}");
    }
    let id = project.id();
    for per_page in ["0", "100000"] {
        let path = format!("/api/v3/projects/{id}/builds?per_page={per_page}");
        assert!(count(&path, "").await <= Some(100), "{path}");
    }
    let slug = Slug::default_pipeline();
    let path = format!("/api/v0/organizations/acme/pipelines/{slug}/builds?limit=100000");
    assert!(count(&path, "data").await <= Some(100), "{path}");
}
