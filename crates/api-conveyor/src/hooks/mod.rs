//! Push hooks: what each forge sends, read into what the farm takes.
//!
//! A delivery is believed before it is read, but for the name of the repository, which says whose
//! secret it has to be signed with.

mod gitea;
mod github;
mod gitlab;

use actix_web::guard::fn_guard;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use actix_web::web::{self, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use slipway_domain::{CommitSha, GitRef, ProjectPath};
use slipway_farm::{Farm, Forge, Proof, Push};
use slipway_http::{Query, check_declared_length, read_body};

use crate::error::ConveyorError;
use crate::routes::not_there;

/// The longest delivery that is read, in bytes.
const MAX_DELIVERY: usize = 25 << 20;
/// What in a commit's message has every step run anew.
const NO_CACHE: &str = "[docker nocache]";

type Answer = Result<HttpResponse, ConveyorError>;

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    let from_github = fn_guard(|context| context.head().headers().contains_key(github::EVENT));
    config
        .service(
            web::resource("/")
                .route(web::post().guard(from_github).to(from_github_hook))
                .default_service(web::to(not_there)),
        )
        .service(
            web::resource("/hooks/github")
                .route(web::post().to(from_github_hook))
                .default_service(web::to(not_there)),
        )
        .service(
            web::resource("/hooks/gitlab")
                .route(web::post().to(from_gitlab_hook))
                .default_service(web::to(not_there)),
        )
        .service(
            web::resource("/hooks/gitea")
                .route(web::post().to(from_gitea_hook))
                .default_service(web::to(not_there)),
        );
}

/// `POST /` and `POST /hooks/github`, with `X-GitHub-Event`: builds what was pushed.
///
/// 200 with the build's id, or with a sentence when nothing is built; 400 for a delivery that
/// cannot be read; 403 for one that is not signed, and while builds are off; 404 for a project that
/// is not there; 413.
async fn from_github_hook(farm: Data<Farm>, http: HttpRequest, payload: Payload) -> Answer {
    let delivery = Delivery::read(&http, payload).await?;
    take(&farm, &delivery, &github::read(&delivery)?).await
}

/// `POST /hooks/gitlab`, with `X-Gitlab-Event` and `X-Gitlab-Token`: builds what was pushed.
///
/// As for GitHub.
async fn from_gitlab_hook(farm: Data<Farm>, http: HttpRequest, payload: Payload) -> Answer {
    let delivery = Delivery::read(&http, payload).await?;
    take(&farm, &delivery, &gitlab::read(&delivery)?).await
}

/// `POST /hooks/gitea`, with `X-Gitea-Event` or `X-Forgejo-Event`: builds what was pushed.
///
/// As for GitHub.
async fn from_gitea_hook(farm: Data<Farm>, http: HttpRequest, payload: Payload) -> Answer {
    let delivery = Delivery::read(&http, payload).await?;
    take(&farm, &delivery, &gitea::read(&delivery)?).await
}

/// What was sent, as it came.
struct Delivery {
    headers: HeaderMap,
    /// What is signed.
    body: Bytes,
    /// The JSON in it.
    json: Bytes,
}

impl Delivery {
    async fn read(http: &HttpRequest, payload: Payload) -> Result<Self, ConveyorError> {
        check_declared_length(http.headers(), MAX_DELIVERY)?;
        let body = read_body(payload, MAX_DELIVERY).await?;
        let headers = http.headers().clone();
        let form = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        // GitHub and Gitea send the same JSON as a form when they are set up so.
        let payload = form.then(|| {
            let form = Query::parse_bytes(&body);
            let json = form.first("payload");
            json.map(|json| Bytes::from(json.to_owned()))
        });
        Ok(Self {
            json: payload.flatten().unwrap_or_else(|| body.clone()),
            headers,
            body,
        })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The first of several headers that is there.
    fn any_header(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.header(name))
    }

    /// Reads the JSON, or a part of it.
    fn parse<T: DeserializeOwned>(&self) -> Result<T, ConveyorError> {
        let read = serde_json::from_slice(&self.json);
        read.map_err(|error| {
            ConveyorError::BadRequest(format!("the delivery is no event: {error}"))
        })
    }
}

/// What a forge's delivery says, before anybody has looked whether it is true.
struct Claim {
    forge: Forge,
    /// The repository it is about, where it names one.
    repository: Option<ProjectPath>,
    proof: OwnedProof,
    event: Event,
}

enum OwnedProof {
    Sha256(Vec<u8>),
    Sha1(Vec<u8>),
    Token(String),
    None,
}

impl OwnedProof {
    fn borrowed(&self) -> Proof<'_> {
        match self {
            OwnedProof::Sha256(mark) => Proof::Sha256(mark),
            OwnedProof::Sha1(mark) => Proof::Sha1(mark),
            OwnedProof::Token(token) => Proof::Token(token),
            OwnedProof::None => Proof::None,
        }
    }
}

/// What happened.
enum Event {
    /// Something was pushed.
    Push(Box<Push>),
    /// Something that builds nothing; the text is the answer.
    Nothing(String),
    /// A delivery that cannot be read, which only who is believed is told.
    Unreadable(String),
}

async fn take(farm: &Farm, delivery: &Delivery, claim: &Claim) -> Answer {
    let proof = claim.proof.borrowed();
    let repository = claim.repository.as_ref();
    let hook = farm.verify_hook(claim.forge, repository, &delivery.body, proof);
    let hook = hook.await??;
    let text = match &claim.event {
        Event::Nothing(text) => text.clone(),
        Event::Unreadable(why) => return Err(ConveyorError::BadRequest(why.clone())),
        Event::Push(push) => farm
            .handle_push(&hook, Push::clone(push))
            .await?
            .to_string(),
    };
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body(text))
}

/// The fields of a push that the forges agree on, as text.
struct Pushed<'a> {
    repository: &'a str,
    default_branch: Option<&'a str>,
    git_ref: &'a str,
    sha: &'a str,
    message: &'a str,
    delivery: Option<&'a str>,
}

impl Pushed<'_> {
    /// The event that this is: a push to a branch or a tag, or nothing that is built.
    fn event(&self) -> Event {
        let (name, ref_is_tag) = match (
            self.git_ref.strip_prefix("refs/heads/"),
            self.git_ref.strip_prefix("refs/tags/"),
        ) {
            (Some(branch), _) => (branch, false),
            (None, Some(tag)) => (tag, true),
            (None, None) => {
                return Event::Nothing(format!(
                    "{} is no branch and no tag: ignored",
                    self.git_ref
                ));
            }
        };
        let read = || -> Result<Push, slipway_domain::Invalid> {
            Ok(Push {
                project: self.repository.parse()?,
                default_branch: self.default_branch.and_then(|name| name.parse().ok()),
                git_ref: name.parse::<GitRef>()?,
                ref_is_tag,
                sha: self.sha.parse::<CommitSha>()?,
                no_cache: self.message.contains(NO_CACHE),
                delivery: self.delivery.map(str::to_owned),
            })
        };
        match read() {
            Ok(push) => Event::Push(Box::new(push)),
            Err(error) => Event::Unreadable(error.to_string()),
        }
    }
}

/// Whether a sha stands for "no commit", as after a branch was deleted.
fn is_no_commit(sha: &str) -> bool {
    sha.bytes().all(|b| b == b'0')
}
