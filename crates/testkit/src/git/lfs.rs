//! A strict Git LFS server: the batch API and the basic transfer adapter.

use std::path::Path;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::request::header;

const JSON: &str = "application/vnd.git-lfs+json";
/// The authorization that the batch API returns for one file, instead of the login.
const TICKET: &str = "RemoteAuth ticket";

/// Answers a request of the LFS API; returns `None` for requests of git. The files are on this server
/// unless `elsewhere` is the base URL of another.
pub(super) fn answer(
    request: &HttpRequest,
    body: &[u8],
    root: &Path,
    elsewhere: Option<&str>,
) -> Option<HttpResponse> {
    let path = request.path();
    if path.contains(".git/info/lfs/") {
        let is_batch = path.ends_with(".git/info/lfs/objects/batch");
        return Some(if is_batch && request.method() == Method::POST {
            batch(request, body, root, elsewhere)
        } else {
            HttpResponse::NotFound().finish()
        });
    }
    None
}

/// Serves one file. The request needs the file's ticket, not the login.
pub(super) fn object(request: &HttpRequest, root: &Path) -> Option<HttpResponse> {
    let oid = request.path().strip_prefix("/lfs-objects/")?;
    let content = std::fs::read(objects(root).join(oid));
    let given = header(request, "Authorization");
    Some(match content {
        _ if given != Some(TICKET) => HttpResponse::Unauthorized().finish(),
        Ok(content) => HttpResponse::Ok()
            .content_type("application/octet-stream")
            .body(content),
        Err(_) => HttpResponse::NotFound().finish(),
    })
}

/// The directory of the contents, named by their SHA-256.
pub(super) fn objects(served: &Path) -> std::path::PathBuf {
    served.with_file_name("lfs-objects")
}

fn batch(request: &HttpRequest, body: &[u8], root: &Path, elsewhere: Option<&str>) -> HttpResponse {
    let has_header = |name, expected: &str| {
        let value = header(request, name).unwrap_or_default();
        value.starts_with(expected)
    };
    let batch: Value = serde_json::from_slice(body).unwrap_or_default();
    let transfers = batch["transfers"].as_array();
    let is_basic = transfers.is_none_or(|all| all.iter().any(|one| one == "basic"));
    let is_download = batch["operation"] == "download" && batch["objects"].is_array();
    if !has_header("Accept", JSON) || !has_header("Content-Type", JSON) || !is_basic || !is_download
    {
        return HttpResponse::UnprocessableEntity()
            .content_type(JSON)
            .json(json!({"message": "not a download request"}));
    }
    let host = header(request, "Host").unwrap_or_default();
    let own = format!("http://{host}");
    let base = elsewhere.unwrap_or(&own);
    let wanted = batch["objects"].as_array().cloned().unwrap_or_default();
    let found = wanted.iter().map(|object| {
        let (oid, size) = (object["oid"].as_str().unwrap_or_default(), &object["size"]);
        let held = std::fs::metadata(objects(root).join(oid)).ok();
        match held.filter(|held| json!(held.len()) == *size) {
            Some(_) => json!({"oid": oid, "size": size, "authenticated": true, "actions": {
                "download": {
                    "href": format!("{base}/lfs-objects/{oid}"),
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
