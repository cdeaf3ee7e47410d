//! The rules for all bodies, whatever their routes do: a body that makes no progress is ended, and a
//! connection with an unread body is closed.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::HttpMessage;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use bytes::Bytes;
use futures_util::Stream;
use slipway_farm::Pace;
use tokio::time::Sleep;

use super::rest::linger;
use crate::body::BodyMemory;
use crate::request::app_data;

/// The fewest bytes that are progress, so that a client cannot hold a connection with one byte at a
/// time.
const MIN_PROGRESS_BYTES: usize = 1024;
/// How much of a body anything but an [`UnreadBody`](crate::UnreadBody) can read, in bytes. So a route that
/// takes a body in any other way, and does not check its sender, can read no large one.
const UNCHECKED_BYTES: u64 = 256 << 10;
/// How fast large bodies are read into memory, in bytes per second. Uploads are streams and not limited.
const LARGE_BODIES_BYTES_PER_S: u64 = 64 << 20;
/// How fast the bodies of unknown senders, and the rest of answered ones, are read, in bytes per second.
const UNKNOWN_SENDERS_BYTES_PER_S: u64 = 32 << 20;
/// The `Retry-After` of a 503, in seconds.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("3");

/// The rules for all bodies.
#[derive(Clone, Debug)]
pub struct BodyRules {
    /// For how long a body may make no progress.
    pub progress: Duration,
    /// The memory for all bodies together.
    pub memory: BodyMemory,
    /// The pace at which large bodies of known senders are read into memory, all of them together. Without
    /// it, clients that send as fast as they can take all processors, and every request of others waits.
    pub large: Arc<Pace>,
    /// The pace for what nobody has use for yet: the bodies of unknown senders beyond their first bytes, and
    /// the rest of a body after its answer, which is read and discarded.
    pub unknown: Arc<Pace>,
}

impl Default for BodyRules {
    fn default() -> Self {
        Self {
            progress: Duration::from_secs(30),
            memory: BodyMemory::new(128 << 20),
            large: Arc::new(Pace::new(LARGE_BODIES_BYTES_PER_S)),
            unknown: Arc::new(Pace::new(UNKNOWN_SENDERS_BYTES_PER_S)),
        }
    }
}

/// Middleware for all routes: applies the [`BodyRules`] in the application's data.
///
/// A body of which less than 1 KiB arrives within the time is ended with 408; a body for which there is
/// no memory is answered with 503. In both cases, and whenever the response is sent before the body was
/// read, the connection is closed after the response.
///
/// # Errors
/// Those of the routes.
pub async fn guard_body<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let payload = request.take_payload();
    if matches!(payload, Payload::None) {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let rules: &BodyRules = app_data(request.request());
    let (progress, pace) = (rules.progress, Arc::clone(&rules.unknown));
    let guarded = Rc::new(Guarded {
        payload: RefCell::new(payload),
        progress,
        waits: RefCell::new(None),
        arrived: Cell::new(0),
        failure: Cell::new(None),
        unchecked: Cell::new(Some(UNCHECKED_BYTES)),
        is_known: Cell::new(false),
    });
    request
        .extensions_mut()
        .insert(BodyState(Rc::clone(&guarded)));
    request.set_payload(Payload::Stream {
        payload: Box::pin(GuardedStream(Rc::clone(&guarded))),
    });
    let mut response = next.call(request).await?.map_into_boxed_body();
    if let Some(failure) = guarded.failure.get() {
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
        match failure {
            BodyFailure::TimedOut => head.status = StatusCode::REQUEST_TIMEOUT,
            BodyFailure::NoMemory => {
                head.status = StatusCode::SERVICE_UNAVAILABLE;
                head.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S);
            }
        }
    }
    Ok(linger(response, guarded, pace))
}

/// A failure that decides the status, whatever the route answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFailure {
    TimedOut,
    NoMemory,
}

/// The state of the body of a request, in the request's extensions.
#[derive(Clone)]
pub(crate) struct BodyState(Rc<Guarded>);

impl BodyState {
    /// Makes the response one about this failure.
    pub(crate) fn fail(&self, failure: BodyFailure) {
        self.0.failure.set(Some(failure));
    }

    /// Notes that the sender is known.
    pub(crate) fn becomes_known(&self) {
        self.0.is_known.set(true);
    }

    /// Whether the sender is known.
    pub(crate) fn is_known(&self) -> bool {
        self.0.is_known.get()
    }

    /// Lets the rest of the body be read. The caller has limits of its own.
    pub(crate) fn open(&self) {
        self.0.unchecked.set(None);
    }
}

pub(super) struct Guarded {
    pub(super) payload: RefCell<Payload>,
    progress: Duration,
    /// The time until which the next bytes must arrive; `None` while bytes are there.
    waits: RefCell<Option<Pin<Box<Sleep>>>>,
    /// The bytes that arrived since the wait began.
    arrived: Cell<usize>,
    failure: Cell<Option<BodyFailure>>,
    /// The bytes that may be read; `None` if the reader has limits of its own.
    unchecked: Cell<Option<u64>>,
    is_known: Cell<bool>,
}

struct GuardedStream(Rc<Guarded>);

impl Stream for GuardedStream {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let body = &*self.0;
        if body.failure.get() == Some(BodyFailure::TimedOut) {
            return Poll::Ready(Some(Err(timed_out())));
        }
        let polled = Pin::new(&mut *body.payload.borrow_mut()).poll_next(cx);
        let mut waits = body.waits.borrow_mut();
        match polled {
            Poll::Ready(Some(Ok(bytes))) => {
                let arrived = body.arrived.get().saturating_add(bytes.len());
                body.arrived.set(arrived);
                if arrived >= MIN_PROGRESS_BYTES {
                    *waits = None;
                }
                if let Some(left) = body.unchecked.get() {
                    let Some(left) = left.checked_sub(bytes.len() as u64) else {
                        return Poll::Ready(Some(Err(PayloadError::Overflow)));
                    };
                    body.unchecked.set(Some(left));
                }
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(end) => Poll::Ready(end),
            Poll::Pending => {
                let wait = waits.get_or_insert_with(|| {
                    body.arrived.set(0);
                    Box::pin(tokio::time::sleep(body.progress))
                });
                ready!(wait.as_mut().poll(cx));
                body.failure.set(Some(BodyFailure::TimedOut));
                Poll::Ready(Some(Err(timed_out())))
            }
        }
    }
}

fn timed_out() -> PayloadError {
    let why = "too few bytes arrived in time";
    PayloadError::Io(io::Error::new(io::ErrorKind::TimedOut, why))
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, HttpResponse, web};

    use super::*;
    use crate::body::{UNKNOWN_SENDER_BYTES, UnreadBody};

    async fn unchecked(mut payload: web::Payload) -> HttpResponse {
        let mut length = 0;
        while let Some(piece) = futures_util::StreamExt::next(&mut payload).await {
            match piece {
                Ok(bytes) => length += bytes.len(),
                Err(_) => return HttpResponse::PayloadTooLarge().finish(),
            }
        }
        HttpResponse::Ok().body(length.to_string())
    }

    async fn checked(body: UnreadBody) -> HttpResponse {
        match body.read_unknown(UNKNOWN_SENDER_BYTES).await {
            Ok(body) => HttpResponse::Ok().body(body.len().to_string()),
            Err(error) => HttpResponse::PayloadTooLarge().body(error.to_string()),
        }
    }

    #[actix_web::test]
    async fn bodies_of_unknown_senders_are_read_at_their_pace() {
        const PIECE: usize = 32 << 10;
        const PIECES: usize = 6;
        let rules = BodyRules {
            unknown: Arc::new(Pace::new(1 << 20)),
            ..BodyRules::default()
        };
        let app = App::new()
            .app_data(web::Data::new(rules))
            .wrap(from_fn(guard_body))
            .route("/", web::post().to(large));
        let app = init_service(app).await;
        let piece = Bytes::from(vec![b'x'; PIECE]);
        let pieces = std::iter::repeat_with(move || Ok(piece.clone())).take(PIECES);
        let payload: Payload = Payload::Stream {
            payload: Box::pin(futures_util::stream::iter(pieces)),
        };
        let (request, _) = TestRequest::post().to_request().replace_payload(payload);
        let begin = std::time::Instant::now();
        assert_eq!(call_service(&app, request).await.status(), StatusCode::OK);
        // The first turn begins at once.
        let paced = (PIECES - 1) * PIECE;
        let at_least = Duration::from_secs_f64(paced as f64 / f64::from(1 << 20));
        assert!(begin.elapsed() >= at_least, "{:?}", begin.elapsed());
    }

    async fn large(body: UnreadBody) -> HttpResponse {
        match body.read_unknown(1 << 20).await {
            Ok(_) => HttpResponse::Ok().finish(),
            Err(error) => HttpResponse::PayloadTooLarge().body(error.to_string()),
        }
    }

    #[actix_web::test]
    async fn a_route_without_limits_reads_no_large_body() {
        let rules = BodyRules {
            progress: Duration::from_secs(30),
            memory: BodyMemory::new(1 << 20),
            ..BodyRules::default()
        };
        let app = App::new()
            .app_data(web::Data::new(rules))
            .wrap(from_fn(guard_body))
            .route("/unchecked", web::post().to(unchecked))
            .route("/checked", web::post().to(checked));
        let app = init_service(app).await;
        for (path, length, status) in [
            ("/unchecked", UNCHECKED_BYTES as usize, 200),
            ("/unchecked", UNCHECKED_BYTES as usize + 1, 413),
            ("/checked", UNKNOWN_SENDER_BYTES, 200),
            ("/checked", UNKNOWN_SENDER_BYTES + 1, 413),
        ] {
            let request = TestRequest::post()
                .uri(path)
                .set_payload(vec![b'x'; length]);
            let response = call_service(&app, request.to_request()).await;
            assert_eq!(response.status().as_u16(), status, "{path} {length}");
        }
    }
}
