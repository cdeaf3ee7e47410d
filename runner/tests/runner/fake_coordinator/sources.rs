//! The route for submitted sources.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use super::{Shared, source_token};

pub(super) async fn source(
    shared: web::Data<Shared>,
    id: web::Path<i64>,
    request: HttpRequest,
) -> HttpResponse {
    let mut state = shared.state.lock().unwrap();
    let header = request.headers().get("authorization");
    let header = header.map(|value| value.to_str().unwrap().to_owned());
    if header.is_some_and(|header| header != format!("Bearer {}", source_token(*id))) {
        state
            .violations
            .push("sources with a wrong token".to_owned());
        return HttpResponse::Unauthorized().finish();
    }
    if let Some(status) = state.source_answers.pop_front() {
        return HttpResponse::build(StatusCode::from_u16(status).unwrap()).finish();
    }
    match state.sources.get(&id) {
        Some(bytes) => HttpResponse::Ok().body(bytes.clone()),
        None => HttpResponse::NotFound().finish(),
    }
}
