//! More requests than the farm takes are refused with an answer that says when to try again.

use reqwest::{Response, StatusCode};
use slipway_coordinator::Config;
use slipway_domain::AccessToken;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::connection::metric;

on_both_back_ends!(
    address_that_fails_too_often_is_refused_except_with_a_valid_token,
    token_with_too_many_requests_is_refused,
    forwarded_address_counts_only_behind_a_trusted_proxy,
    sign_ins_are_limited_for_each_account,
    sign_ins_are_limited_for_each_address,
);

fn retry_after(response: &Response) -> u64 {
    response.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap()
}

async fn address_that_fails_too_often_is_refused_except_with_a_valid_token(backend: Backend) {
    let one_failure = |config: &mut Config| config.traffic.address_failures_per_s = 1;
    let farm = TestFarm::start_with(backend, one_failure).await;
    let get = async |token: &str| {
        let get = farm.http.get(farm.url("/v1/user")).bearer_auth(token);
        get.send().await.unwrap()
    };
    assert_eq!(get(&farm.admin_token).await.status(), 200);
    let mut unauthorized = 0;
    let refused = loop {
        let response = get("wrong").await;
        match response.status() {
            StatusCode::UNAUTHORIZED => unauthorized += 1,
            _ => break response,
        }
        assert!(unauthorized < 1000, "nothing is refused");
    };
    assert_eq!(refused.status(), 429);
    assert!(unauthorized >= 100, "refused after {unauthorized} requests");
    assert!((1..=60).contains(&retry_after(&refused)));
    assert_eq!(get(&farm.admin_token).await.status(), 200);
    for path in ["/healthz", "/readyz"] {
        let response = farm.http.get(farm.url(path)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
    assert!(metric(&farm, "slipway_refused_requests_total{reason=\"address\"}").await >= 1);
}

async fn token_with_too_many_requests_is_refused(backend: Backend) {
    let one_request = |config: &mut Config| config.traffic.token_requests_per_s = 1;
    let farm = TestFarm::start_with(backend, one_request).await;
    let user = farm.user("ann").await;
    let get = async |token: &str| {
        let get = farm.http.get(farm.url("/v1/user")).bearer_auth(token);
        get.send().await.unwrap()
    };
    let mut taken = 0;
    let refused = loop {
        let response = get(&farm.admin_token).await;
        if response.status() != 200 {
            break response;
        }
        taken += 1;
        assert!(taken < 1000, "nothing is refused");
    };
    assert_eq!(refused.status(), 429);
    assert!(retry_after(&refused) >= 1);
    assert_eq!(get(&user).await.status(), 200);
    assert!(metric(&farm, "slipway_refused_requests_total{reason=\"token\"}").await >= 1);
}

async fn forwarded_address_counts_only_behind_a_trusted_proxy(backend: Backend) {
    let statuses = async |proxies: Vec<ipnet::IpNet>| {
        let configure = |config: &mut Config| {
            config.traffic.address_failures_per_s = 1;
            config.traffic.trusted_proxies = proxies;
        };
        let farm = TestFarm::start_with(backend, configure).await;
        let get = async |from: &str| {
            let get = farm.http.get(farm.url("/v1/user"));
            get.header("X-Forwarded-For", from)
                .send()
                .await
                .unwrap()
                .status()
                .as_u16()
        };
        for _ in 0..150 {
            get("198.51.100.7").await;
        }
        (get("198.51.100.7").await, get("198.51.100.8").await)
    };
    assert_eq!(
        statuses(vec!["127.0.0.0/8".parse().unwrap()]).await,
        (429, 401)
    );
    assert_eq!(statuses(Vec::new()).await, (429, 429));
}

async fn sign_in(farm: &TestFarm, login: &str, password: &str) -> Response {
    let password = password.replace(' ', "+");
    let form = format!("login={}&password={password}", login.replace(' ', "+"));
    let post = farm.http.post(farm.url("/api/v3/session"));
    post.body(form).send().await.unwrap()
}

async fn sign_ins_are_limited_for_each_account(backend: Backend) {
    const PASSWORD: &str = "correct horse battery";
    let farm = TestFarm::start(backend).await;
    for name in ["ann", "bob"] {
        let token = AccessToken::presented(farm.user(name).await);
        let actor = farm.farm().authenticate(&token).await.unwrap();
        farm.farm()
            .change_password(&actor, None, PASSWORD)
            .await
            .unwrap();
    }
    let mut wrong = 0;
    let refused = loop {
        let response = sign_in(&farm, "ann", "wrong").await;
        match response.status() {
            StatusCode::UNAUTHORIZED => wrong += 1,
            _ => break response,
        }
    };
    assert_eq!(refused.status(), 429);
    // Each attempt hashes a password. Where that is slow, another one is allowed meanwhile.
    assert!((10..20).contains(&wrong), "{wrong}");
    assert!(retry_after(&refused) >= 1);
    // The right password is refused as well: the answer must not tell.
    assert_eq!(sign_in(&farm, "ann", PASSWORD).await.status(), 429);
    assert_eq!(sign_in(&farm, "Ann ", "wrong").await.status(), 429);
    assert_eq!(sign_in(&farm, "bob", PASSWORD).await.status(), 201);
    assert!(metric(&farm, "slipway_refused_requests_total{reason=\"sign_in\"}").await >= 3);
}

async fn sign_ins_are_limited_for_each_address(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let mut statuses = Vec::new();
    for account in 0..60 {
        let response = sign_in(&farm, &format!("unknown-{account}"), "wrong").await;
        statuses.push(response.status().as_u16());
    }
    assert!(
        statuses[..30].iter().all(|status| *status == 401),
        "{statuses:?}"
    );
    assert!(statuses.contains(&429), "{statuses:?}");
}
