//! Checks 67 to 71 and 83: what a log token is, what it opens, and that nobody writes it down.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use slipway_testkit::{Backend, on_both_back_ends};
use tempfile::TempDir;

use crate::support::{ApiResponse, KEY, Work, Yard};

on_both_back_ends!(
    check_67_a_token_is_a_jwt_for_an_hour,
    check_68_tokens_of_others_and_for_other_things_are_refused,
    check_69_nothing_but_the_very_token_is_taken,
    check_70_without_a_token_there_is_a_refusal_and_no_stream,
    check_71_a_token_opens_the_jobs_of_its_build_alone,
    check_83_the_token_is_written_down_nowhere,
    a_token_outlives_a_restart_and_a_new_key_but_not_its_hour,
    a_key_that_is_given_is_the_only_one,
    a_log_token_opens_nothing_else_and_no_other_token_opens_a_log,
);

const ISSUER: &str = "https://farm.example";

/// A farm whose key the test knows.
async fn keyed(backend: Backend) -> (Yard, TempDir) {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("log-keys");
    std::fs::write(&path, format!("{KEY}\n")).unwrap();
    let yard = Yard::with(backend, |config| {
        config.public_url = Some(format!("{ISSUER}/"));
        config.log_key_file = Some(path);
    });
    (yard.await, files)
}

fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice(&bytes).unwrap_or(Value::Null)
    });
    (parts.next().unwrap(), parts.next().unwrap())
}

fn signed(header: &Value, claims: &Value, key: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(&hex::decode(key).unwrap()).unwrap();
    mac.update(text.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{text}.{signature}")
}

fn changed(value: &Value, key: &str, to: Value) -> Value {
    let mut value = value.clone();
    value[key] = to;
    value
}

async fn open(yard: &Yard, work: &Work, token: &str) -> ApiResponse {
    Yard::send(yard.ask(work.name(), token)).await
}

#[track_caller]
fn refused(answer: ApiResponse, status: u16, code: &str) {
    let answer = answer.is(status);
    let json = "application/json; charset=utf-8";
    assert_eq!(answer.header("content-type"), Some(json));
    let id = answer.header("x-request-id").unwrap().to_owned();
    let body = answer.json();
    assert_eq!(body["code"], code, "{body}");
    assert!(body["message"].is_string());
    let error = &body["error"];
    assert_eq!(
        (&error["code"], &error["message"]),
        (&body["code"], &body["message"])
    );
    assert_eq!(error["request_id"], id, "{body}");
    let page = code.replace('_', "-");
    assert_eq!(
        error["doc_url"],
        format!("https://docs.harmont.dev/api/errors/{page}")
    );
}

async fn unauthorized(yard: &Yard, work: &Work, token: &str) {
    let answer = open(yard, work, token).await;
    assert_eq!(answer.status, 401, "{token}");
    refused(answer, 401, "log_stream_unauthorized");
}

async fn check_67_a_token_is_a_jwt_for_an_hour(backend: Backend) {
    let (yard, _files) = keyed(backend).await;
    let build = yard.farm.build(&yard.project).await;
    let token = yard.farm.farm().log_token(&build).await.unwrap();
    let (header, claims) = parts(token.expose());
    assert_eq!(header["typ"], "JWT");
    assert_eq!(header["alg"], "HS256");
    assert!(header["kid"].is_string());
    assert_eq!(header.as_object().unwrap().len(), 3);
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], "slipway:log");
    assert_eq!(claims["sub"], build.uuid.to_string());
    let (iat, exp) = (
        claims["iat"].as_i64().unwrap(),
        claims["exp"].as_i64().unwrap(),
    );
    assert_eq!(exp - iat, 3600);
    assert!((yard.farm.clock.now().timestamp() - iat).abs() <= 5);
    assert!(claims["jti"].is_string());
    assert_eq!(claims.as_object().unwrap().len(), 6);
    assert_eq!(token.expires_at.timestamp(), exp);
    assert_eq!(token.expires_at.timestamp_subsec_nanos(), 0);
}

async fn check_68_tokens_of_others_and_for_other_things_are_refused(backend: Backend) {
    let (yard, _files) = keyed(backend).await;
    let work = yard.work().await;
    work.succeed().await;
    let (header, claims) = parts(work.token());
    let good = signed(&header, &claims, KEY);
    open(&yard, &work, &good).await.is(200);
    let other_key = KEY.replace('0', "f");
    let exp = |ahead: i64| json!(yard.farm.clock.now().timestamp() + ahead);
    for (header, claims, key) in [
        (header.clone(), claims.clone(), other_key.as_str()),
        (changed(&header, "kid", json!("other")), claims.clone(), KEY),
        (changed(&header, "alg", json!("none")), claims.clone(), KEY),
        (changed(&header, "alg", json!("RS256")), claims.clone(), KEY),
        (
            header.clone(),
            changed(&claims, "aud", json!("slipway:job")),
            KEY,
        ),
        (
            header.clone(),
            changed(&claims, "aud", json!(["slipway:log"])),
            KEY,
        ),
        (
            header.clone(),
            changed(&claims, "iss", json!("https://other.example")),
            KEY,
        ),
        (header.clone(), changed(&claims, "exp", exp(-1)), KEY),
    ] {
        unauthorized(&yard, &work, &signed(&header, &claims, key)).await;
    }
    let unsigned = signed(&changed(&header, "alg", json!("none")), &claims, KEY);
    let (text, _) = unsigned.rsplit_once('.').unwrap();
    unauthorized(&yard, &work, &format!("{text}.")).await;
    yard.farm.advance(3601);
    unauthorized(&yard, &work, &good).await;
}

async fn check_69_nothing_but_the_very_token_is_taken(backend: Backend) {
    let (yard, _files) = keyed(backend).await;
    let work = yard.work().await;
    work.succeed().await;
    let token = work.token();
    let dots: Vec<usize> = token.match_indices('.').map(|(at, _)| at).collect();
    for at in [3, dots[0] + 3, dots[1] + 3, token.len() - 1] {
        let mut altered = token.to_owned();
        let other = if token.as_bytes()[at] == b'A' {
            "B"
        } else {
            "A"
        };
        altered.replace_range(at..=at, other);
        unauthorized(&yard, &work, &altered).await;
    }
    for padded in ["=", "=="] {
        unauthorized(&yard, &work, &format!("{token}{padded}")).await;
    }
    let (header, claims) = parts(token);
    let now = yard.farm.clock.now().timestamp();
    for exp in [
        json!(now as f64 + 100.5),
        json!(1.5),
        json!((now + 100).to_string()),
        json!(now),
    ] {
        let claims = changed(&claims, "exp", exp);
        unauthorized(&yard, &work, &signed(&header, &claims, KEY)).await;
    }
    let mut lasting = claims.clone();
    lasting.as_object_mut().unwrap().remove("exp");
    unauthorized(&yard, &work, &signed(&header, &lasting, KEY)).await;
    open(&yard, &work, token).await.is(200);
}

async fn check_70_without_a_token_there_is_a_refusal_and_no_stream(backend: Backend) {
    let yard = Yard::new(backend).await;
    let work = yard.work().await;
    let path = format!("/v0/jobs/{}/logs", work.name());
    for query in [
        "",
        "?token=",
        "?token=x",
        "?token=a.b.c",
        "?token=a&token=b",
    ] {
        let request = yard.farm.http.get(yard.farm.url(&format!("{path}{query}")));
        let request = request.bearer_auth(&yard.farm.admin_token);
        refused(Yard::send(request).await, 401, "log_stream_unauthorized");
    }
}

async fn check_71_a_token_opens_the_jobs_of_its_build_alone(backend: Backend) {
    let yard = Yard::new(backend).await;
    let work = yard.work().await;
    let other = yard.work().await;
    for job in [
        other.name().to_string(),
        work.build.uuid.to_string(),
        "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
        "xyz".to_owned(),
        work.claim.id.to_string(),
    ] {
        let answer = Yard::send(yard.ask(&job, work.token())).await;
        refused(answer, 403, "log_stream_forbidden");
        // Without a token nobody learns which jobs there are.
        let answer = Yard::send(yard.ask(&job, "x")).await;
        refused(answer, 401, "log_stream_unauthorized");
    }
}

/// Everything that is logged in this process, down to the last detail.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logged() -> &'static Logged {
    static LOGGED: OnceLock<Logged> = OnceLock::new();
    LOGGED.get_or_init(|| {
        let logged = Logged::default();
        let writer = logged.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .init();
        logged
    })
}

async fn check_83_the_token_is_written_down_nowhere(backend: Backend) {
    let logged = logged();
    let yard = Yard::new(backend).await;
    let work = yard.work().await;
    work.succeed().await;
    open(&yard, &work, work.token()).await.is(200);
    // A refused one neither.
    let token = work.token().replace('.', "-");
    unauthorized(&yard, &work, &token).await;
    let text = String::from_utf8_lossy(&logged.0.lock().unwrap()).into_owned();
    assert!(text.contains("TRACE") && text.contains("slipway_coordinator"));
    // The client of this test is in the same process and does tell where it goes.
    let told = text
        .lines()
        .filter(|line| !line.contains("hyper_util") && !line.contains("reqwest"));
    for line in told {
        for part in [work.token(), token.as_str()] {
            assert!(!line.contains(part), "{line}");
        }
    }
}

async fn a_token_outlives_a_restart_and_a_new_key_but_not_its_hour(backend: Backend) {
    let mut yard = Yard::new(backend).await;
    let work = yard.work().await;
    work.succeed().await;
    let kid = |token: &str| parts(token).0["kid"].clone();
    yard.farm.restart().await;
    open(&yard, &work, work.token()).await.is(200);
    let again = yard.token(&work.build).await;
    assert_eq!(kid(&again), kid(work.token()));

    yard.native(Method::POST, "/v1/log-keys").await.is(204);
    let new = yard.token(&work.build).await;
    assert_ne!(kid(&new), kid(work.token()));
    for token in [work.token(), &new] {
        open(&yard, &work, token).await.is(200);
    }
    yard.farm.advance(3500);
    yard.native(Method::POST, "/v1/log-keys").await.is(204);
    open(&yard, &work, &new).await.is(200);
    yard.farm.advance(120);
    for token in [work.token(), &new] {
        unauthorized(&yard, &work, token).await;
    }
}

async fn a_key_that_is_given_is_the_only_one(backend: Backend) {
    let (yard, _files) = keyed(backend).await;
    let answer = yard.native(Method::POST, "/v1/log-keys").await;
    assert_eq!(answer.status, 409);
}

async fn a_log_token_opens_nothing_else_and_no_other_token_opens_a_log(backend: Backend) {
    let yard = Yard::new(backend).await;
    let work = yard.work().await;
    let http = &yard.farm.http;
    for path in ["/v1/user", "/v1/projects", "/api/v3/user"] {
        let bearer = http.get(yard.farm.url(path)).bearer_auth(work.token());
        assert_eq!(Yard::send(bearer).await.status, 401, "{path}");
        let header = http.get(yard.farm.url(path));
        let header = header.header("PRIVATE-TOKEN", work.token());
        assert_eq!(Yard::send(header).await.status, 401, "{path}");
    }
    for token in [
        &yard.farm.admin_token,
        &work.claim.token,
        &work.claim.runner.token,
    ] {
        unauthorized(&yard, &work, token).await;
    }
}
