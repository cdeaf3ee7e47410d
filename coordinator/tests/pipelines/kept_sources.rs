//! How long sources and uploaded files are kept that builds were made of.

use std::io;

use bytes::Bytes;
use reqwest::Method;
use serde_json::Value;
use slipway_domain::package::stored_location;
use slipway_domain::{ImageBuild, Slug, UploadId};
use slipway_farm::{Build, FarmError, PackageRequest, ProjectAccess, SourceRequest};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::hands::Hands;

on_both_back_ends!(
    sources_go_when_no_build_has_used_them_for_long,
    sources_stay_while_a_job_is_open_that_builds_them,
    a_retry_and_another_build_keep_sources_longer,
    a_retry_without_sources_is_refused_in_every_dialect,
    a_file_of_a_package_goes_as_well,
    an_operator_may_keep_them_for_ever,
);

const DAY: i64 = 24 * 3600;

/// A farm with a project and a runner of ours.
struct Yard {
    farm: TestFarm,
    project: ProjectAccess,
    hands: Hands,
}

impl Yard {
    async fn new(backend: Backend) -> Self {
        Self::keeping(backend, 30).await
    }

    async fn keeping(backend: Backend, days: u32) -> Self {
        let farm = TestFarm::start_with(backend, |config| {
            config.limits.upload_keep_days = days;
            config.registry = Some("registry.test".to_owned());
        })
        .await;
        Self {
            project: farm.project("acme/api").await,
            hands: Hands::on(&farm, "amd64").await,
            farm,
        }
    }

    async fn sent(&self) -> UploadId {
        let actor = self.farm.admin().await;
        let farm = self.farm.farm();
        let sent = farm.take_source(&actor, &self.project, bytes(b"packed"));
        sent.await.unwrap().id
    }

    async fn built(&self, source: UploadId) -> Build {
        let request = SourceRequest {
            pipeline: Slug::default_pipeline(),
            image: Box::new(ImageBuild::default()),
            push: Some(false),
        };
        let actor = self.farm.admin().await;
        let farm = self.farm.farm();
        let built = farm.build_source(&actor, &self.project, source, request);
        built.await.unwrap()
    }

    /// Has the job that waits end without success.
    async fn fail(&self) {
        let claimed = self.hands.claim_named("image").await;
        self.hands.fail(claimed).await;
    }

    /// How many files go after so many days more.
    async fn gone_after(&self, days: i64) -> usize {
        self.farm.advance(days * DAY);
        self.farm.farm().expire_uploads().await.unwrap()
    }

    async fn retry(&self, build: &Build) -> Result<Build, FarmError> {
        let actor = self.farm.admin().await;
        let farm = self.farm.farm();
        farm.retry_build(&actor, &self.project, build).await
    }

    /// Asks for something by its path; returns the status and the answer.
    async fn post(&self, path: &str) -> (u16, Value) {
        let request = reqwest::Client::new()
            .request(Method::POST, self.farm.url(path))
            .header("PRIVATE-TOKEN", &self.farm.admin_token);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap())
    }
}

fn bytes(
    content: &'static [u8],
) -> impl futures_util::Stream<Item = Result<Bytes, io::Error>> + Unpin {
    futures_util::stream::iter([Ok(Bytes::from_static(content))])
}

async fn sources_go_when_no_build_has_used_them_for_long(backend: Backend) {
    let yard = Yard::new(backend).await;
    let source = yard.sent().await;
    yard.built(source).await;
    yard.fail().await;
    assert_eq!(yard.farm.stored_blobs(), 1);
    assert_eq!(yard.gone_after(29).await, 0);
    assert!(yard.farm.farm().upload_content(source).await.is_ok());
    assert_eq!(yard.gone_after(1).await, 1);
    assert_eq!(yard.farm.stored_blobs(), 0);
    let asked = yard.farm.farm().upload(source).await;
    assert!(matches!(asked, Err(FarmError::NotFound(_))), "{asked:?}");
    // It may be run again at once.
    assert_eq!(yard.gone_after(0).await, 0);
}

async fn sources_stay_while_a_job_is_open_that_builds_them(backend: Backend) {
    let yard = Yard::new(backend).await;
    let source = yard.sent().await;
    yard.built(source).await;
    assert_eq!(yard.gone_after(40).await, 0);
    let claimed = yard.hands.claim_named("image").await;
    assert_eq!(yard.gone_after(40).await, 0);
    let farm = yard.farm.farm();
    let found = farm.package_by_token(claimed.job.id, &claimed.token).await;
    assert_eq!(found.unwrap().1.size(), 6);
    yard.hands.succeed(claimed).await;
    assert_eq!(yard.gone_after(0).await, 1);
}

async fn a_retry_and_another_build_keep_sources_longer(backend: Backend) {
    let yard = Yard::new(backend).await;
    let source = yard.sent().await;
    let build = yard.built(source).await;
    yard.fail().await;
    assert_eq!(yard.gone_after(20).await, 0);
    yard.retry(&build).await.unwrap();
    yard.fail().await;
    assert_eq!(yard.gone_after(20).await, 0);
    let job = yard.farm.jobs(&build).await.pop().unwrap();
    let actor = yard.farm.admin().await;
    let farm = yard.farm.farm();
    farm.retry_job(&actor, &yard.project, &job).await.unwrap();
    yard.fail().await;
    assert_eq!(yard.gone_after(20).await, 0);
    yard.built(source).await;
    yard.fail().await;
    assert_eq!(yard.gone_after(20).await, 0);
    assert_eq!(yard.gone_after(10).await, 1);
}

async fn a_retry_without_sources_is_refused_in_every_dialect(backend: Backend) {
    let yard = Yard::new(backend).await;
    let source = yard.sent().await;
    let build = yard.built(source).await;
    yard.fail().await;
    assert_eq!(yard.gone_after(30).await, 1);
    let why = "the sources are not kept any more; send them again";
    let refused = yard.retry(&build).await.unwrap_err();
    assert!(matches!(refused, FarmError::SourcesGone), "{refused}");
    let (project, job) = (yard.project.id(), yard.farm.jobs(&build).await[0].id);
    for path in [
        format!("/v1/builds/{}/retry", build.uuid),
        format!("/v1/jobs/{job}/retry"),
    ] {
        let (status, answer) = yard.post(&path).await;
        assert_eq!(status, 409, "{path}: {answer}");
        assert_eq!(answer["error"]["code"], "sources_gone", "{path}");
        assert_eq!(answer["error"]["message"], why, "{path}");
    }
    for path in [
        format!("/api/v3/projects/{project}/builds/{job}/retry"),
        format!("/api/v3/projects/{project}/pipelines/{}/retry", build.id),
    ] {
        let (status, answer) = yard.post(&path).await;
        assert_eq!(status, 409, "{path}: {answer}");
        assert_eq!(answer["message"], format!("409 Conflict: {why}"), "{path}");
    }
    assert_eq!(yard.farm.jobs(&build).await.len(), 1);
    assert!(yard.hands.claim().await.is_none());
}

async fn a_file_of_a_package_goes_as_well(backend: Backend) {
    let yard = Yard::new(backend).await;
    let (actor, farm) = (yard.farm.admin().await, yard.farm.farm());
    let place = farm.create_upload(&actor, "text/plain").await.unwrap();
    let filled = farm.fill_upload(place.id, bytes(b"FROM scratch\n")).await;
    filled.unwrap();
    let request = PackageRequest {
        url: None,
        upload: Some(place.id),
        location: stored_location(None, None, None),
        tags: vec!["latest".to_owned()],
        pull_robot: None,
    };
    let built = farm.create_package_build(&actor, &yard.project, request);
    let build = built.await.unwrap();
    assert_eq!(yard.gone_after(31).await, 0);
    yard.fail().await;
    assert_eq!(yard.gone_after(0).await, 1);
    assert_eq!(yard.farm.stored_blobs(), 0);
    let refused = yard.retry(&build).await.unwrap_err();
    assert!(matches!(refused, FarmError::SourcesGone), "{refused}");
}

async fn an_operator_may_keep_them_for_ever(backend: Backend) {
    let yard = Yard::keeping(backend, 0).await;
    let build = yard.built(yard.sent().await).await;
    yard.fail().await;
    assert_eq!(yard.gone_after(3000).await, 0);
    yard.retry(&build).await.unwrap();
}
