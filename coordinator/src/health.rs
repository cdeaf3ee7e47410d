//! Routes for monitoring: liveness, readiness, metrics.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, Route, web};
use slipway_farm::{Farm, FarmMetrics};
use slipway_http::{Admission, BodyRules, get_or_head};

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

/// `GET /readyz`: 200 if the database answers and the disks have space, otherwise 503 with the reason.
async fn ready(farm: web::Data<Farm>) -> HttpResponse {
    if let Err(error) = farm.check().await {
        error.log();
        return HttpResponse::ServiceUnavailable().body("the database does not answer\n");
    }
    match farm.why_disk_is_full() {
        None => HttpResponse::Ok().body("ok\n"),
        // The log has it already, once.
        Some(why) => HttpResponse::ServiceUnavailable().body(format!("{why}\n")),
    }
}

/// `GET /metrics`: numbers in Prometheus' text format; 503 if the database does not answer.
async fn metrics(
    farm: web::Data<Farm>,
    bodies: web::Data<BodyRules>,
    admission: web::Data<Admission>,
) -> HttpResponse {
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
        (
            "slipway_body_memory_bytes",
            "Memory that the bodies of requests use.",
            i64::try_from(bodies.memory.used()).unwrap_or(i64::MAX),
        ),
    ];
    let mut text: String = gauges
        .iter()
        .map(|(name, help, value)| {
            format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n")
        })
        .collect();
    text.push_str(&disks(&farm));
    text.push_str(&refusals(&metrics, &bodies, &admission));
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/plain; version=0.0.4"))
        .body(text)
}

/// The space on the disks with data of the farm, and whether one is full.
fn disks(farm: &Farm) -> String {
    const FREE: &str = "slipway_disk_free_bytes";
    const FULL: &str = "slipway_disk_full";
    let usage = farm.disk_usage().into_iter();
    let free: String = usage
        .map(|disk| format!("{FREE}{{disk=\"{}\"}} {}\n", disk.name, disk.free_bytes))
        .collect();
    let full = u8::from(farm.why_disk_is_full().is_some());
    format!(
        "# HELP {FREE} Space on the disk that holds the blobs or the database.\n\
         # TYPE {FREE} gauge\n{free}\
         # HELP {FULL} Whether uploads, traces and new builds are refused for lack of space.\n\
         # TYPE {FULL} gauge\n{FULL} {full}\n"
    )
}

/// How many requests were refused to protect the farm, by reason.
fn refusals(metrics: &FarmMetrics, bodies: &BodyRules, admission: &Admission) -> String {
    const NAME: &str = "slipway_refused_requests_total";
    let others = [
        ("body_memory", bodies.memory.refusals()),
        ("sign_in", metrics.refused_sign_ins),
    ];
    let all = admission.refused().by_reason().into_iter().chain(others);
    let lines: String = all
        .map(|(reason, count)| format!("{NAME}{{reason=\"{reason}\"}} {count}\n"))
        .collect();
    format!("# HELP {NAME} Requests that were refused, by reason.\n# TYPE {NAME} counter\n{lines}")
}
