//! Push hooks: parses the deliveries of forges into the farm's [`Push`].
//!
//! A delivery is verified before it is used. Only the name of the repository is read first, because
//! it selects the project whose secret the delivery must be signed with.

mod delivery;
mod gitea;
mod github;
mod github_format;
mod gitlab;
mod push;

use actix_web::guard::fn_guard;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use slipway_domain::ProjectPath;
use slipway_farm::{Farm, Forge, Proof, Push, PushOutcome};
use slipway_http::UnreadBody;

use self::delivery::Delivery;
use crate::error::ConveyorError;
use crate::routes::{Answer, not_found};

/// The response to a push whose repository is still being read.
const LATE: &str = "accepted: the build is created when the repository has been read";

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    let is_from_github = fn_guard(|context| context.head().headers().contains_key(github::EVENT));
    config
        .service(
            web::resource("/")
                // Conveyor takes GitHub's deliveries at the root.
                .route(web::post().guard(is_from_github).to(github_hook))
                .default_service(web::to(not_found)),
        )
        .service(
            web::resource("/hooks/github")
                .route(web::post().to(github_hook))
                .default_service(web::to(not_found)),
        )
        .service(
            web::resource("/hooks/gitlab")
                .route(web::post().to(gitlab_hook))
                .default_service(web::to(not_found)),
        )
        .service(
            web::resource("/hooks/gitea")
                .route(web::post().to(gitea_hook))
                .default_service(web::to(not_found)),
        );
}

/// `POST /` and `POST /hooks/github`, with `X-GitHub-Event`: builds a pushed commit.
///
/// 200 with the build's id, or with a sentence if nothing is built; 202 if the build is created later,
/// because reading the repository takes long; 400 if the delivery cannot be parsed; 403 if it is not
/// signed correctly; 413.
async fn github_hook(farm: Data<Farm>, http: HttpRequest, body: UnreadBody) -> Answer {
    let proof = github::proof(http.headers())?;
    let delivery = Delivery::read(&http, body).await?;
    let unverified = Unverified {
        forge: Forge::GitHub,
        repository: github_format::repository(&delivery),
        proof,
        event: github::event,
    };
    accept(&farm, &delivery, &unverified).await
}

/// `POST /hooks/gitlab`, with `X-Gitlab-Event` and `X-Gitlab-Token`: builds a pushed commit.
///
/// Answers like the hook for GitHub.
async fn gitlab_hook(farm: Data<Farm>, http: HttpRequest, body: UnreadBody) -> Answer {
    let proof = gitlab::proof(http.headers())?;
    let delivery = Delivery::read(&http, body).await?;
    let unverified = Unverified {
        forge: Forge::GitLab,
        repository: gitlab::repository(&delivery),
        proof,
        event: gitlab::event,
    };
    accept(&farm, &delivery, &unverified).await
}

/// `POST /hooks/gitea`, with `X-Gitea-Event` or `X-Forgejo-Event`: builds a pushed commit.
///
/// Answers like the hook for GitHub.
async fn gitea_hook(farm: Data<Farm>, http: HttpRequest, body: UnreadBody) -> Answer {
    let proof = gitea::proof(http.headers())?;
    let delivery = Delivery::read(&http, body).await?;
    let unverified = Unverified {
        forge: Forge::Gitea,
        repository: github_format::repository(&delivery),
        proof,
        event: gitea::event,
    };
    accept(&farm, &delivery, &unverified).await
}

/// A delivery that has not been verified yet.
struct Unverified {
    forge: Forge,
    /// The repository that the event is about, if the delivery names one.
    repository: Option<ProjectPath>,
    proof: OwnedProof,
    /// Parses the event, once the delivery is verified.
    event: fn(&Delivery) -> Event,
}

/// What the headers of a delivery prove. They are read before the body: a delivery that proves nothing
/// is refused without it.
enum OwnedProof {
    Sha256(Vec<u8>),
    Sha1(Vec<u8>),
    Token(String),
}

impl OwnedProof {
    fn borrowed(&self) -> Proof<'_> {
        match self {
            OwnedProof::Sha256(signature) => Proof::Sha256(signature),
            OwnedProof::Sha1(signature) => Proof::Sha1(signature),
            OwnedProof::Token(token) => Proof::Token(token),
        }
    }
}

enum Event {
    Push(Box<Push>),
    /// An event that builds nothing; the text is the response.
    Ignored(String),
    /// The event cannot be parsed; the text says why.
    Malformed(String),
}

/// A header of a delivery, if it is text.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

async fn accept(farm: &Farm, delivery: &Delivery, unverified: &Unverified) -> Answer {
    let proof = unverified.proof.borrowed();
    let repository = unverified.repository.as_ref();
    let hook = farm.verify_hook(unverified.forge, repository, delivery.body(), proof);
    // Nothing about the event is returned before this check: a forged delivery learns nothing.
    let hook = hook.await??;
    let (status, text) = match (unverified.event)(delivery) {
        Event::Ignored(text) => (StatusCode::OK, text),
        Event::Malformed(why) => return Err(ConveyorError::BadRequest(why)),
        Event::Push(push) => match farm.handle_push(&hook, *push).await? {
            PushOutcome::Build(build) => (StatusCode::OK, build.to_string()),
            PushOutcome::NotBuilt(why) => (StatusCode::OK, format!("nothing is built: {why}")),
            PushOutcome::Accepted => (StatusCode::ACCEPTED, LATE.to_owned()),
        },
    };
    Ok(HttpResponse::build(status)
        .content_type("text/plain; charset=utf-8")
        .body(text))
}
