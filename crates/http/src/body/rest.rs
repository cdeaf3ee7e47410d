//! The rest of a request's body, after its answer.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use slipway_farm::Pace;
use tokio::time::timeout;

use super::guard::Guarded;

/// For how long the rest of a body is read and discarded after the answer: longer than the answer takes to
/// a client.
const LINGER: Duration = Duration::from_millis(500);

/// Lets the client read the response while it still sends its body.
///
/// TCP resets a connection that is closed before all sent bytes were read, and the client may lose the
/// answer. So the connection stays open for [`LINGER`], unless the body ends earlier, and the rest is
/// discarded at this pace. The server would read it as fast as it arrives.
pub(super) fn linger(
    response: ServiceResponse<BoxBody>,
    guarded: Rc<Guarded>,
    pace: Arc<Pace>,
) -> ServiceResponse<BoxBody> {
    if has_ended(&guarded) {
        return response;
    }
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    response.map_body(|_, body| {
        let size = match body.size() {
            // Clients know when a body of known length has arrived. One without bytes must say that it ends,
            // and can do so later.
            BodySize::None | BodySize::Sized(0) if is_error => BodySize::Stream,
            size => size,
        };
        BoxBody::new(WithRest {
            body,
            size,
            rest: None,
            guarded,
            pace,
        })
    })
}

/// Whether nothing more than what has arrived already, which is discarded, belongs to the body.
fn has_ended(guarded: &Guarded) -> bool {
    let mut payload = guarded.payload.borrow_mut();
    while let Some(piece) = payload.next().now_or_never() {
        if !matches!(piece, Some(Ok(_))) {
            return true;
        }
    }
    false
}

/// The body of a response, and after it the rest of the body of its request.
struct WithRest {
    body: BoxBody,
    size: BodySize,
    rest: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// Kept until the end: the server closes a connection with an unread body only while somebody could
    /// still read it. Otherwise it discards a chunked body for as long as the client sends it.
    guarded: Rc<Guarded>,
    pace: Arc<Pace>,
}

impl MessageBody for WithRest {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = &mut *self;
        if this.rest.is_none() {
            let piece = ready!(Pin::new(&mut this.body).poll_next(cx));
            if piece.is_some() {
                return Poll::Ready(piece);
            }
        }
        let rest = this.rest.get_or_insert_with(|| {
            let discarded = discard(Rc::clone(&this.guarded), Arc::clone(&this.pace));
            Box::pin(timeout(LINGER, discarded).map(drop))
        });
        ready!(rest.as_mut().poll(cx));
        Poll::Ready(None)
    }
}

async fn discard(guarded: Rc<Guarded>, pace: Arc<Pace>) {
    let next = || std::future::poll_fn(|cx| guarded.payload.borrow_mut().poll_next_unpin(cx));
    while let Some(Ok(piece)) = next().await {
        pace.wait_for_turn(piece.len() as u64).await;
    }
}

#[cfg(test)]
mod tests {
    use actix_web::dev::Payload;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, HttpResponse, web};
    use futures_util::stream;

    use super::*;
    use crate::body::{BodyRules, guard_body};

    #[actix_web::test]
    async fn only_an_error_whose_request_has_not_ended_has_an_end_of_its_own() {
        let app = App::new()
            .app_data(web::Data::new(BodyRules::default()))
            .wrap(from_fn(guard_body))
            .route("/", web::post().to(HttpResponse::Forbidden));
        let app = init_service(app).await;
        let sent = || stream::iter([Ok(Bytes::from_static(b"x"))]);
        let ended: Payload = Payload::Stream {
            payload: Box::pin(sent()),
        };
        let open: Payload = Payload::Stream {
            payload: Box::pin(sent().chain(stream::pending())),
        };
        for (payload, size) in [(ended, BodySize::Sized(0)), (open, BodySize::Stream)] {
            let (request, _) = TestRequest::post().to_request().replace_payload(payload);
            let response = call_service(&app, request).await;
            assert_eq!(response.response().body().size(), size);
            let content = actix_web::test::read_body(response).await;
            assert!(content.is_empty());
        }
    }
}
