//! Every route requires a token, and hides objects from users without a role.

use serde_json::{Value, json};

use crate::support::{Api, SHA};

/// All documented routes, with ids of existing objects as path parameters.
fn routes(build: &Value, artifact: i64, runner: i64) -> Vec<(String, String)> {
    let document = serde_json::to_value(slipway_api_native::openapi()).unwrap();
    let job = build["jobs"][0]["id"].to_string();
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let id = match path.split('/').nth(2).unwrap() {
            "jobs" => job.clone(),
            "artifacts" => artifact.to_string(),
            "runners" => runner.to_string(),
            _ => "1".to_owned(),
        };
        let path = path
            .replace("{ns}", "acme")
            .replace("{name}", "api")
            .replace("{user}", "root")
            .replace("{registry}", "registry.example")
            .replace("{key}", "KEY")
            .replace("{robot}", "puller")
            .replace("{slug}", "default")
            .replace("{uuid}", build["id"].as_str().unwrap())
            .replace("{id}", &id);
        assert!(!path.contains('{'), "{path}");
        for method in ["get", "put", "post", "patch", "delete"] {
            if methods.get(method).is_some() {
                routes.push((method.to_uppercase(), path.clone()));
            }
        }
    }
    assert!(routes.len() > 50);
    routes
}

/// A valid body for each route.
fn body(method: &str, path: &str) -> Option<Value> {
    let definition = json!({"jobs": [{"name": "image", "spec": {"kind": "image_build"}}]});
    match (method, path.rsplit('/').next().unwrap()) {
        ("GET" | "DELETE", _) => None,
        (_, "cancel" | "retry" | "erase" | "play" | "keep" | "log-keys" | "reset") => None,
        ("POST", "rotate") => Some(json!({})),
        ("POST", "users" | "namespaces") => Some(json!({"name": "other"})),
        // A runner's id: this route has no body.
        ("PUT", "1") => None,
        ("PUT", "password") => Some(json!({"new": "a password of a story"})),
        ("POST", "triggers") => Some(json!({"description": "d"})),
        ("POST", "tokens") => Some(json!({"name": "t", "scopes": ["read"]})),
        ("POST", "registration-tokens" | "runners") => Some(json!({"description": "d"})),
        ("POST", "projects") => {
            Some(json!({"namespace": "acme", "name": "x", "repo_url": "https://git.example/x"}))
        }
        ("POST", "pipelines") => Some(json!({"slug": "other", "definition": definition})),
        // The wrong content type is an error only for callers who may build.
        ("POST", "sources") => Some(json!({})),
        ("POST", "check") => Some(json!({})),
        ("POST", "builds") => Some(json!({"sha": SHA})),
        ("PUT", "registry-credentials") => {
            Some(json!({"registry": "r.example", "username": "u", "password": "p"}))
        }
        ("PUT", "puller") => Some(json!({"registry": "r.example", "password": "p"})),
        ("PUT", "webhook-secret") => Some(json!({"secret": "0123456789abcdef"})),
        ("PUT", "deploy-key") => Some(json!({"username": "u", "password": "p"})),
        ("PUT", "KEY") => Some(json!({"value": "v"})),
        ("PUT", "default") => Some(json!({"definition": definition})),
        ("PUT", "root") => Some(json!({"role": "reader"})),
        ("PATCH", _) => Some(json!({})),
        other => panic!("no body known for {other:?}"),
    }
}

/// A farm with one object of each kind.
async fn start_full() -> (Api, Vec<(String, String)>) {
    let api = Api::start().await;
    api.project().await;
    let build = api.build().await;
    let runner = api.runner().await;
    let claimed = api.claim(&runner).await;
    let content = futures_util::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from("zip"))]);
    let job = api
        .farm
        .running_job_access(claimed.job.id, &claimed.token)
        .await
        .unwrap();
    let received = api.farm.receive_archive(&job, content).await.unwrap();
    let kept = api.farm.put_file(
        &job,
        received,
        slipway_farm::FileKind::Archive,
        "a.zip".to_owned(),
        None,
    );
    let artifact = kept.await.unwrap();
    let routes = routes(&build, artifact.id.0, runner.id.0);
    (api, routes)
}

#[actix_web::test]
async fn every_route_answers_401_without_a_valid_token() {
    let (api, routes) = start_full().await;
    for (method, path) in routes {
        for headers in [&[][..], &[("private-token", "slpat-nobodys")][..]] {
            let response = api.call_with(&method, &path, headers, None).await;
            assert_eq!(response.status.as_u16(), 401, "{method} {path}");
            assert_eq!(response.json()["error"]["code"], "unauthorized");
            assert!(response.headers.contains_key("www-authenticate"));
        }
    }
}

/// A user who is a member of nothing sees itself and empty lists, and can create its own tokens and
/// namespaces. Everything else is 404, or 403 if it is only for administrators.
#[actix_web::test]
async fn a_user_without_a_role_gets_404_for_existing_objects() {
    let own = [
        ("GET", "/v1/user", 200),
        ("GET", "/v1/tokens", 200),
        ("POST", "/v1/tokens", 201),
        ("DELETE", "/v1/tokens", 204),
        ("DELETE", "/v1/users/root/tokens", 403),
        ("GET", "/v1/namespaces", 200),
        ("POST", "/v1/namespaces", 201),
        ("GET", "/v1/projects", 200),
        ("GET", "/v1/runners", 200),
        ("POST", "/v1/runners", 403),
        ("GET", "/v1/queue", 200),
        ("GET", "/v1/status", 200),
        ("GET", "/v1/users", 403),
        ("POST", "/v1/users", 403),
        ("PATCH", "/v1/users/root", 403),
        ("PUT", "/v1/user/password", 204),
        ("PUT", "/v1/users/root/password", 403),
        ("POST", "/v1/users/root/tokens", 403),
        ("POST", "/v1/log-keys", 403),
        ("GET", "/v1/registration-tokens", 403),
        ("POST", "/v1/registration-tokens", 403),
    ];
    let (api, routes) = start_full().await;
    let scopes = ["read", "write", "admin"];
    let mut stranger = api.user("stranger", &scopes).await;
    for (method, path) in routes {
        let token = [("private-token", stranger.as_str())];
        let response = api
            .call_with(&method, &path, &token, body(&method, &path))
            .await;
        let known = own.iter().find(|(m, p, _)| *m == method && *p == path);
        let expected = known.map_or(404, |(_, _, status)| *status);
        let text = String::from_utf8_lossy(&response.body).into_owned();
        assert_eq!(
            response.status.as_u16(),
            expected,
            "{method} {path}: {text}"
        );
        if method == "DELETE" && path == "/v1/tokens" {
            assert!(!api.works(&stranger).await);
            stranger = api.token("stranger", &scopes).await;
        }
        let is_own = ["/v1/user", "/v1/tokens", "/v1/status"].contains(&path.as_str());
        if method == "GET" && expected == 200 && !is_own {
            assert_eq!(response.json()["items"], json!([]), "{path}");
        }
    }
}

#[actix_web::test]
async fn a_read_token_gets_403_for_every_change() {
    let (api, routes) = start_full().await;
    let reader = api.token("root", &["read"]).await;
    for (method, path) in routes {
        let token = [("private-token", reader.as_str())];
        if method == "GET" {
            continue;
        }
        let response = api
            .call_with(&method, &path, &token, body(&method, &path))
            .await;
        let text = String::from_utf8_lossy(&response.body).into_owned();
        assert_eq!(response.status.as_u16(), 403, "{method} {path}: {text}");
    }
}

/// The scope namespaces manages the robots and registry logins of namespaces, and nothing else, even
/// for their owners: above all, it names no members.
#[actix_web::test]
async fn a_namespaces_token_manages_registry_accounts_only() {
    let allowed = [
        ("GET", "/v1/user"),
        ("GET", "/v1/tokens"),
        ("GET", "/v1/namespaces"),
        ("GET", "/v1/namespaces/acme"),
        ("GET", "/v1/namespaces/acme/members"),
        ("GET", "/v1/namespaces/acme/robots"),
        ("PUT", "/v1/namespaces/acme/robots/puller"),
        ("DELETE", "/v1/namespaces/acme/robots/puller"),
        ("GET", "/v1/namespaces/acme/registry-credentials"),
        ("PUT", "/v1/namespaces/acme/registry-credentials"),
        (
            "DELETE",
            "/v1/namespaces/acme/registry-credentials/registry.example",
        ),
    ];
    let (api, routes) = start_full().await;
    api.user("olga", &["admin"]).await;
    api.member("namespaces/acme", "olga", "owner").await;
    let narrow = api.token("olga", &["namespaces"]).await;
    let mut used = 0;
    for (method, path) in routes {
        let token = [("private-token", narrow.as_str())];
        let body = body(&method, &path);
        let response = api.call_with(&method, &path, &token, body).await;
        let status = response.status.as_u16();
        if allowed.contains(&(method.as_str(), path.as_str())) {
            used += 1;
            // What is deleted need not exist.
            assert!(status != 403 && status != 401, "{method} {path}: {status}");
        } else {
            assert!(status == 403 || status == 404, "{method} {path}: {status}");
        }
    }
    assert_eq!(used, allowed.len());
}

#[actix_web::test]
async fn unknown_routes_and_methods_have_the_same_error_format() {
    let api = Api::start().await;
    let response = api.get(&api.root, "/v1/nothing").await.expect(404);
    assert_eq!(response.json()["error"]["code"], "no_route");
    let response = api.delete(&api.root, "/v1/namespaces").await.expect(405);
    assert_eq!(response.header("allow"), "GET, POST");
}

#[actix_web::test]
async fn the_openapi_document_is_public_and_complete() {
    let api = Api::start().await;
    let document = api.call_with("GET", "/v1/openapi.json", &[], None).await;
    let document = document.expect(200).json();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for operation in methods.as_object().unwrap().values() {
            let text = operation.to_string();
            assert!(text.contains("ErrorBody"), "{path}");
            assert!(
                operation["description"].to_string().contains("401"),
                "{path}"
            );
        }
    }
    let named = document.to_string();
    for reference in named.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(
            document["components"]["schemas"].get(name).is_some(),
            "{name}"
        );
    }
    let page = api
        .call_with("GET", "/v1/docs", &[], None)
        .await
        .expect(200);
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(!text.contains("http://") && !text.contains("https://"));
}

#[actix_web::test]
async fn a_token_is_accepted_in_headers_basic_auth_and_the_query() {
    use base64::Engine;
    let api = Api::start().await;
    let root = api.root.as_str();
    let login = base64::engine::general_purpose::STANDARD.encode(format!("root:{root}"));
    for (name, value) in [
        ("private-token", root.to_owned()),
        ("authorization", format!("Bearer {root}")),
        ("authorization", format!("Basic {login}")),
    ] {
        let header = [(name, value.as_str())];
        let response = api.call_with("GET", "/v1/user", &header, None).await;
        assert_eq!(response.expect(200).json()["name"], "root");
    }
    let path = format!("/v1/user?private_token={root}");
    api.call_with("GET", &path, &[], None).await.expect(200);
}

#[actix_web::test]
async fn invalid_paths_queries_and_bodies_are_client_errors() {
    let api = Api::start().await;
    let root = api.root.as_str();
    for path in [
        "/v1/jobs/x",
        "/v1/jobs/99999999999999999999",
        "/v1/builds/x",
        "/v1/namespaces/a%20b",
        "/v1/projects?limit=0",
        "/v1/projects?limit=101",
        "/v1/projects?before=12",
        "/v1/artifacts/-",
        "/v1/runners/x",
    ] {
        let response = api.get(root, path).await.expect(400);
        assert_eq!(response.json()["error"]["code"], "malformed", "{path}");
    }
    for body in [
        json!({}),
        json!({"name": 1}),
        json!({"name": "a b"}),
        json!({"name": "a", "x": 1}),
    ] {
        api.post(root, "/v1/namespaces", body).await.expect(400);
    }
    let token = [("private-token", root)];
    let response = api.call_with("POST", "/v1/namespaces", &token, None).await;
    response.expect(415);
    let large = json!({"name": "a".repeat(2 << 20)});
    let response = api.post(root, "/v1/namespaces", large).await.expect(413);
    assert_eq!(response.json()["error"]["code"], "too_large");
}
