//! Projects, pipelines, variables and registry credentials.

use serde_json::json;

use crate::support::Api;

const PROJECT: &str = "/v1/projects/acme/api";

#[actix_web::test]
async fn a_new_project_has_a_default_pipeline_and_can_be_changed() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.as_str();
    let project = api
        .get(root, "/v1/projects/ACME/Api")
        .await
        .expect(200)
        .json();
    assert_eq!(project["default_branch"], "main");
    assert_eq!(project["shared_runners"], true);
    let pipelines = api.get(root, &format!("{PROJECT}/pipelines")).await;
    assert_eq!(pipelines.expect(200).json()["items"][0]["slug"], "default");

    let change = json!({"max_running": 2, "image_repository": "r.example/acme/api"});
    let changed = api.patch(root, PROJECT, change).await.expect(200).json();
    assert_eq!(changed["max_running"], 2);
    let lifted = api.patch(root, PROJECT, json!({"max_running": null})).await;
    let lifted = lifted.expect(200).json();
    assert_eq!(lifted["max_running"], json!(null));
    assert_eq!(lifted["image_repository"], "r.example/acme/api");
    for bad in [
        json!({"max_running": 0}),
        json!({"repo_url": "file:///etc"}),
        json!({"repo_url": "https://me:secret@git.example/a"}),
        json!({"image_repository": "acme"}),
        json!({"default_branch": "a..b"}),
    ] {
        let refused = api.patch(root, PROJECT, bad).await.expect(400);
        assert!(!String::from_utf8_lossy(&refused.body).contains("secret"));
    }
    let again = json!({"namespace": "acme", "name": "API", "repo_url": "https://git.example/a"});
    api.post(root, "/v1/projects", again).await.expect(409);
    let nowhere = json!({"namespace": "none", "name": "a", "repo_url": "https://git.example/a"});
    api.post(root, "/v1/projects", nowhere).await.expect(404);
}

#[actix_web::test]
async fn pages_follow_one_another_without_gaps() {
    let api = Api::start().await;
    let root = api.root.as_str();
    for name in ["a", "b", "c", "d", "e"] {
        api.post(root, "/v1/namespaces", json!({"name": name}))
            .await
            .expect(201);
    }
    let (mut names, mut path) = (Vec::new(), "/v1/namespaces?limit=2".to_owned());
    loop {
        let page = api.get(root, &path).await.expect(200).json();
        let items = page["items"].as_array().unwrap();
        names.extend(
            items
                .iter()
                .map(|one| one["name"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/namespaces?limit=2&before={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["e", "d", "c", "b", "a"]);
}

#[actix_web::test]
async fn a_pipeline_with_a_cycle_is_rejected() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.as_str();
    let job = json!({"name": "a", "needs": ["a"], "spec": {"kind": "image_build"}});
    let ring = json!({"slug": "ring", "definition": {"jobs": [job]}});
    let path = format!("{PROJECT}/pipelines");
    let refused = api.post(root, &path, ring).await.expect(400).json();
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("needs itself")
    );

    let one = json!({"jobs": [{"name": "a", "spec": {"kind": "image_build"}}]});
    let body = json!({"slug": "nightly", "definition": one});
    api.post(root, &path, body.clone()).await.expect(201);
    api.post(root, &path, body).await.expect(409);
    let put = json!({"definition": one});
    api.put(root, &format!("{path}/nightly"), put.clone())
        .await
        .expect(200);
    api.put(root, &format!("{path}/new"), put).await.expect(200);
    let shown = api
        .get(root, &format!("{path}/new"))
        .await
        .expect(200)
        .json();
    assert_eq!(shown["definition"]["jobs"][0]["timeout_s"], 3600);
    api.get(root, &format!("{path}/none")).await.expect(404);
    api.get(root, &format!("{path}/-")).await.expect(400);
}

#[actix_web::test]
async fn a_secret_is_never_shown_again() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.as_str();
    let variables = format!("{PROJECT}/variables");
    let set = api
        .put(
            root,
            &format!("{variables}/TOKEN"),
            json!({"value": "hunter2"}),
        )
        .await;
    assert_eq!(set.expect(200).json()["value"], json!(null));
    let body = json!({"value": "1.2", "public": true});
    api.put(root, &format!("{variables}/VERSION"), body)
        .await
        .expect(200);
    let shown = api.get(root, &variables).await.expect(200);
    assert!(!String::from_utf8_lossy(&shown.body).contains("hunter2"));
    assert_eq!(shown.json()["items"][1]["value"], "1.2");
    let bad = api
        .put(root, &format!("{variables}/1X"), json!({"value": ""}))
        .await;
    bad.expect(400);
    api.delete(root, &format!("{variables}/TOKEN"))
        .await
        .expect(204);
    api.delete(root, &format!("{variables}/TOKEN"))
        .await
        .expect(404);

    let credentials = "/v1/namespaces/acme/registry-credentials";
    let body = json!({"registry": "r.example:5000", "username": "me", "password": "hunter2"});
    let set = api.put(root, credentials, body).await.expect(200);
    assert!(!String::from_utf8_lossy(&set.body).contains("hunter2"));
    let shown = api.get(root, credentials).await.expect(200).json();
    assert_eq!(shown["items"][0]["username"], "me");
    assert!(shown["items"][0].get("password").is_none());
    let bad = json!({"registry": "https://r.example", "username": "me", "password": "hunter2"});
    let refused = api.put(root, credentials, bad).await.expect(400);
    assert!(!String::from_utf8_lossy(&refused.body).contains("hunter2"));
    let path = format!("{credentials}/r.example:5000");
    api.delete(root, &path).await.expect(204);
    api.delete(root, &path).await.expect(404);
}

#[actix_web::test]
async fn robots_are_set_and_deleted_without_changing_registry_credentials() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.as_str();
    let credentials = "/v1/namespaces/acme/registry-credentials";
    let body = json!({"registry": "r.example", "username": "me", "password": "pass"});
    api.put(root, credentials, body).await.expect(200);

    let robots = "/v1/namespaces/acme/robots";
    let puller = format!("{robots}/puller");
    for registry in ["q.example", "r.example"] {
        let body = json!({"registry": registry, "password": "hunter2"});
        let set = api.put(root, &puller, body).await.expect(200);
        assert!(!String::from_utf8_lossy(&set.body).contains("hunter2"));
    }
    let shown = api.get(root, robots).await.expect(200).json();
    assert_eq!(shown["items"].as_array().unwrap().len(), 1);
    assert_eq!(shown["items"][0]["username"], "acme+puller");
    assert_eq!(shown["items"][0]["registry"], "r.example");
    let login = api.get(root, credentials).await.expect(200).json();
    assert_eq!(login["items"][0]["username"], "me");
    let bad = json!({"registry": "https://r.example", "password": "hunter2"});
    api.put(root, &puller, bad).await.expect(400);
    api.delete(root, &puller).await.expect(204);
    api.delete(root, &puller).await.expect(404);
}

#[actix_web::test]
async fn a_claimed_job_contains_the_variables_and_credentials_of_its_project() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.as_str();
    let path = format!("{PROJECT}/variables/TOKEN");
    api.put(root, &path, json!({"value": "first"}))
        .await
        .expect(200);
    api.put(root, &path, json!({"value": "hunter2"}))
        .await
        .expect(200);
    let body = json!({"registry": "R.example", "username": "me", "password": "pass"});
    api.put(root, "/v1/namespaces/acme/registry-credentials", body)
        .await
        .expect(200);
    api.build().await;
    let runner = api.runner().await;
    let secrets = api.claim(&runner).await.secrets;
    let variables = secrets.variables.iter();
    let variables: Vec<_> = variables
        .map(|variable| {
            (
                variable.key.as_str(),
                variable.value.as_str(),
                variable.public,
            )
        })
        .collect();
    assert_eq!(variables, [("TOKEN", "hunter2", false)]);
    let login = ("r.example".to_owned(), "me".to_owned(), "pass".to_owned());
    assert_eq!(secrets.credentials, [login]);
}

#[actix_web::test]
async fn a_secret_that_is_too_short_to_be_masked_is_stored_with_a_warning() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.as_str();
    let path = format!("{PROJECT}/variables/TOKEN");
    let set = async |body| api.put(root, &path, body).await.expect(200).json();
    let short = "shorter than 4 bytes, and is not masked in traces.";
    let warned = set(json!({"value": "abc"})).await;
    assert_eq!(warned["warning"], format!("The value is {short}"));
    let lines = set(json!({"value": "somebody\nhunter2"})).await;
    let warning = lines["warning"].as_str().unwrap();
    assert!(warning.contains("1 line shorter than 8 bytes"), "{warning}");
    for body in [
        json!({"value": "hunter22"}),
        json!({"value": "abc", "public": true}),
    ] {
        assert!(set(body).await["warning"].is_null());
    }
    let login = json!({"registry": "r.example", "username": "me", "password": "pw"});
    let path = "/v1/namespaces/acme/registry-credentials";
    let warned = api.put(root, path, login).await.expect(200).json();
    assert_eq!(warned["warning"], format!("The password is {short}"));
}

#[actix_web::test]
async fn only_owners_delete_a_project() {
    let api = Api::start().await;
    api.project().await;
    let build = api.build().await;
    let path = "/v1/projects/acme/api";
    let ann = api.user("ann", &["admin"]).await;
    let member = format!("{path}/members/ann");
    let role = json!({"role": "maintainer"});
    api.put(&api.root, &member, role).await.expect(200);
    api.delete(&ann, path).await.expect(403);
    api.delete(&api.root, path).await.expect(204);
    api.get(&api.root, path).await.expect(404);
    let build = format!("/v1/builds/{}", build["id"].as_str().unwrap());
    api.get(&api.root, &build).await.expect(404);
    api.delete(&api.root, path).await.expect(404);
    // The name is free again.
    let again = json!({"namespace": "acme", "name": "api", "repo_url": "https://git.example/a"});
    api.post(&api.root, "/v1/projects", again).await.expect(201);
}

#[actix_web::test]
async fn a_trigger_is_created_listed_and_revoked() {
    let api = Api::start().await;
    api.project().await;
    let path = "/v1/projects/acme/api/triggers";
    let body = json!({"description": "nightly"});
    let created = api.post(&api.root, path, body).await.expect(201).json();
    assert!(created["token"].as_str().unwrap().starts_with("sltrg-"));
    assert_eq!(created["description"], "nightly");
    let list = api.get(&api.root, path).await.expect(200).json();
    assert_eq!(list["items"], json!([created]));
    let one = format!("{path}/{}", created["id"]);
    api.delete(&api.root, &one).await.expect(204);
    api.delete(&api.root, &one).await.expect(404);
    let list = api.get(&api.root, path).await.expect(200).json();
    assert_eq!(list["items"], json!([]));
}

#[actix_web::test]
async fn a_project_runner_can_be_enabled_for_another_project() {
    let api = Api::start().await;
    api.project().await;
    let other = json!({"namespace": "acme", "name": "web", "repo_url": "https://git.example/web"});
    api.post(&api.root, "/v1/projects", other).await.expect(201);
    let path = "/v1/projects/acme/api/registration-tokens";
    let created = api.post(&api.root, path, json!({"description": "d"})).await;
    let token = created.expect(201).json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let request = slipway_farm::RunnerRequest {
        run_untagged: true,
        ..slipway_farm::RunnerRequest::default()
    };
    let token = slipway_domain::RegistrationToken::presented(token);
    let (runner, _) = api.farm.register_runner(&token, request).await.unwrap();
    let there = format!("/v1/projects/acme/web/runners/{}", runner.id);
    let here = format!("/v1/projects/acme/api/runners/{}", runner.id);
    let enabled = api
        .put(&api.root, &there, json!({}))
        .await
        .expect(200)
        .json();
    assert_eq!(enabled["projects"], json!([1, 2]));
    api.put(&api.root, &there, json!({})).await.expect(409);
    let list = api.get(&api.root, "/v1/projects/acme/web/runners").await;
    assert_eq!(list.expect(200).json()["items"], json!([enabled]));
    api.delete(&api.root, &there).await.expect(204);
    api.delete(&api.root, &there).await.expect(404);
    api.delete(&api.root, &here).await.expect(403);
    let shared = api.runner().await;
    let there = format!("/v1/projects/acme/web/runners/{}", shared.id);
    api.put(&api.root, &there, json!({})).await.expect(403);
}

/// A key pair from `ssh-keygen`.
fn key_pair(dir: &std::path::Path, passphrase: &str) -> (String, String) {
    std::fs::create_dir_all(dir).unwrap();
    let mut keygen = std::process::Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ecdsa", "-C", "test", "-N", passphrase]);
    let created = keygen.args(["-f", "key"]).current_dir(dir).status();
    assert!(created.unwrap().success());
    let read = |name| std::fs::read_to_string(dir.join(name)).unwrap();
    (read("key"), read("key.pub").trim().to_owned())
}

#[actix_web::test]
async fn a_deploy_key_is_set_and_shown_without_its_secret_half() {
    const KEY: &str = "/v1/projects/acme/api/deploy-key";
    let api = Api::start().await;
    api.project().await;
    let root = api.root.as_str();
    api.get(root, KEY).await.expect(404);
    let behind_ssh = json!({"repo_url": "git@git.example:acme/api.git"});
    api.patch(root, PROJECT, behind_ssh).await.expect(200);
    let created = api.put(root, KEY, json!({"generate": true})).await;
    let created = created.expect(200).json();
    assert_eq!(created["server"], "ssh://git.example:22");
    assert!(
        created["fingerprint"]
            .as_str()
            .unwrap()
            .starts_with("SHA256:")
    );
    let public = created["public_key"].as_str().unwrap();
    assert!(public.starts_with("ssh-ed25519 ") && public.ends_with(" slipway:acme/api"));
    assert_eq!(api.get(root, KEY).await.expect(200).json(), created);
    let again = api.put(root, KEY, json!({"generate": true})).await;
    assert_ne!(
        again.expect(200).json()["public_key"],
        created["public_key"]
    );

    let dir = tempfile::tempdir().unwrap();
    let (private, public) = key_pair(dir.path(), "");
    let known = "git.example ".to_owned() + public.split_once(" test").unwrap().0;
    let given = json!({"private_key": private, "known_hosts": known});
    let given = api.put(root, KEY, given).await.expect(200);
    assert!(!String::from_utf8_lossy(&given.body).contains("PRIVATE"));
    assert_eq!(given.json()["public_key"], public.as_str());
    assert_eq!(given.json()["known_hosts"], format!("{known}\n"));

    let (locked, _) = key_pair(&dir.path().join("locked"), "hunter2");
    for (bad, why) in [
        (json!({}), "give private_key"),
        (
            json!({"generate": true, "private_key": private}),
            "give private_key",
        ),
        (json!({"username": "u"}), "give private_key"),
        (json!({"private_key": "nonsense"}), "OpenSSH"),
        (json!({"private_key": locked}), "passphrase"),
        (json!({"generate": true, "known_hosts": "x"}), "ssh-keyscan"),
        (json!({"username": "u", "password": "hunter2"}), "http"),
    ] {
        let refused = api.put(root, KEY, bad).await.expect(400);
        let text = String::from_utf8_lossy(&refused.body);
        assert!(text.contains(why) && !text.contains("hunter2"), "{text}");
    }

    let behind_http = json!({"repo_url": "https://git.example/acme/api.git"});
    api.patch(root, PROJECT, behind_http).await.expect(200);
    let token = json!({"username": "deploy", "password": "hunter2"});
    let token = api.put(root, KEY, token).await.expect(200);
    assert!(!String::from_utf8_lossy(&token.body).contains("hunter2"));
    assert_eq!(token.json()["server"], "https://git.example");
    assert_eq!(token.json()["username"], "deploy");
    let key = api.put(root, KEY, json!({"generate": true})).await;
    key.expect(400);
    api.delete(root, KEY).await.expect(204);
    api.delete(root, KEY).await.expect(404);
}

#[actix_web::test]
async fn the_submodules_setting_of_a_project_can_be_changed() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.as_str();
    let project = api.get(root, PROJECT).await.expect(200).json();
    assert_eq!(project["submodules"], "recursive");
    for wanted in ["none", "normal", "recursive"] {
        let changed = api.patch(root, PROJECT, json!({"submodules": wanted}));
        assert_eq!(changed.await.expect(200).json()["submodules"], wanted);
    }
    let odd = api.patch(root, PROJECT, json!({"submodules": "some"}));
    odd.await.expect(400);
}
