//! A PostgreSQL behind a network that drops packets without closing connections.

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use slipway_coordinator::Config;
use slipway_store::DatabaseUrl;
use slipway_testkit::farm::SHA;
use slipway_testkit::proxy::Proxy;
use slipway_testkit::{Backend, TestFarm, wait_until};

use crate::client::{ApiResponse, Claim, Runner};
use crate::slipway_runner::SlipwayRunner;

const BUILDS: &str = "/v1/projects/acme/api/builds";
/// How long a call may take to fail.
const SECONDS: Duration = Duration::from_secs(20);
/// How long the farm may take to work again.
const RECOVERY: Duration = Duration::from_secs(60);

struct Fixture {
    farm: TestFarm,
    proxy: Proxy,
    runner: Runner,
    claim: Claim,
}

impl Fixture {
    /// A farm that reaches its database through a proxy, with a running job.
    async fn new() -> Self {
        let server = std::env::var(slipway_testkit::postgres::SERVER).unwrap_or_default();
        let server: url::Url = server.parse().expect("the URL of a PostgreSQL server");
        let host = server.host_str().expect("a host");
        let port = server.port().unwrap_or(5432);
        let proxy = Proxy::start(&format!("{host}:{port}")).await;
        let address = proxy.address();
        let farm = TestFarm::start_with(Backend::Postgres, |config: &mut Config| {
            let Some(DatabaseUrl::Postgres(url)) = &config.database_url else {
                panic!("a farm on PostgreSQL");
            };
            let mut url: url::Url = url.parse().unwrap();
            url.set_ip_host(address.ip()).unwrap();
            url.set_port(Some(address.port())).unwrap();
            config.database_url = Some(DatabaseUrl::Postgres(url.into()));
        });
        let farm = farm.await;
        let project = farm.project("acme/api").await;
        farm.build(&project).await;
        let runner = SlipwayRunner::register(&farm).await;
        let claim = runner.claim().await;
        Self {
            farm,
            proxy,
            runner: runner.0,
            claim,
        }
    }

    fn as_admin(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.farm.http.request(method, self.farm.url(path));
        request.bearer_auth(&self.farm.admin_token)
    }

    async fn heartbeat(&self) -> ApiResponse {
        self.claim.put(json!({"state": "running"})).await
    }

    async fn create_build(&self) -> ApiResponse {
        let create = self.as_admin(Method::POST, BUILDS);
        ApiResponse::to(create.json(&json!({"sha": SHA, "ref": "main"}))).await
    }

    /// Asserts that reads, writes, claims and heartbeats all fail soon.
    async fn assert_unavailable(&self) {
        let since = Instant::now();
        let read = ApiResponse::to(self.as_admin(Method::GET, "/v1/queue"));
        let calls = tokio::join!(
            read,
            self.create_build(),
            self.runner.poll(),
            self.heartbeat(),
            ApiResponse::to(self.as_admin(Method::GET, "/readyz")),
        );
        assert!(since.elapsed() < SECONDS, "{:?}", since.elapsed());
        for call in [calls.0, calls.1, calls.2, calls.3] {
            let call = call.is(503);
            assert!(call.header("retry-after").is_some(), "{call:?}");
        }
        calls.4.is(503);
    }

    /// Asserts that everything works again, and that the running job is not lost.
    async fn assert_recovered(&self) {
        let ready = || ApiResponse::to(self.as_admin(Method::GET, "/readyz"));
        wait_until(RECOVERY, "a farm that is ready", async || {
            ready().await.status == 200
        })
        .await;
        wait_until(RECOVERY, "a heartbeat", async || {
            self.heartbeat().await.status == 200
        })
        .await;
        let build = self.create_build().await.is(201).json();
        // Builds that were refused do not exist, and none was created later.
        let builds = self.as_admin(Method::GET, BUILDS);
        let builds = ApiResponse::to(builds).await.is(200).json();
        let builds = builds["items"].as_array().unwrap();
        assert_eq!(builds.len(), 2, "{builds:?}");
        assert_eq!(builds[0]["id"], build["id"]);
        self.claim.succeed().await;
        SlipwayRunner(self.runner.clone()).claim().await;
    }
}

#[tokio::test]
async fn postgres_that_drops_packets_fails_calls_within_seconds() {
    let fixture = Fixture::new().await;
    fixture.proxy.drop_packets();
    fixture.assert_unavailable().await;
    // Nobody waits longer because others wait.
    fixture.assert_unavailable().await;
    fixture.proxy.resume();
    fixture.assert_recovered().await;
}

#[tokio::test]
async fn postgres_connections_that_stay_silent_for_ever_are_replaced() {
    let fixture = Fixture::new().await;
    // At once, so that every connection of the pool is open.
    let many = (0..20).map(|_| ApiResponse::to(fixture.as_admin(Method::GET, BUILDS)));
    for builds in futures_util::future::join_all(many).await {
        builds.is(200);
    }
    fixture.proxy.forget_connections();
    fixture.assert_recovered().await;
}
