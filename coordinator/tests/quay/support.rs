//! What the checks share: a farm with two people, their repositories and their tokens, a client of
//! the API, and a runner that is ours.

use chrono::TimeDelta;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use slipway_coordinator::Config;
use slipway_domain::{Name, Role, Visibility};
use slipway_farm::{ProjectAccess, ProjectUpdate, TokenRequest};
use slipway_testkit::{Backend, TestFarm};

pub(crate) use crate::client::{ApiResponse, Claim};
use crate::slipway_runner::SlipwayRunner;

/// The builds of `ada/app`, `L` in the checks.
pub(crate) const L: &str = "/api/v1/repository/ada/app/build/";
/// The source that most builds are of.
pub(crate) const URL: &str = "https://example.com/src.tar.gz";

/// A farm with the people, repositories and tokens that the checks are about.
pub(crate) struct World {
    pub(crate) farm: TestFarm,
    /// `ada/app`, which is private, for an administrator.
    pub(crate) app: ProjectAccess,
    /// A token of ada's for looking.
    pub(crate) r: Client,
    /// For looking and building.
    pub(crate) w: Client,
    /// For everything in repositories.
    pub(crate) a: Client,
    /// For building, and for namespaces and their robots.
    pub(crate) wo: Client,
    /// For knowing who ada is, and nothing else.
    pub(crate) n: Client,
    /// One that has expired.
    pub(crate) x: Client,
    /// A token of bob's for everything.
    pub(crate) bob: Client,
    /// No token at all.
    pub(crate) nobody: Client,
}

impl World {
    pub(crate) async fn start(backend: Backend) -> Self {
        Self::with(backend, |_| {}).await
    }

    /// The same with a configuration that `adjust` has changed.
    pub(crate) async fn with(backend: Backend, adjust: impl FnOnce(&mut Config)) -> Self {
        let farm = TestFarm::start_with(backend, |config| {
            config.registry = Some("registry.example".to_owned());
            adjust(config);
        });
        Self::of(farm.await).await
    }

    async fn of(farm: TestFarm) -> Self {
        let app = farm.project("ada/app").await;
        let public = farm.project("ada/pub").await;
        let change = ProjectUpdate {
            visibility: Some(Visibility::Public),
            public_builds: Some(true),
            ..ProjectUpdate::default()
        };
        farm.change_project(&public, change).await;
        farm.project("bob/x").await;
        let bob = farm.user("bob").await;
        farm.user("ada").await;
        farm.namespace_member("ada", "ada", Role::Owner).await;
        farm.namespace_member("bob", "bob", Role::Owner).await;
        robot(&farm, "ada", "puller").await;
        robot(&farm, "bob", "bot").await;
        let token = async |scopes: &str, lasts: Option<TimeDelta>| {
            let token = token(&farm, "ada", scopes, lasts).await;
            Client::of(&farm, Some(&token))
        };
        let x = token("read", Some(TimeDelta::seconds(1))).await;
        farm.advance(2);
        Self {
            r: token("read", None).await,
            w: token("write", None).await,
            a: token("admin", None).await,
            wo: token("write,namespaces", None).await,
            n: token("identity", None).await,
            x,
            bob: Client::of(&farm, Some(&bob)),
            nobody: Client::of(&farm, None),
            app,
            farm,
        }
    }

    /// A build of `ada/app` from a URL; gives its id. A second passes first, so that builds have an
    /// order.
    pub(crate) async fn build(&self) -> String {
        self.build_in(L).await
    }

    /// The same in any list of builds.
    pub(crate) async fn build_in(&self, list: &str) -> String {
        self.farm.advance(1);
        let answer = self.w.post(list, &json!({ "archive_url": URL })).await;
        answer.is(201).json()["id"].as_str().unwrap().to_owned()
    }

    /// A runner that is ours.
    pub(crate) async fn runner(&self) -> SlipwayRunner {
        SlipwayRunner::register(&self.farm).await
    }

    /// A build that a runner of ours has; gives its id.
    pub(crate) async fn claimed(&self) -> (String, Claim) {
        let id = self.build().await;
        (id, self.runner().await.claim().await)
    }

    /// A build that a runner of ours has, in a phase as the runner calls it.
    pub(crate) async fn in_phase(&self, phase: &str) -> (String, Claim) {
        let (id, claim) = self.claimed().await;
        enter(&claim, phase).await.is(200);
        (id, claim)
    }

    /// A build that is over, as `success` or `failed`.
    pub(crate) async fn ended(&self, state: &str) -> (String, Claim) {
        let (id, claim) = self.claimed().await;
        claim.put(json!({ "state": state })).await.is(200);
        (id, claim)
    }

    /// A file that was uploaded; gives its id and its URL.
    pub(crate) async fn uploaded(&self, by: &Client, content: &[u8]) -> (String, String) {
        let body = json!({"mimeType": "text/plain"});
        let place = by.post("/api/v1/filedrop/", &body).await.is(200).json();
        let url = place["url"].as_str().unwrap().to_owned();
        let put = self.nobody.request(Method::PUT, &url);
        let put = put
            .header(CONTENT_TYPE, "text/plain")
            .body(content.to_vec());
        send(put).await.is(200);
        (place["file_id"].as_str().unwrap().to_owned(), url)
    }

    /// All entries of the log of a build of `ada/app`, wherever they are.
    pub(crate) async fn whole_log(&self, id: &str) -> Vec<Value> {
        let log = self.w.get(&format!("{L}{id}/logs")).await.is(200).json();
        let log = match log["logs_url"].as_str() {
            Some(url) => self.w.get(url).await.is(200).json(),
            None => log,
        };
        log["logs"].as_array().unwrap().clone()
    }

    /// The phase of a build of `ada/app`.
    pub(crate) async fn phase(&self, id: &str) -> String {
        let build = self.r.get(&format!("{L}{id}")).await.is(200).json();
        build["phase"].as_str().unwrap().to_owned()
    }
}

/// Makes the robot `namespace+short`.
pub(crate) async fn robot(farm: &TestFarm, namespace: &str, short: &str) {
    let (admin, name) = (farm.admin().await, namespace.parse().unwrap());
    let access = farm.farm().namespace(&admin, &name, Role::Owner).await;
    let (access, short) = (access.unwrap(), short.parse().unwrap());
    let set = farm
        .farm()
        .set_robot(&access, &short, "registry.example", "secret");
    set.await.unwrap();
}

/// A token of somebody, with scopes as the farm names them.
pub(crate) async fn token(
    farm: &TestFarm,
    user: &str,
    scopes: &str,
    lasts: Option<TimeDelta>,
) -> String {
    let (admin, user): (_, Name) = (farm.admin().await, user.parse().unwrap());
    let request = TokenRequest {
        name: "a check".to_owned(),
        scopes: scopes.parse().unwrap(),
        expires_at: lasts.map(|lasts| farm.clock.now() + lasts),
    };
    let made = farm.farm().create_token_for(&admin, &user, request).await;
    made.unwrap().1.expose().to_owned()
}

/// Tells that a job is in a phase, as the runner calls it.
pub(crate) async fn enter(claim: &Claim, phase: &str) -> ApiResponse {
    claim.put(json!({"state": "running", "phase": phase})).await
}

/// A client of the API, with or without a token. It follows nothing.
#[derive(Clone)]
pub(crate) struct Client {
    base: String,
    /// The token.
    pub(crate) token: String,
    http: reqwest::Client,
}

impl Client {
    /// A client with any token.
    pub(crate) fn of(farm: &TestFarm, token: Option<&str>) -> Self {
        Self {
            base: farm.url(""),
            token: token.unwrap_or_default().to_owned(),
            http: slipway_testkit::http()
                .redirect(Policy::none())
                .build()
                .unwrap(),
        }
    }

    /// A request without a credential. What is below the farm's address, or a whole URL.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        let url = match path.starts_with("http") {
            true => path.to_owned(),
            false => format!("{}{path}", self.base),
        };
        self.http.request(method, url)
    }

    /// A request with the token, if there is one.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.bare(method, path);
        match self.token.is_empty() {
            true => request,
            false => request.bearer_auth(&self.token),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> ApiResponse {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> ApiResponse {
        send(self.request(Method::DELETE, path)).await
    }

    /// Sends a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> ApiResponse {
        send(self.request(Method::POST, path).json(body)).await
    }

    /// Asks for a build with a JSON body, which is made; gives it.
    pub(crate) async fn makes(&self, body: &Value) -> Value {
        self.post(L, body).await.is(201).json()
    }
}

/// Sends a request.
pub(crate) async fn send(request: RequestBuilder) -> ApiResponse {
    let answer = ApiResponse::to(request).await;
    let origin = answer.header("access-control-allow-origin");
    assert_eq!(origin, Some("*"), "{answer:?}");
    answer
}

impl ApiResponse {
    /// The status is the one expected, and the body is a *problem* of this kind; gives it.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, kind: &str) -> Value {
        let answer = self.is(status);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("www-authenticate"), None);
        let body = answer.json();
        assert_eq!(body["status"], status, "{body}");
        assert_eq!(body["error_type"], kind, "{body}");
        assert_eq!(body["title"], kind, "{body}");
        assert_eq!(body["detail"], body["error_message"], "{body}");
        let about = format!("/api/v1/error/{kind}");
        let described = body["type"].as_str().unwrap();
        assert!(described.starts_with("http"), "{body}");
        assert!(described.ends_with(&about), "{body}");
        body
    }

    /// [`ApiResponse::problem`], with this detail.
    #[track_caller]
    pub(crate) fn details(self, status: u16, kind: &str, detail: &str) {
        assert_eq!(self.problem(status, kind)["detail"], detail);
    }

    /// The status is the one expected, and the body has a *message* and no problem; gives it.
    #[track_caller]
    pub(crate) fn message(self, status: u16) -> Value {
        let body = self.is(status).json();
        assert!(body.get("error_type").is_none(), "{body}");
        body.get("message").expect("a message").clone()
    }

    /// 200 with builds, of which it gives the ids.
    #[track_caller]
    pub(crate) fn ids(self) -> Vec<String> {
        let body = self.is(200).json();
        let builds = body["builds"].as_array().unwrap();
        let id = |build: &Value| build["id"].as_str().unwrap().to_owned();
        builds.iter().map(id).collect()
    }
}
