//! Users, tokens, members and registration tokens.

use serde_json::json;

use crate::support::Api;

#[actix_web::test]
async fn the_tokens_of_a_blocked_user_do_not_work() {
    let api = Api::start().await;
    let ann = api.user("ann", &["read"]).await;
    assert!(api.works(&ann).await);
    let blocked = api
        .patch(&api.root, "/v1/users/ann", json!({"active": false}))
        .await;
    assert_eq!(blocked.expect(200).json()["active"], false);
    api.get(&ann, "/v1/user").await.expect(401);
    let path = "/v1/users/ann";
    api.patch(&api.root, path, json!({"active": true}))
        .await
        .expect(200);
    api.get(&ann, "/v1/user").await.expect(200);
    let none = api.patch(&api.root, "/v1/users/nobody", json!({})).await;
    none.expect(404);
    let oneself = api
        .patch(&api.root, "/v1/users/root", json!({"admin": false}))
        .await;
    oneself.expect(409);
    let twice = api
        .post(&api.root, "/v1/users", json!({"name": "ANN"}))
        .await;
    twice.expect(409);
}

#[actix_web::test]
async fn a_token_is_shown_once_and_cannot_exceed_its_scopes() {
    let api = Api::start().await;
    let ann = api.user("ann", &["admin"]).await;
    let body = json!({"name": "ci", "scopes": ["read", "write"]});
    let created = api
        .post(&ann, "/v1/tokens", body.clone())
        .await
        .expect(201)
        .json();
    let ci = created["token"].as_str().unwrap();
    assert!(ci.starts_with("slpat-"));
    let shown = api.get(&ann, "/v1/tokens").await.expect(200).json();
    assert!(!shown.to_string().contains(ci));
    assert_eq!(shown["items"][0]["scopes"], json!(["read", "write"]));

    api.post(ci, "/v1/tokens", body).await.expect(403);
    let path = format!("/v1/tokens/{}", shown["items"][1]["id"]);
    api.delete(ci, &path).await.expect(403);
    let own = format!("/v1/tokens/{}", created["id"]);
    api.delete(ci, &own).await.expect(204);
    api.get(ci, "/v1/user").await.expect(401);
    api.delete(&ann, &own).await.expect(404);
    api.delete(&ann, "/v1/tokens/1").await.expect(404);

    for body in [
        json!({"name": "x", "scopes": []}),
        json!({"name": "x", "scopes": ["root"]}),
        json!({"name": "", "scopes": ["read"]}),
        json!({"name": "x", "scopes": ["read"], "expires_at": "2001-01-01T00:00:00Z"}),
    ] {
        api.post(&ann, "/v1/tokens", body).await.expect(400);
    }
    let body = json!({"name": "x", "scopes": ["read"]});
    api.post(&api.root, "/v1/users/nobody/tokens", body)
        .await
        .expect(404);
}

#[actix_web::test]
async fn a_namespace_always_has_an_owner() {
    let api = Api::start().await;
    let ann = api.user("ann", &["admin"]).await;
    api.user("bob", &["admin"]).await;
    api.post(&ann, "/v1/namespaces", json!({"name": "own"}))
        .await
        .expect(201);
    api.post(&ann, "/v1/namespaces", json!({"name": "OWN"}))
        .await
        .expect(409);
    let path = |user: &str| format!("/v1/namespaces/own/members/{user}");
    api.put(&ann, &path("ann"), json!({"role": "reader"}))
        .await
        .expect(409);
    api.delete(&ann, &path("ann")).await.expect(409);
    let member = api.put(&ann, &path("bob"), json!({"role": "owner"})).await;
    assert_eq!(
        member.expect(200).json(),
        json!({"user": "bob", "role": "owner"})
    );
    api.delete(&ann, &path("ann")).await.expect(204);
    api.get(&ann, "/v1/namespaces/own").await.expect(404);
    api.put(&api.root, &path("nobody"), json!({"role": "reader"}))
        .await
        .expect(404);
    api.put(&api.root, &path("ann"), json!({"role": "king"}))
        .await
        .expect(400);
    let list = api.get(&api.root, "/v1/namespaces/own/members").await;
    assert_eq!(
        list.expect(200).json()["items"].as_array().unwrap().len(),
        1
    );
}

#[actix_web::test]
async fn each_role_has_its_permissions_and_no_more() {
    let api = Api::start().await;
    api.project().await;
    let build = api.build().await;
    let cancel = format!("/v1/builds/{}/cancel", build["id"].as_str().unwrap());
    let expected = [
        ("reader", [200, 403, 403, 403]),
        ("developer", [200, 201, 403, 403]),
        ("maintainer", [200, 201, 200, 403]),
        ("owner", [200, 201, 200, 200]),
    ];
    for of in ["namespaces/acme", "projects/acme/api"] {
        for (role, expected) in expected {
            let name = format!("{role}-{}", of.len());
            let token = api.user(&name, &["admin"]).await;
            api.get(&token, "/v1/projects/acme/api").await.expect(404);
            api.member(of, &name, role).await;
            let project = "/v1/projects/acme/api";
            let sha = json!({"sha": crate::support::SHA});
            let statuses = [
                api.get(&token, project).await.status,
                api.post(&token, &format!("{project}/builds"), sha)
                    .await
                    .status,
                api.get(&token, &format!("{project}/variables"))
                    .await
                    .status,
                api.put(
                    &token,
                    &format!("{project}/members/root"),
                    json!({"role": "reader"}),
                )
                .await
                .status,
            ];
            assert_eq!(statuses.map(|one| one.as_u16()), expected, "{role} of {of}");
            if role == "reader" {
                api.post(&token, &cancel, json!({})).await.expect(403);
            }
        }
    }
}

#[actix_web::test]
async fn a_registration_token_cannot_exceed_the_role_of_its_creator() {
    let api = Api::start().await;
    api.project().await;
    let ann = api.user("ann", &["admin"]).await;
    api.member("projects/acme/api", "ann", "maintainer").await;
    let path = "/v1/projects/acme/api/registration-tokens";
    let body = json!({"description": "mine"});
    api.post(&ann, "/v1/registration-tokens", body.clone())
        .await
        .expect(403);
    let created = api.post(&ann, path, body.clone()).await.expect(201).json();
    assert!(created["project_id"].is_i64());
    assert_eq!(created["single_use"], true);
    let listed = api.get(&ann, path).await.expect(200).json();
    assert!(
        !listed
            .to_string()
            .contains(created["token"].as_str().unwrap())
    );

    let reader = api.user("bob", &["admin"]).await;
    api.member("projects/acme/api", "bob", "developer").await;
    api.post(&reader, path, body.clone()).await.expect(403);
    let own = format!("/v1/registration-tokens/{}", created["id"]);
    api.delete(&reader, &own).await.expect(403);
    // Only administrators see the shared token that the farm created at its first start.
    api.delete(&ann, "/v1/registration-tokens/1")
        .await
        .expect(404);
    api.delete(&ann, &own).await.expect(204);
    api.delete(&ann, &own).await.expect(404);
    api.delete(&api.root, "/v1/registration-tokens/1")
        .await
        .expect(204);
    let narrow = api.token("ann", &["write"]).await;
    api.post(&narrow, path, body).await.expect(403);
}

#[actix_web::test]
async fn a_password_is_set_by_its_user_or_by_administrators() {
    let api = Api::start().await;
    let ann = api.user("ann", &["admin"]).await;
    let own = "/v1/user/password";
    let user = api.get(&ann, "/v1/user").await.expect(200).json();
    assert_eq!(user["has_password"], false);
    let body = json!({"new": "open sesame, please"});
    let short = json!({"new": "sesame"});
    api.put(&ann, own, short.clone()).await.expect(400);
    api.put(&ann, own, body.clone()).await.expect(204);
    let user = api.get(&ann, "/v1/user").await.expect(200).json();
    assert_eq!(user["has_password"], true);
    api.put(&ann, own, body.clone()).await.expect(403);
    let change = json!({"old": "open sesame, please", "new": "quite another one"});
    api.put(&ann, own, change).await.expect(204);

    let of_ann = "/v1/users/ann/password";
    api.put(&ann, of_ann, body.clone()).await.expect(403);
    api.put(&api.root, of_ann, short).await.expect(400);
    api.put(&api.root, of_ann, body.clone()).await.expect(204);
    let nobody = "/v1/users/nobody/password";
    api.put(&api.root, nobody, body.clone()).await.expect(404);
    let oneself = "/v1/users/root/password";
    api.put(&api.root, oneself, body).await.expect(403);
    let signed_in = api
        .farm
        .sign_in("ann", "open sesame, please", [127, 0, 0, 1].into())
        .await;
    assert!(api.works(signed_in.unwrap().1.expose()).await);
}

#[actix_web::test]
async fn the_token_name_session_is_reserved() {
    let api = Api::start().await;
    let body = json!({"name": "session", "scopes": ["read"]});
    api.post(&api.root, "/v1/tokens", body).await.expect(400);
}
