//! Every route with every kind of credential, and every route with hostile requests.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, stream};
use reqwest::{Method, RequestBuilder};

use super::hostile;
use super::matrix::{Matrix, Row};
use super::targets::Targets;
use crate::trials::http::{Http, status};

/// Requests at the same time.
const PARALLEL: usize = 8;
/// Time until a request is sent again that was refused as one too many.
const PAUSE: Duration = Duration::from_millis(100);
/// Kinds that the short form uses: one that is unknown, one that ended, and those of other projects.
const SHORT: [&str; 8] = [
    "none",
    "blocked-owner",
    "registration",
    "other-job",
    "runners-token",
    "outsider",
    "owner-scope-namespaces",
    "reader",
];

/// Sends every row with each kind of credential; returns the number of requests.
///
/// # Errors
/// If a credential is accepted that must be refused, or the other way around.
pub(super) async fn every_credential(
    http: &Http,
    matrix: &Matrix,
    targets: &Targets,
    is_long: bool,
) -> Result<usize> {
    let kinds = matrix.kinds.iter().copied();
    let kinds: Vec<&str> = kinds
        .filter(|kind| is_long || SHORT.contains(kind))
        .collect();
    let mut cases = Vec::new();
    for row in &matrix.rows {
        for kind in &kinds {
            let is_allowed = row.allowed.contains(kind);
            // What is allowed and changes something is left out: later rows need what is there.
            if !is_allowed || row.method == "GET" {
                cases.push((row, *kind, is_allowed));
            }
        }
    }
    let number = cases.len();
    let sent = stream::iter(cases).map(async |(row, kind, is_allowed)| {
        let request = request(http, row, targets, targets.credentials.get(kind))?;
        let (method, path) = (row.method, row.path);
        let status = answered(request).await;
        let status = status.with_context(|| format!("{method} {path} with {kind}"))?;
        // Without a token, some protocols call it missing.
        let is_refused = matches!(status, 401 | 403 | 404 | 405) || kind == "none" && status == 400;
        let is_right = is_refused != is_allowed && status != 500;
        Ok::<_, anyhow::Error>((!is_right).then(|| {
            let expected = if is_allowed { "accepted" } else { "refused" };
            format!("{method} {path} with {kind} is answered {status}; it must be {expected}")
        }))
    });
    report(sent.buffer_unordered(PARALLEL).collect::<Vec<_>>().await)?;
    Ok(number)
}

/// Sends hostile paths, headers and bodies to every row, as an owner; returns the number of requests.
///
/// # Errors
/// If one is answered 500, or not at all.
pub(super) async fn hostile_requests(
    http: &Http,
    matrix: &Matrix,
    targets: &Targets,
    is_long: bool,
) -> Result<usize> {
    let mut cases = Vec::new();
    for (index, row) in matrix.rows.iter().enumerate() {
        // These would revoke the credential itself.
        let revokes = row.path.ends_with("/tokens") || row.path.ends_with("/logout");
        if revokes && row.method != "GET" {
            continue;
        }
        let variants = hostile::variants(row.method);
        for (number, variant) in variants.into_iter().enumerate() {
            if is_long || number % 8 == index % 8 {
                cases.push((row, variant));
            }
        }
    }
    let number = cases.len();
    let sent = stream::iter(cases).map(async |(row, variant)| {
        let owner = targets.credentials.get("namespace-owner");
        let path = fill(row.path, targets)?;
        let request = http.plain(row.method.parse()?, &variant.path(&path));
        let request = with_credential(request, owner);
        let what = format!("{} {} with {}", row.method, row.path, variant.name());
        let problem = match status(variant.apply(request)).await {
            Some(status) if status != 500 => None,
            Some(_) => Some(format!("{what} is answered 500")),
            None => Some(format!("{what} is not answered")),
        };
        Ok::<_, anyhow::Error>(problem)
    });
    report(sent.buffer_unordered(PARALLEL).collect::<Vec<_>>().await)?;
    Ok(number)
}

fn report(results: Vec<Result<Option<String>>>) -> Result<()> {
    let results: Result<Vec<Option<String>>> = results.into_iter().collect();
    let problems: Vec<String> = results?.into_iter().flatten().collect();
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        bail!("{} wrong answers", problems.len());
    }
    Ok(())
}

/// A request of the row, with the credential wherever a protocol takes one.
fn request(
    http: &Http,
    row: &Row,
    targets: &Targets,
    credential: Option<&String>,
) -> Result<RequestBuilder> {
    let mut path = fill(row.path, targets)?;
    if let Some(credential) = credential {
        let first = if path.contains('?') { '&' } else { '?' };
        path = format!("{path}{first}private_token={credential}&token={credential}");
    }
    let method: Method = row.method.parse()?;
    let request = with_credential(http.plain(method, &path), credential);
    if row.method == "GET" {
        return Ok(request);
    }
    if row.method == "PATCH" && row.path.contains("trace") {
        let request = request.header("Content-Range", "0-2");
        return Ok(request.header("Content-Type", "text/plain").body("hi"));
    }
    let is_upload = row.path.ends_with("/artifacts") && !row.path.starts_with("/v1");
    if row.method == "POST" && is_upload {
        let request = request.header("Content-Type", "multipart/form-data; boundary=b");
        return Ok(request.body(super::targets::FORM));
    }
    let body = match (row.body, credential) {
        (Some(body), _) => body
            .replace("{ns}", &targets.values["ns"])
            .replace("{name}", &targets.values["name"])
            .replace("{n}", "attack"),
        (None, Some(credential)) => format!("{{\"token\":\"{credential}\"}}"),
        (None, None) => "{}".to_owned(),
    };
    let json = "application/json";
    Ok(request.header("Content-Type", json).body(body))
}

fn with_credential(request: RequestBuilder, credential: Option<&String>) -> RequestBuilder {
    let Some(credential) = credential else {
        return request;
    };
    let request = request.bearer_auth(credential);
    let names = ["PRIVATE-TOKEN", "JOB-TOKEN", "BUILD-TOKEN", "RUNNER-TOKEN"];
    names
        .into_iter()
        .fold(request, |request, name| request.header(name, credential))
}

/// Replaces the placeholders of a path.
pub(super) fn fill(path: &str, targets: &Targets) -> Result<String> {
    let mut filled = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').context("a placeholder is open")?;
        let value = targets.values.get(name);
        filled += before;
        filled += value.with_context(|| format!("{{{name}}} of {path} is unknown"))?;
        rest = after;
    }
    Ok(filled + rest)
}

/// Sends a request until it is not refused as one too many; returns the status.
async fn answered(request: RequestBuilder) -> Result<u16> {
    loop {
        let again = request.try_clone().context("a body that is a stream")?;
        let status = status(again).await.context("the farm does not answer")?;
        if status != 429 {
            return Ok(status);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
