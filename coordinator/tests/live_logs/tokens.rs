//! Log tokens: their content, what they permit, and their keys.
//!
//! See `docs/protocols/harmont.md#log-tokens`.

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

use crate::fixture::{ApiResponse, Fixture, RunningJob};

on_both_back_ends!(
    token_is_a_jwt_that_expires_after_an_hour,
    token_with_another_key_algorithm_audience_issuer_or_expiry_returns_401,
    altered_and_imprecise_tokens_return_401,
    missing_and_malformed_tokens_return_401_as_json,
    token_of_another_build_returns_403,
    token_is_never_logged,
    token_survives_restarts_and_new_keys_until_it_expires,
    configured_key_cannot_be_rotated,
    log_tokens_and_other_tokens_are_not_interchangeable,
);

/// A key of log tokens, as the key file contains it.
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

const ISSUER: &str = "https://farm.example";

/// Starts a farm with the key [`KEY`].
async fn start_with_key(backend: Backend) -> (Fixture, TempDir) {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("log-keys");
    std::fs::write(&path, format!("{KEY}\n")).unwrap();
    let fixture = Fixture::with(backend, |config| {
        config.public_url = Some(format!("{ISSUER}/"));
        config.log_key_file = Some(path);
    });
    (fixture.await, files)
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

fn with_member(value: &Value, key: &str, to: Value) -> Value {
    let mut value = value.clone();
    value[key] = to;
    value
}

async fn read_log(fixture: &Fixture, job: &RunningJob, token: &str) -> ApiResponse {
    Fixture::send(fixture.log_request(job.uuid(), token)).await
}

#[track_caller]
fn assert_refused(response: ApiResponse, status: u16, code: &str) {
    let response = response.is(status);
    let json = "application/json; charset=utf-8";
    assert_eq!(response.header("content-type"), Some(json));
    let id = response.header("x-request-id").unwrap().to_owned();
    let body = response.json();
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

async fn assert_unauthorized(fixture: &Fixture, job: &RunningJob, token: &str) {
    let response = read_log(fixture, job, token).await;
    assert_eq!(response.status, 401, "{token}");
    assert_refused(response, 401, "log_stream_unauthorized");
}

async fn token_is_a_jwt_that_expires_after_an_hour(backend: Backend) {
    let (fixture, _files) = start_with_key(backend).await;
    let build = fixture.farm.build(&fixture.project).await;
    let token = fixture.farm.farm().log_token(&build).await.unwrap();
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
    assert!((fixture.farm.clock.now().timestamp() - iat).abs() <= 5);
    assert!(claims["jti"].is_string());
    assert_eq!(claims.as_object().unwrap().len(), 6);
    assert_eq!(token.expires_at.timestamp(), exp);
    assert_eq!(token.expires_at.timestamp_subsec_nanos(), 0);
}

async fn token_with_another_key_algorithm_audience_issuer_or_expiry_returns_401(backend: Backend) {
    let (fixture, _files) = start_with_key(backend).await;
    let job = fixture.start_job().await;
    job.succeed().await;
    let (header, claims) = parts(job.token());
    let good = signed(&header, &claims, KEY);
    read_log(&fixture, &job, &good).await.is(200);
    let other_key = KEY.replace('0', "f");
    let exp = |ahead: i64| json!(fixture.farm.clock.now().timestamp() + ahead);
    for (header, claims, key) in [
        (header.clone(), claims.clone(), other_key.as_str()),
        (
            with_member(&header, "kid", json!("other")),
            claims.clone(),
            KEY,
        ),
        (
            with_member(&header, "alg", json!("none")),
            claims.clone(),
            KEY,
        ),
        (
            with_member(&header, "alg", json!("RS256")),
            claims.clone(),
            KEY,
        ),
        (
            header.clone(),
            with_member(&claims, "aud", json!("slipway:job")),
            KEY,
        ),
        (
            header.clone(),
            with_member(&claims, "aud", json!(["slipway:log"])),
            KEY,
        ),
        (
            header.clone(),
            with_member(&claims, "iss", json!("https://other.example")),
            KEY,
        ),
        (header.clone(), with_member(&claims, "exp", exp(-1)), KEY),
    ] {
        assert_unauthorized(&fixture, &job, &signed(&header, &claims, key)).await;
    }
    let unsigned = signed(&with_member(&header, "alg", json!("none")), &claims, KEY);
    let (text, _) = unsigned.rsplit_once('.').unwrap();
    assert_unauthorized(&fixture, &job, &format!("{text}.")).await;
    fixture.farm.advance(3601);
    assert_unauthorized(&fixture, &job, &good).await;
}

async fn altered_and_imprecise_tokens_return_401(backend: Backend) {
    let (fixture, _files) = start_with_key(backend).await;
    let job = fixture.start_job().await;
    job.succeed().await;
    let token = job.token();
    let dots: Vec<usize> = token.match_indices('.').map(|(at, _)| at).collect();
    for at in [3, dots[0] + 3, dots[1] + 3, token.len() - 1] {
        let mut altered = token.to_owned();
        let other = if token.as_bytes()[at] == b'A' {
            "B"
        } else {
            "A"
        };
        altered.replace_range(at..=at, other);
        assert_unauthorized(&fixture, &job, &altered).await;
    }
    for padded in ["=", "=="] {
        assert_unauthorized(&fixture, &job, &format!("{token}{padded}")).await;
    }
    let (header, claims) = parts(token);
    let now = fixture.farm.clock.now().timestamp();
    for exp in [
        json!(now as f64 + 100.5),
        json!(1.5),
        json!((now + 100).to_string()),
        json!(now),
    ] {
        let claims = with_member(&claims, "exp", exp);
        assert_unauthorized(&fixture, &job, &signed(&header, &claims, KEY)).await;
    }
    let mut without_exp = claims.clone();
    without_exp.as_object_mut().unwrap().remove("exp");
    assert_unauthorized(&fixture, &job, &signed(&header, &without_exp, KEY)).await;
    read_log(&fixture, &job, token).await.is(200);
}

async fn missing_and_malformed_tokens_return_401_as_json(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let job = fixture.start_job().await;
    let path = format!("/v0/jobs/{}/logs", job.uuid());
    for query in [
        "",
        "?token=",
        "?token=x",
        "?token=a.b.c",
        "?token=a&token=b",
    ] {
        let request = fixture
            .farm
            .http
            .get(fixture.farm.url(&format!("{path}{query}")));
        let request = request.bearer_auth(&fixture.farm.admin_token);
        assert_refused(Fixture::send(request).await, 401, "log_stream_unauthorized");
    }
}

async fn token_of_another_build_returns_403(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let job = fixture.start_job().await;
    let other = fixture.start_job().await;
    for id in [
        other.uuid().to_string(),
        job.build.uuid.to_string(),
        "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
        "xyz".to_owned(),
        job.claim.id.to_string(),
    ] {
        let response = Fixture::send(fixture.log_request(&id, job.token())).await;
        assert_refused(response, 403, "log_stream_forbidden");
        // Without a valid token the response does not show which jobs exist.
        let response = Fixture::send(fixture.log_request(&id, "x")).await;
        assert_refused(response, 401, "log_stream_unauthorized");
    }
}

/// All log lines of this process, at all levels.
#[derive(Clone, Default)]
struct CapturedLog(Arc<Mutex<Vec<u8>>>);

impl Write for CapturedLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Captures the log of this process from the first call on.
fn captured_log() -> &'static CapturedLog {
    static LOG: OnceLock<CapturedLog> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = CapturedLog::default();
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .init();
        log
    })
}

async fn token_is_never_logged(backend: Backend) {
    let log = captured_log();
    let fixture = Fixture::new(backend).await;
    let job = fixture.start_job().await;
    job.succeed().await;
    read_log(&fixture, &job, job.token()).await.is(200);
    // A refused token is not logged either.
    let token = job.token().replace('.', "-");
    assert_unauthorized(&fixture, &job, &token).await;
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(text.contains("TRACE") && text.contains("slipway_coordinator"));
    // The HTTP client of this test runs in the same process and logs the URLs that it requests.
    let lines = text
        .lines()
        .filter(|line| !line.contains("hyper_util") && !line.contains("reqwest"));
    for line in lines {
        for part in [job.token(), token.as_str()] {
            assert!(!line.contains(part), "{line}");
        }
    }
}

async fn token_survives_restarts_and_new_keys_until_it_expires(backend: Backend) {
    let mut fixture = Fixture::new(backend).await;
    let job = fixture.start_job().await;
    job.succeed().await;
    let kid = |token: &str| parts(token).0["kid"].clone();
    fixture.farm.restart().await;
    read_log(&fixture, &job, job.token()).await.is(200);
    let again = fixture.create_token(&job.build).await;
    assert_eq!(kid(&again), kid(job.token()));

    fixture
        .native_api(Method::POST, "/v1/log-keys")
        .await
        .is(204);
    let new = fixture.create_token(&job.build).await;
    assert_ne!(kid(&new), kid(job.token()));
    for token in [job.token(), &new] {
        read_log(&fixture, &job, token).await.is(200);
    }
    fixture.farm.advance(3500);
    fixture
        .native_api(Method::POST, "/v1/log-keys")
        .await
        .is(204);
    read_log(&fixture, &job, &new).await.is(200);
    fixture.farm.advance(120);
    for token in [job.token(), &new] {
        assert_unauthorized(&fixture, &job, token).await;
    }
}

async fn configured_key_cannot_be_rotated(backend: Backend) {
    let (fixture, _files) = start_with_key(backend).await;
    let response = fixture.native_api(Method::POST, "/v1/log-keys").await;
    assert_eq!(response.status, 409);
}

async fn log_tokens_and_other_tokens_are_not_interchangeable(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let job = fixture.start_job().await;
    let http = &fixture.farm.http;
    for path in ["/v1/user", "/v1/projects", "/api/v3/user"] {
        let bearer = http.get(fixture.farm.url(path)).bearer_auth(job.token());
        assert_eq!(Fixture::send(bearer).await.status, 401, "{path}");
        let header = http.get(fixture.farm.url(path));
        let header = header.header("PRIVATE-TOKEN", job.token());
        assert_eq!(Fixture::send(header).await.status, 401, "{path}");
    }
    for token in [
        &fixture.farm.admin_token,
        &job.claim.token,
        &job.claim.runner.token,
    ] {
        assert_unauthorized(&fixture, &job, token).await;
    }
}
