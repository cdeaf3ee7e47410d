//! Routes for monitoring: liveness, readiness, metrics.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, Route, web};
use slipway_farm::Farm;
use slipway_http::get_or_head;

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", read().to(alive))
        .route("/readyz", read().to(ready))
        .route("/metrics", read().to(metrics));
}

/// A route for GET and HEAD, which some load balancers send.
fn read() -> Route {
    web::route().guard(get_or_head())
}

/// `GET /healthz`: 200 while the process runs, 503 while it shuts down.
async fn alive(farm: web::Data<Farm>) -> HttpResponse {
    if farm.is_stopping() {
        HttpResponse::ServiceUnavailable()
            .content_type("text/plain")
            .body("draining")
    } else {
        HttpResponse::Ok().content_type("text/plain").body("ok")
    }
}

/// `GET /readyz`: 200 if the database answers, otherwise 503.
async fn ready(farm: web::Data<Farm>) -> HttpResponse {
    match farm.check().await {
        Ok(()) => HttpResponse::Ok().body("ok\n"),
        Err(error) => {
            error.log();
            HttpResponse::ServiceUnavailable().body("the database does not answer\n")
        }
    }
}

/// `GET /metrics`: gauges in Prometheus' text format; 503 if the database does not answer.
async fn metrics(farm: web::Data<Farm>) -> HttpResponse {
    let metrics = match farm.metrics().await {
        Ok(metrics) => metrics,
        Err(error) => {
            error.log();
            return HttpResponse::ServiceUnavailable().body("the database does not answer\n");
        }
    };
    let gauges = [
        (
            "slipway_parked_polls",
            "Runners that wait for a job.",
            metrics.parked_polls,
        ),
        ("slipway_jobs_pending", "Pending jobs.", metrics.pending),
        ("slipway_jobs_running", "Running jobs.", metrics.running),
        (
            "slipway_oldest_pending_seconds",
            "Age of the oldest pending job.",
            metrics.oldest_wait_s,
        ),
    ];
    let text: String = gauges
        .iter()
        .map(|(name, help, value)| {
            format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n")
        })
        .collect();
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/plain; version=0.0.4"))
        .body(text)
}
