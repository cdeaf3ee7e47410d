//! Where the images of a project may be pushed.

use serde_json::{Value, json};

use crate::support::{Api, SHA};

const PROJECT: &str = "/v1/projects/acme/api";

#[actix_web::test]
async fn a_build_pushes_only_below_the_repository_of_its_project() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.clone();
    let build = async |spec: Value| {
        let pipeline = format!("{PROJECT}/pipelines/default");
        let job = json!({"name": "image", "stage": "build", "spec": spec});
        let body = json!({"definition": {"jobs": [job]}});
        api.put(&root, &pipeline, body).await.expect(200);
        let body = json!({"sha": SHA, "ref": "main"});
        api.post(&root, &format!("{PROJECT}/builds"), body).await
    };
    for place in ["registry.example/acme/api", "registry.example/acme/api/web"] {
        let spec =
            json!({"kind": "image_build", "repository": place, "cache_to": format!("{place}:c")});
        build(spec).await.expect(201);
    }
    for spec in [
        json!({"kind": "image_build", "repository": "registry.example/acme/web"}),
        json!({"kind": "image_build", "repository": "registry.example/acme/api2"}),
        json!({"kind": "image_build", "repository": "other.example/acme/api"}),
        json!({"kind": "image_build", "cache_to": "registry.example/acme/web:cache"}),
        json!({"kind": "script", "commands": ["true"], "keep": "registry.example/acme/web:1"}),
    ] {
        let refused = build(spec.clone()).await.expect(400).json();
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains("--allow-push-to"), "{spec}: {message}");
    }
    let check = format!("{PROJECT}/builds/check");
    let elsewhere = json!({"image": {"repository": "registry.example/acme/web"}, "push": true});
    api.post(&root, &check, elsewhere).await.expect(400);
}

#[actix_web::test]
async fn a_project_cannot_choose_the_repository_of_another_one() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.clone();
    let web =
        json!({"namespace": "acme", "name": "web", "repo_url": "https://git.example/acme/web"});
    api.post(&root, "/v1/projects", web).await.expect(201);
    let choose = async |project: &str, place: &str, status: u16| {
        let path = format!("/v1/projects/acme/{project}");
        let body = json!({"image_repository": place});
        api.patch(&root, &path, body).await.expect(status);
    };
    choose("web", "registry.example/acme/api", 409).await;
    choose("web", "registry.example/acme/api/below", 409).await;
    choose("web", "registry.example/acme", 400).await;
    choose("web", "registry.example/other/web", 400).await;
    choose("web", "registry.example/acme/site", 200).await;
    choose("web", "elsewhere.example/a/b", 200).await;
    choose("web", "elsewhere.example/a/b", 200).await;
    choose("api", "elsewhere.example/a", 409).await;
    choose("api", "elsewhere.example/a/b/c", 409).await;
    choose("api", "elsewhere.example/a/bc", 200).await;
    let third = json!({
        "namespace": "acme", "name": "third", "repo_url": "https://git.example/acme/third",
        "image_repository": "elsewhere.example/a/b",
    });
    api.post(&root, "/v1/projects", third).await.expect(409);
}
