//! One tracing span for each request, so that the log lines of a request can be found together.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;
use slipway_farm::Farm;
use tracing::Instrument as _;

/// Runs a request in a span with its id, method and route.
///
/// The route is the pattern, such as `/api/v3/projects/{id}/triggers/{token}`. The path itself and the
/// query may contain tokens, which are never logged.
pub(crate) async fn in_request_span<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let farm = request.app_data::<Data<Farm>>();
    let id = farm.map(|farm| farm.request_id()).unwrap_or_default();
    // Of the level `error`, so that the span is there whatever level is logged.
    let span = tracing::error_span!(
        "request",
        request.id = id,
        method = %request.method(),
        route = request.match_pattern(),
    );
    next.call(request).instrument(span).await
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, HttpResponse, web};

    use super::*;

    /// Collects log lines.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    async fn handler() -> HttpResponse {
        tracing::error!("Handling a request");
        HttpResponse::InternalServerError().finish()
    }

    #[actix_web::test]
    async fn the_token_of_a_trigger_never_reaches_the_log() {
        const TOKEN: &str = "sltrg-secret";
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        let route = "/api/v3/projects/{id}/triggers/{token}";
        let app = App::new()
            .wrap(from_fn(in_request_span))
            .route(route, web::get().to(handler))
            .route(
                "/api/v3/projects/{id}/trigger/builds",
                web::post().to(handler),
            )
            .default_service(web::to(handler));
        let app = init_service(app).await;
        for request in [
            TestRequest::get().uri(&format!("/api/v3/projects/1/triggers/{TOKEN}")),
            TestRequest::post().uri(&format!("/api/v3/projects/1/trigger/builds?token={TOKEN}")),
            TestRequest::get().uri(&format!("/no/such/route/{TOKEN}?token={TOKEN}")),
        ] {
            call_service(&app, request.to_request()).await;
        }
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let handled: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("Handling a request"))
            .collect();
        assert_eq!(handled.len(), 3, "{text}");
        assert!(
            handled.iter().all(|line| line.contains("request.id=")),
            "{text}"
        );
        assert!(text.contains(&format!("route=\"{route}\"")), "{text}");
        assert!(text.contains("method=POST"), "{text}");
        assert!(!text.contains(TOKEN), "{text}");
    }
}
