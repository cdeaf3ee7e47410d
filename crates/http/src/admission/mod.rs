//! Which requests are handled at all. Those beyond what the farm can do are refused before anything is
//! read from the database or from a body, with an answer that says when to try again.

mod address;
mod credentials;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::RETRY_AFTER;
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use serde_json::json;
use slipway_farm::{Farm, KeyedRates, Rate};
use tokio::time::Instant;

pub use self::address::{TrustedProxies, client_address};
use self::credentials::Credentials;
use crate::body::{BodyState, KnownMark};
use crate::request::app_data;

/// Monitoring must see a farm that is overloaded, and costs little.
const ALWAYS_ADMITTED: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// How many credentials are remembered as valid.
const MAX_VALID: usize = 50_000;
/// For how long credentials count as valid after a request with them succeeded.
const VALID_FOR: Duration = Duration::from_secs(3600);

/// How many requests are admitted.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionLimits {
    /// Requests with the same valid token.
    pub per_token: Rate,
    /// Failed requests from one address. Beyond it, requests without a valid token are refused.
    pub failures_per_address: Rate,
    /// The most database queries that wait or run.
    pub max_queries: usize,
}

/// Decides which requests are admitted, and counts the others.
pub struct Admission {
    per_token: Option<KeyedRates>,
    failures: Option<KeyedRates>,
    max_queries: usize,
    hasher: RandomState,
    /// When a request with these credentials last succeeded. Only hashes are kept.
    valid: Mutex<HashMap<u64, Instant>>,
    refused: RefusedRequests,
}

/// How many requests were refused, by reason.
#[derive(Debug, Default)]
pub struct RefusedRequests {
    token: AtomicU64,
    address: AtomicU64,
    overload: AtomicU64,
}

impl RefusedRequests {
    /// The numbers, with the names of the reasons.
    pub fn by_reason(&self) -> [(&'static str, u64); 3] {
        [
            ("token", self.token.load(Ordering::Relaxed)),
            ("address", self.address.load(Ordering::Relaxed)),
            ("overload", self.overload.load(Ordering::Relaxed)),
        ]
    }
}

/// Why a request is refused, and when the next one is admitted.
enum Refusal {
    Rate(Duration),
    Overload,
}

impl Admission {
    /// Admits requests within these limits.
    pub fn new(limits: AdmissionLimits) -> Self {
        Self {
            per_token: KeyedRates::new(limits.per_token),
            failures: KeyedRates::new(limits.failures_per_address),
            max_queries: limits.max_queries,
            hasher: RandomState::new(),
            valid: Mutex::default(),
            refused: RefusedRequests::default(),
        }
    }

    /// How many requests were refused.
    pub fn refused(&self) -> &RefusedRequests {
        &self.refused
    }

    fn check(
        &self,
        queries: usize,
        address: IpAddr,
        credentials: Option<u64>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        if queries > self.max_queries {
            count(&self.refused.overload);
            return Err(Refusal::Overload);
        }
        // A valid token is admitted also from an address that sends invalid ones: many clients may
        // share it.
        if let Some(key) = credentials.filter(|key| self.is_valid(*key, now)) {
            if let Some(Err(wait)) = self.per_token.as_ref().map(|rates| rates.take(key, now)) {
                count(&self.refused.token);
                return Err(Refusal::Rate(wait));
            }
        } else if let Some(Err(wait)) = self
            .failures
            .as_ref()
            .map(|rates| rates.check(address, now))
        {
            count(&self.refused.address);
            return Err(Refusal::Rate(wait));
        }
        Ok(())
    }

    fn record(&self, status: StatusCode, address: IpAddr, credentials: Option<u64>, now: Instant) {
        if let Some(key) = credentials.filter(|_| status.is_success()) {
            let mut valid = self.valid.lock().unwrap_or_else(PoisonError::into_inner);
            if valid.len() >= MAX_VALID && !valid.contains_key(&key) {
                valid.retain(|_, at| now.saturating_duration_since(*at) < VALID_FOR);
            }
            if valid.len() < MAX_VALID || valid.contains_key(&key) {
                valid.insert(key, now);
            }
        } else if is_failure(status)
            && let Some(failures) = &self.failures
        {
            // Beyond the rate nothing more is counted: the address is refused already.
            let _ = failures.take(address, now);
        }
    }

    fn is_valid(&self, key: u64, now: Instant) -> bool {
        let valid = self.valid.lock().unwrap_or_else(PoisonError::into_inner);
        let at = valid.get(&key);
        at.is_some_and(|at| now.saturating_duration_since(*at) < VALID_FOR)
    }
}

/// Statuses that a sender without rights causes. Others, such as 404 for "no job", are usual.
fn is_failure(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::PAYLOAD_TOO_LARGE
    )
}

/// Middleware for all routes: answers requests beyond the limits of the [`Admission`] in the
/// application's data with 429 or 503 and `Retry-After`.
///
/// The connection stays open only for clients who are known, or whose request succeeded with something in
/// its body. The server limits the time for the head of the first request of a connection alone, so
/// strangers get no second one.
///
/// # Errors
/// Those of the routes.
pub async fn admit<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    if ALWAYS_ADMITTED.contains(&request.path()) {
        let response = next.call(request).await?;
        return Ok(closing(response).map_into_left_body());
    }
    let admission = web::Data::clone(data(&request));
    let farm: &Farm = app_data(request.request());
    let address = client_address(request.request());
    let credentials = Credentials::of(request.head());
    let credentials = credentials.map(|found| admission.hasher.hash_one(found));
    let queries = farm.queries_in_progress();
    if let Err(refusal) = admission.check(queries, address, credentials, Instant::now()) {
        let response = request.into_response(response(&refusal));
        return Ok(closing(response).map_into_right_body());
    }
    let may_have_token_inside = !request.method().is_safe();
    let response = next.call(request).await?;
    let (status, now) = (response.status(), Instant::now());
    admission.record(status, address, credentials, now);
    let is_known =
        credentials.is_some_and(|key| admission.is_valid(key, now)) || is_known(response.request());
    let stays_open = is_known || (may_have_token_inside && status.is_success());
    let response = if stays_open {
        response
    } else {
        closing(response)
    };
    Ok(response.map_into_left_body())
}

/// Whether a handler found out who the sender is.
fn is_known(request: &HttpRequest) -> bool {
    let extensions = request.extensions();
    extensions.contains::<KnownMark>()
        || extensions
            .get::<BodyState>()
            .is_some_and(BodyState::is_known)
}

/// A response after which the connection is closed.
fn closing<B>(mut response: ServiceResponse<B>) -> ServiceResponse<B> {
    let head = response.response_mut().head_mut();
    head.set_connection_type(ConnectionType::Close);
    response
}

fn data(request: &ServiceRequest) -> &web::Data<Admission> {
    match request.app_data::<web::Data<Admission>>() {
        Some(data) => data,
        None => unreachable!("the routes are served without an admission"),
    }
}

fn response(refusal: &Refusal) -> HttpResponse {
    let (status, wait) = match refusal {
        Refusal::Rate(wait) => (StatusCode::TOO_MANY_REQUESTS, *wait),
        Refusal::Overload => (StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(2)),
    };
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let text = status.to_string();
    // The members in which the clients of the different APIs look for a text.
    HttpResponse::build(status)
        .insert_header((RETRY_AFTER, seconds.max(1)))
        .json(json!({ "error": text, "message": text }))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const TOKEN: Option<u64> = Some(7);

    fn admission() -> Admission {
        let rate = |burst| Rate {
            per_second: 0.1,
            burst,
        };
        Admission::new(AdmissionLimits {
            per_token: rate(2),
            failures_per_address: rate(3),
            max_queries: 10,
        })
    }

    #[test]
    fn an_address_with_too_many_failures_is_refused_except_for_valid_tokens() {
        let (admission, now) = (admission(), Instant::now());
        admission.record(StatusCode::OK, ADDRESS, TOKEN, now);
        for _ in 0..3 {
            assert!(admission.check(0, ADDRESS, Some(1), now).is_ok());
            admission.record(StatusCode::UNAUTHORIZED, ADDRESS, Some(1), now);
        }
        assert!(admission.check(0, ADDRESS, Some(1), now).is_err());
        assert!(admission.check(0, ADDRESS, None, now).is_err());
        assert!(admission.check(0, ADDRESS, TOKEN, now).is_ok());
        assert!(admission.check(0, [192, 0, 2, 1].into(), None, now).is_ok());
        let reasons = admission.refused().by_reason();
        assert_eq!(reasons, [("token", 0), ("address", 2), ("overload", 0)]);
        let later = now + Duration::from_secs(10);
        assert!(admission.check(0, ADDRESS, None, later).is_ok());
    }

    #[test]
    fn a_valid_token_has_a_rate_of_its_own() {
        let (admission, now) = (admission(), Instant::now());
        admission.record(StatusCode::OK, ADDRESS, TOKEN, now);
        for _ in 0..2 {
            assert!(admission.check(0, ADDRESS, TOKEN, now).is_ok());
        }
        assert!(admission.check(0, ADDRESS, TOKEN, now).is_err());
        assert!(admission.check(0, ADDRESS, None, now).is_ok());
    }

    #[test]
    fn an_overloaded_farm_refuses_everybody() {
        let (admission, now) = (admission(), Instant::now());
        assert!(admission.check(10, ADDRESS, TOKEN, now).is_ok());
        assert!(admission.check(11, ADDRESS, TOKEN, now).is_err());
        assert_eq!(admission.refused().by_reason()[2].1, 1);
    }

    #[test]
    fn usual_statuses_are_no_failures() {
        for usual in [200, 201, 204, 404, 409, 416, 429, 503] {
            assert!(!is_failure(StatusCode::from_u16(usual).unwrap()), "{usual}");
        }
    }
}
