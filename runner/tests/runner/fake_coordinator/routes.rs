//! The routes of the fake coordinator.

use std::net::TcpListener;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use actix_multipart::Multipart;
use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use slipway_protocol::{ClaimRequest, UpdateRequest};

use super::{FakeJob, RUNNER_TOKEN, SECRET, Shared, Upload, job_token, pieces, sources};

pub(super) fn serve(listener: TcpListener, shared: Arc<Shared>) -> ServerHandle {
    let (sender, handle) = mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server = HttpServer::new(move || {
                App::new()
                    .app_data(web::Data::from(Arc::clone(&shared)))
                    .app_data(web::PayloadConfig::new(64 << 20))
                    .app_data(web::JsonConfig::default().limit(64 << 20))
                    .route("/sources/{id}.tar.gz", web::get().to(sources::source))
                    .service(
                        web::scope("/ci/api/v1")
                            .route("/runners/register.json", web::post().to(register))
                            .route("/runners/delete", web::delete().to(unregister))
                            .route("/builds/register.json", web::post().to(claim))
                            .route("/builds/-1", web::put().to(verify))
                            .route("/builds/{id}.json", web::put().to(update))
                            .route("/builds/{id}/trace.txt", web::patch().to(append))
                            .route("/builds/{id}/artifacts", web::get().to(download))
                            .route("/builds/{id}/package", web::get().to(package))
                            .route("/builds/{id}/artifacts", web::post().to(upload))
                            .service(
                                web::resource("/builds/{id}/uploads/{upload}")
                                    .route(web::get().to(pieces::offset))
                                    .route(web::patch().to(pieces::append))
                                    .route(web::post().to(pieces::finish)),
                            ),
                    )
            });
            let server = server
                .workers(1)
                .disable_signals()
                // Otherwise a poll outlives the runner that sent it, and claims a job for it.
                .h1_allow_half_closed(false)
                .listen(listener);
            let server = server.unwrap().run();
            sender.send(server.handle()).unwrap();
            server.await.unwrap();
        });
    });
    handle.recv().unwrap()
}

async fn register(body: web::Json<Value>) -> HttpResponse {
    match body["token"].as_str() {
        Some("slreg-right") => {
            HttpResponse::Created().json(json!({"id": 12, "token": RUNNER_TOKEN}))
        }
        _ => HttpResponse::Forbidden().finish(),
    }
}

async fn unregister(body: web::Json<Value>) -> HttpResponse {
    match body["token"].as_str() {
        Some(RUNNER_TOKEN) => HttpResponse::Ok().finish(),
        _ => HttpResponse::Forbidden().finish(),
    }
}

async fn verify(shared: web::Data<Shared>, body: web::Json<Value>) -> HttpResponse {
    if let Some(why) = body["info"]["unready"].as_str() {
        let mut state = shared.state.lock().unwrap();
        state.unready.push(why.to_owned());
        shared.changed.notify_waiters();
    }
    match body["token"].as_str() {
        Some(RUNNER_TOKEN) => HttpResponse::NotFound().finish(),
        _ => HttpResponse::Forbidden().finish(),
    }
}

/// Counts a poll while it is open.
struct OpenPoll<'a>(&'a Shared);

impl Drop for OpenPoll<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().open_polls -= 1;
        self.0.changed.notify_waiters();
    }
}

/// Counts a poll while it is held.
struct HeldPoll<'a>(&'a Shared);

impl<'a> HeldPoll<'a> {
    fn start(shared: &'a Shared) -> Self {
        shared.state.lock().unwrap().held_polls += 1;
        Self(shared)
    }
}

impl Drop for HeldPoll<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().held_polls -= 1;
    }
}

async fn claim(shared: web::Data<Shared>, body: web::Json<ClaimRequest>) -> HttpResponse {
    if body.token.as_deref() != Some(RUNNER_TOKEN) {
        return HttpResponse::Forbidden().finish();
    }
    let features = body.info.as_ref().and_then(|info| info.features);
    {
        let mut state = shared.state.lock().unwrap();
        state.polls += 1;
        state.unready.clear();
        state.open_polls += 1;
        if state.open_polls > 1 {
            state.violations.push("two concurrent polls".to_owned());
        }
        let request = body.request_id.as_ref();
        if let Some(job) = request.and_then(|id| state.claimed.get(id).cloned()) {
            state.open_polls -= 1;
            return HttpResponse::Created().json(job);
        }
        if request.is_none() {
            state
                .violations
                .push("a poll without a request id".to_owned());
        }
        if !features.is_some_and(|features| features.heartbeat) {
            state
                .violations
                .push("a poll without the heartbeat feature".to_owned());
        }
    }
    let _open = OpenPoll(&shared);
    let hold = async {
        loop {
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = shared.state.lock().unwrap();
                let revision = state.revision.to_string();
                if let Some(job) = state.queue.pop_front() {
                    let id = job["id"].as_i64().unwrap();
                    let fake = FakeJob {
                        status: "running".to_owned(),
                        ..FakeJob::default()
                    };
                    state.jobs.insert(id, fake);
                    let request = body.request_id.clone().unwrap_or_default();
                    state.claimed.insert(request, job.clone());
                    if state.failing_claim_answers > 0 {
                        state.failing_claim_answers -= 1;
                        return HttpResponse::BadGateway().finish();
                    }
                    return HttpResponse::Created().json(job);
                }
                if body.last_update.as_ref() != Some(&revision) {
                    return HttpResponse::NoContent()
                        .insert_header(("X-GitLab-Last-Update", revision))
                        .finish();
                }
            }
            let _held = HeldPoll::start(&shared);
            changed.await;
        }
    };
    let answer = actix_web::rt::time::timeout(Duration::from_secs(20), hold).await;
    answer.unwrap_or_else(|_| HttpResponse::NoContent().finish())
}

async fn update(
    shared: web::Data<Shared>,
    id: web::Path<i64>,
    request: HttpRequest,
    body: web::Json<UpdateRequest>,
) -> HttpResponse {
    if body.token.as_deref() != Some(RUNNER_TOKEN) {
        return HttpResponse::Forbidden().finish();
    }
    if body.state.as_deref() == Some("running") {
        return heartbeat(&shared, *id, &request, &body).await;
    }
    let mut guard = shared.state.lock().unwrap();
    let state = &mut *guard;
    let lost = std::mem::take(&mut state.lost_trace_bytes);
    let Some(held) = state.jobs.get_mut(&id) else {
        return HttpResponse::NotFound().finish();
    };
    if held.status != "running" {
        if held.status == "canceled" {
            held.reports_after_cancel.push(body.into_inner());
            shared.changed.notify_waiters();
        }
        return HttpResponse::NotFound().finish();
    }
    held.trace.truncate(held.trace.len().saturating_sub(lost));
    let Some(sum) = body.trace_sum else {
        state
            .violations
            .push("a report without a trace sum".to_owned());
        return HttpResponse::BadRequest().finish();
    };
    if sum.length != held.trace.len() as u64 {
        if lost == 0 {
            let violation = "a report before the whole trace was stored";
            state.violations.push(violation.to_owned());
        }
        return HttpResponse::RangeNotSatisfiable()
            .insert_header(("Range", format!("0-{}", held.trace.len())))
            .finish();
    }
    if sum.crc32 != crc32fast::hash(&held.trace) {
        state.violations.push("a wrong checksum".to_owned());
    }
    match body.state.as_deref() {
        Some(word @ ("success" | "failed")) => held.status = word.to_owned(),
        other => state
            .violations
            .push(format!("an unknown state: {other:?}")),
    }
    held.report = Some(body.into_inner());
    shared.changed.notify_waiters();
    HttpResponse::Ok().finish()
}

async fn heartbeat(
    shared: &Shared,
    id: i64,
    request: &HttpRequest,
    body: &UpdateRequest,
) -> HttpResponse {
    if let Some(phase) = &body.phase {
        let mut state = shared.state.lock().unwrap();
        let canceled_at = state.canceled_at;
        if let Some(held) = state.jobs.get_mut(&id)
            && canceled_at == Some(phase)
        {
            held.status = "canceled".to_owned();
        }
        if let Some(held) = state.jobs.get_mut(&id)
            && held.phases.last() != Some(phase)
        {
            held.phases.push(phase.clone());
            held.bases.extend(body.base_image.clone());
        }
        shared.changed.notify_waiters();
    }
    let wait = request.headers().get("Prefer").map(|value| {
        let value = value.to_str().unwrap();
        value.strip_prefix("wait=").unwrap().parse::<u64>().unwrap()
    });
    if wait.is_some_and(|wait| wait > 5) {
        let mut state = shared.state.lock().unwrap();
        state
            .violations
            .push(format!("a heartbeat with a wait of {wait:?} s"));
    }
    let ended = async {
        loop {
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = shared.state.lock().unwrap();
                let job = state.jobs.get(&id);
                if job.is_none_or(|job| job.status != "running") {
                    return;
                }
            }
            changed.await;
        }
    };
    let wait = Duration::from_secs(wait.unwrap_or(0));
    match actix_web::rt::time::timeout(wait, ended).await {
        Ok(()) => HttpResponse::NotFound().finish(),
        Err(_) => HttpResponse::Ok().finish(),
    }
}

async fn append(
    shared: web::Data<Shared>,
    id: web::Path<i64>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let header = |name: &str| {
        let value = request.headers().get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    };
    let mut guard = shared.state.lock().unwrap();
    let state = &mut *guard;
    if header("BUILD-TOKEN") != job_token(*id) {
        state
            .violations
            .push("a trace piece with a wrong token".to_owned());
        return HttpResponse::Forbidden().finish();
    }
    if body.len() > 1 << 20
        || body
            .windows(SECRET.len())
            .any(|part| part == SECRET.as_bytes())
    {
        state
            .violations
            .push("a trace piece that is too large or contains the secret".to_owned());
    }
    let range = header("Content-Range").split_once('-');
    let range = range.map(|(start, end)| (start.parse::<usize>(), end.parse::<usize>()));
    let Some((Ok(start), Ok(end))) = range else {
        state
            .violations
            .push("a trace piece without a range".to_owned());
        return HttpResponse::BadRequest().finish();
    };
    if end.checked_sub(start) != Some(body.len()) {
        state
            .violations
            .push("a range that does not match its trace piece".to_owned());
    }
    let Some(held) = state.jobs.get_mut(&id) else {
        return HttpResponse::NotFound().finish();
    };
    let mut answer = HttpResponse::RangeNotSatisfiable();
    if start == held.trace.len() {
        held.trace.extend_from_slice(&body);
        answer = HttpResponse::Accepted();
        if state.failing_trace_answers > 0 {
            state.failing_trace_answers -= 1;
            answer = HttpResponse::BadGateway();
        }
    }
    shared.changed.notify_waiters();
    if state.is_followed {
        answer.insert_header(("Slipway-Trace-Followed", "true"));
    }
    answer
        .insert_header(("Build-Status", held.status.clone()))
        .insert_header(("Range", format!("0-{}", held.trace.len())))
        .finish()
}

pub(super) fn has_token(request: &HttpRequest, id: i64) -> bool {
    let token = request.headers().get("BUILD-TOKEN");
    token.is_some_and(|token| *token == *job_token(id))
}

async fn download(
    shared: web::Data<Shared>,
    id: web::Path<i64>,
    request: HttpRequest,
) -> HttpResponse {
    let mut state = shared.state.lock().unwrap();
    if !has_token(&request, *id) {
        state
            .violations
            .push("a download with a wrong token".to_owned());
        return HttpResponse::Forbidden().finish();
    }
    match state.artifacts.get(&id) {
        Some(bytes) => HttpResponse::Ok().body(bytes.clone()),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn package(
    shared: web::Data<Shared>,
    id: web::Path<i64>,
    request: HttpRequest,
) -> HttpResponse {
    let mut state = shared.state.lock().unwrap();
    if !has_token(&request, *id) {
        state
            .violations
            .push("a package with a wrong token".to_owned());
        return HttpResponse::Forbidden().finish();
    }
    match state.packages.get(&id) {
        Some((kind, bytes)) => HttpResponse::Ok().content_type(*kind).body(bytes.clone()),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn upload(
    shared: web::Data<Shared>,
    id: web::Path<i64>,
    request: HttpRequest,
    mut form: Multipart,
) -> HttpResponse {
    let mut sent = None;
    while let Some(mut field) = form.next().await.transpose().unwrap() {
        let disposition = field.content_disposition().unwrap();
        let name = disposition.get_filename().unwrap_or("").to_owned();
        let is_file = field.name() == Some("file");
        let mut bytes = Vec::new();
        while let Some(piece) = field.try_next().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        if is_file {
            let query = request.query_string().to_owned();
            sent = Some(Upload { name, query, bytes });
        }
    }
    let mut guard = shared.state.lock().unwrap();
    let state = &mut *guard;
    if !has_token(&request, *id) || sent.is_none() {
        let violation = "an upload with a wrong token or without a file";
        state.violations.push(violation.to_owned());
    }
    if request.headers().contains_key("content-length") {
        // A length would mean that the runner had the whole file in memory.
        let violation = "an upload that was not streamed";
        state.violations.push(violation.to_owned());
    }
    if let Some(status) = state.upload_answers.pop_front() {
        return HttpResponse::build(StatusCode::from_u16(status).unwrap()).finish();
    }
    let Some(held) = state
        .jobs
        .get_mut(&id)
        .filter(|job| job.status == "running")
    else {
        state
            .violations
            .push("an upload after the job ended".to_owned());
        return HttpResponse::Forbidden().finish();
    };
    held.uploads.extend(sent);
    HttpResponse::Created().json(json!({}))
}
