//! A farm with two users, their repositories and their tokens.

use chrono::TimeDelta;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use slipway_coordinator::Config;
use slipway_domain::{Name, Role, Visibility};
use slipway_farm::{ProjectAccess, ProjectUpdate, TokenRequest};
use slipway_testkit::{Backend, TestFarm};

use crate::api_client::{ApiClient, ApiResponse, BUILDS, SOURCE_URL, send};
use crate::client::Claim;
use crate::slipway_runner::SlipwayRunner;

/// A farm on which `ada` owns the private repository `ada/app` and the public `ada/pub`, and `bob`
/// owns the private `bob/x`.
pub(crate) struct Fixture {
    pub(crate) farm: TestFarm,
    /// `ada/app`, as an administrator sees it.
    pub(crate) project: ProjectAccess,
    /// Ada, with the scope `read`.
    pub(crate) reader: ApiClient,
    /// Ada, with the scope `write`.
    pub(crate) writer: ApiClient,
    /// Ada, with the scope `admin`.
    pub(crate) admin: ApiClient,
    /// Ada, with the scopes `write` and `namespaces`.
    pub(crate) namespace_writer: ApiClient,
    /// Ada, with the scope `identity`, which allows nothing in repositories.
    pub(crate) identity_only: ApiClient,
    /// Ada, with a token that has expired.
    pub(crate) expired: ApiClient,
    /// Bob, with all scopes.
    pub(crate) bob: ApiClient,
    /// No token.
    pub(crate) anonymous: ApiClient,
}

impl Fixture {
    pub(crate) async fn start(backend: Backend) -> Self {
        Self::start_with(backend, |_| {}).await
    }

    /// Like [`Fixture::start`], with a configuration that `adjust` changes.
    pub(crate) async fn start_with(backend: Backend, adjust: impl FnOnce(&mut Config)) -> Self {
        let farm = TestFarm::start_with(backend, |config| {
            config.registry = Some("registry.example".to_owned());
            adjust(config);
        });
        Self::with_farm(farm.await).await
    }

    async fn with_farm(farm: TestFarm) -> Self {
        let project = farm.project("ada/app").await;
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
        create_robot(&farm, "ada", "puller").await;
        create_robot(&farm, "bob", "bot").await;
        let client = async |scopes: &str, lifetime: Option<TimeDelta>| {
            let token = create_token(&farm, "ada", scopes, lifetime).await;
            ApiClient::new(&farm, Some(&token))
        };
        let expired = client("read", Some(TimeDelta::seconds(1))).await;
        farm.advance(2);
        Self {
            reader: client("read", None).await,
            writer: client("write", None).await,
            admin: client("admin", None).await,
            namespace_writer: client("write,namespaces", None).await,
            identity_only: client("identity", None).await,
            expired,
            bob: ApiClient::new(&farm, Some(&bob)),
            anonymous: ApiClient::new(&farm, None),
            project,
            farm,
        }
    }

    /// Creates a build of `ada/app` and returns its id. The clock advances by a second before, so
    /// that builds can be ordered by time.
    pub(crate) async fn create_build(&self) -> String {
        self.create_build_in(BUILDS).await
    }

    /// Like [`Fixture::create_build`], in the repository whose builds have the path `list`.
    pub(crate) async fn create_build_in(&self, list: &str) -> String {
        self.farm.advance(1);
        let body = json!({ "archive_url": SOURCE_URL });
        let response = self.writer.post(list, &body).await;
        response.is(201).json()["id"].as_str().unwrap().to_owned()
    }

    /// Registers a `slipway-runner`. Stock runners get no package builds.
    pub(crate) async fn register_runner(&self) -> SlipwayRunner {
        SlipwayRunner::register(&self.farm).await
    }

    /// Creates a build that a runner claims.
    pub(crate) async fn claimed_build(&self) -> (String, Claim) {
        let id = self.create_build().await;
        (id, self.register_runner().await.claim().await)
    }

    /// Creates a build whose runner reports `phase`, a phase of the runner protocol.
    pub(crate) async fn build_in_phase(&self, phase: &str) -> (String, Claim) {
        let (id, claim) = self.claimed_build().await;
        report_phase(&claim, phase).await.is(200);
        (id, claim)
    }

    /// Creates a build that finishes with `state`, `success` or `failed`.
    pub(crate) async fn finished_build(&self, state: &str) -> (String, Claim) {
        let (id, claim) = self.claimed_build().await;
        claim.put(json!({ "state": state })).await.is(200);
        (id, claim)
    }

    /// Uploads a file and returns its id and its upload URL.
    pub(crate) async fn upload_file(&self, client: &ApiClient, content: &[u8]) -> (String, String) {
        let body = json!({"mimeType": "text/plain"});
        let response = client.post("/api/v1/filedrop/", &body).await;
        let upload = response.is(200).json();
        let url = upload["url"].as_str().unwrap().to_owned();
        let request = self.anonymous.request(Method::PUT, &url);
        let request = request
            .header(CONTENT_TYPE, "text/plain")
            .body(content.to_vec());
        send(request).await.is(200);
        (upload["file_id"].as_str().unwrap().to_owned(), url)
    }

    /// All entries of the log of a build of `ada/app`, from `/logs` or from the archive.
    pub(crate) async fn complete_log(&self, id: &str) -> Vec<Value> {
        let path = format!("{BUILDS}{id}/logs");
        let log = self.writer.get(&path).await.is(200).json();
        let log = match log["logs_url"].as_str() {
            Some(url) => self.writer.get(url).await.is(200).json(),
            None => log,
        };
        log["logs"].as_array().unwrap().clone()
    }

    /// The phase of a build of `ada/app`.
    pub(crate) async fn phase(&self, id: &str) -> String {
        let build = self.reader.get(&format!("{BUILDS}{id}")).await;
        build.is(200).json()["phase"].as_str().unwrap().to_owned()
    }
}

/// Creates the robot `namespace+short_name`.
async fn create_robot(farm: &TestFarm, namespace: &str, short_name: &str) {
    let (admin, namespace) = (farm.admin().await, namespace.parse().unwrap());
    let access = farm.farm().registry_accounts(&admin, &namespace).await;
    let (access, short_name) = (access.unwrap(), short_name.parse().unwrap());
    let created = farm
        .farm()
        .set_robot(&access, &short_name, "registry.example", "secret");
    created.await.unwrap();
}

/// Creates a token of a user. `scopes` are named as the farm names them.
async fn create_token(
    farm: &TestFarm,
    user: &str,
    scopes: &str,
    lifetime: Option<TimeDelta>,
) -> String {
    let (admin, user): (_, Name) = (farm.admin().await, user.parse().unwrap());
    let request = TokenRequest {
        name: "test".to_owned(),
        scopes: scopes.parse().unwrap(),
        expires_at: lifetime.map(|lifetime| farm.clock.now() + lifetime),
    };
    let created = farm.farm().create_token_for(&admin, &user, request).await;
    created.unwrap().1.expose().to_owned()
}

/// Reports that a running job is in `phase`, a phase of the runner protocol.
pub(crate) async fn report_phase(claim: &Claim, phase: &str) -> ApiResponse {
    claim.put(json!({"state": "running", "phase": phase})).await
}
