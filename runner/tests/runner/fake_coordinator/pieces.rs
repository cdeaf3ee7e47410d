//! Uploads in pieces at the fake coordinator.

use std::collections::{HashMap, VecDeque};

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use slipway_protocol::FinishUploadRequest;

use super::routes::has_token;
use super::{Shared, Upload};

/// What happens to a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is stored, but the answer is lost.
    AnswerLost,
    /// It is not stored.
    Lost,
    /// It is too large.
    TooLarge,
    /// It is stored with a wrong byte.
    Corrupted,
}

#[derive(Default)]
pub(crate) struct Pieces {
    stored: HashMap<String, Vec<u8>>,
    /// What happens to the next pieces.
    pub(crate) fates: VecDeque<Fate>,
    /// How many of the next answers to the end of an upload are lost, after the file is an artifact.
    pub(crate) lost_ends: usize,
    /// How many bytes have arrived, including those that were not stored.
    pub(crate) received: usize,
    /// All requests, by their methods.
    pub(crate) requests: Vec<&'static str>,
}

impl Pieces {
    fn answer(&self, status: u16, upload: &str) -> HttpResponse {
        let length = self.stored.get(upload).map_or(0, Vec::len);
        let status = actix_web::http::StatusCode::from_u16(status).unwrap();
        HttpResponse::build(status)
            .insert_header(("Range", format!("0-{length}")))
            .finish()
    }
}

pub(super) async fn offset(
    shared: web::Data<Shared>,
    path: web::Path<(i64, String)>,
    request: HttpRequest,
) -> HttpResponse {
    let mut state = shared.state.lock().unwrap();
    check_token(&mut state, &request, path.0);
    state.pieces.requests.push("GET");
    state.pieces.answer(200, &path.1)
}

pub(super) async fn append(
    shared: web::Data<Shared>,
    path: web::Path<(i64, String)>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let mut guard = shared.state.lock().unwrap();
    let state = &mut *guard;
    check_token(state, &request, path.0);
    shared.changed.notify_waiters();
    let range = request.headers().get("Content-Range").unwrap().to_str();
    let (start, end) = range.unwrap().split_once('-').unwrap();
    let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
    if end - start != body.len() || body.len() > 8 << 20 {
        state
            .violations
            .push(format!("a piece of {} bytes", body.len()));
    }
    state.pieces.requests.push("PATCH");
    state.pieces.received += body.len();
    let fate = state.pieces.fates.pop_front();
    match fate {
        Some(Fate::Lost) => return HttpResponse::BadGateway().finish(),
        Some(Fate::TooLarge) => return HttpResponse::PayloadTooLarge().finish(),
        Some(Fate::AnswerLost | Fate::Corrupted) | None => {}
    }
    let stored = state.pieces.stored.entry(path.1.clone()).or_default();
    if stored.len() != start {
        return state.pieces.answer(416, &path.1);
    }
    stored.extend_from_slice(&body);
    if fate == Some(Fate::Corrupted) {
        stored[start] ^= 1;
    }
    match fate {
        Some(Fate::AnswerLost) => HttpResponse::BadGateway().finish(),
        _ => state.pieces.answer(202, &path.1),
    }
}

pub(super) async fn finish(
    shared: web::Data<Shared>,
    path: web::Path<(i64, String)>,
    request: HttpRequest,
    body: web::Json<FinishUploadRequest>,
) -> HttpResponse {
    let mut guard = shared.state.lock().unwrap();
    let state = &mut *guard;
    check_token(state, &request, path.0);
    shared.changed.notify_waiters();
    state.pieces.requests.push("POST");
    let bytes = state
        .pieces
        .stored
        .get(&path.1)
        .cloned()
        .unwrap_or_default();
    if bytes.len() as u64 != body.size {
        return state.pieces.answer(416, &path.1);
    }
    if hex::encode(Sha256::digest(&bytes)) != body.sha256 {
        state.pieces.stored.remove(&path.1);
        return HttpResponse::UnprocessableEntity().finish();
    }
    let job = state.jobs.get_mut(&path.0).unwrap();
    job.uploads = vec![Upload {
        name: body.filename.clone().unwrap_or_default(),
        query: String::new(),
        bytes,
    }];
    if state.pieces.lost_ends > 0 {
        state.pieces.lost_ends -= 1;
        return HttpResponse::BadGateway().finish();
    }
    HttpResponse::Created().json(json!({}))
}

fn check_token(state: &mut super::State, request: &HttpRequest, job: i64) {
    if !has_token(request, job) {
        state
            .violations
            .push("an upload with a wrong token".to_owned());
    }
}
