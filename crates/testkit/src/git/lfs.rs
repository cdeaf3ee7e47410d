//! The server's side of Git LFS: its batch API and its basic transfer, read strictly.

use std::path::Path;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

const JSON: &str = "application/vnd.git-lfs+json";
/// What the batch API hands out for one file, in the place of the login.
const TICKET: &str = "RemoteAuth ticket";

/// Answers what is for LFS; nothing when the request is for git.
pub(super) fn answer(request: &HttpRequest, body: &[u8], root: &Path) -> Option<HttpResponse> {
    let path = request.path();
    if path.contains(".git/info/lfs/") {
        let is_batch = path.ends_with(".git/info/lfs/objects/batch");
        return Some(match is_batch && request.method() == Method::POST {
            true => batch(request, body, root),
            false => HttpResponse::NotFound().finish(),
        });
    }
    None
}

/// One file; asked with its ticket, not with the login.
pub(super) fn object(request: &HttpRequest, root: &Path) -> Option<HttpResponse> {
    let oid = request.path().strip_prefix("/lfs-objects/")?;
    let held = std::fs::read(objects(root).join(oid));
    let given = super::http::header(request, "Authorization");
    Some(match held {
        _ if given != Some(TICKET) => HttpResponse::Unauthorized().finish(),
        Ok(content) => HttpResponse::Ok()
            .content_type("application/octet-stream")
            .body(content),
        Err(_) => HttpResponse::NotFound().finish(),
    })
}

/// Where the contents are, by their SHA-256.
pub(super) fn objects(served: &Path) -> std::path::PathBuf {
    served.with_file_name("lfs-objects")
}

fn batch(request: &HttpRequest, body: &[u8], root: &Path) -> HttpResponse {
    let says = |name, expected: &str| {
        let value = super::http::header(request, name).unwrap_or_default();
        value.starts_with(expected)
    };
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let transfers = asked["transfers"].as_array();
    let is_basic = transfers.is_none_or(|all| all.iter().any(|one| one == "basic"));
    let is_download = asked["operation"] == "download" && asked["objects"].is_array();
    if !says("Accept", JSON) || !says("Content-Type", JSON) || !is_basic || !is_download {
        return HttpResponse::UnprocessableEntity()
            .content_type(JSON)
            .json(json!({"message": "this is no request for a download"}));
    }
    let host = super::http::header(request, "Host").unwrap_or_default();
    let wanted = asked["objects"].as_array().cloned().unwrap_or_default();
    let found = wanted.iter().map(|object| {
        let (oid, size) = (object["oid"].as_str().unwrap_or_default(), &object["size"]);
        let held = std::fs::metadata(objects(root).join(oid)).ok();
        match held.filter(|held| json!(held.len()) == *size) {
            Some(_) => json!({"oid": oid, "size": size, "authenticated": true, "actions": {
                "download": {
                    "href": format!("http://{host}/lfs-objects/{oid}"),
                    "header": {"Authorization": TICKET},
                },
            }}),
            None => json!({"oid": oid, "size": size,
                "error": {"code": 404, "message": "Object does not exist"}}),
        }
    });
    let objects: Vec<Value> = found.collect();
    HttpResponse::Ok()
        .content_type(JSON)
        .json(json!({"transfer": "basic", "objects": objects}))
}
