//! Documents about an image that was pushed: how it was made, and what is in it. They become files of
//! the job, and are attached to the image where its registry takes them.
//!
//! Nothing here makes a job fail: what cannot be had costs a line in the trace.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use clap::ValueEnum;
use futures_util::future::join_all;
use serde_json::Value;
use slipway_attestation::{
    BuildFacts, PROVENANCE_TYPE, ResolvedBase, SBOM_TYPE, ScanLimits, Source, Subject, map_texts,
    provenance, sbom, scan,
};
use slipway_domain::base_image::BaseImage;
use slipway_domain::{ImageBuild, JobToken, Phase};
use slipway_image_builder::{BuildRequest, Builder, BuiltImage, Progress as _};
use slipway_registry::{Attached, Document, Registry};

use crate::client::{Coordinator, Uploaded};
use crate::executor::Job;

/// What the list of packages may take of the time that the build took, and what it may take anyway.
const SBOM_SHARE: u32 = 2;
const SBOM_LEAST: Duration = Duration::from_secs(5);
/// What the registry may take.
const ATTACH_LIMIT: Duration = Duration::from_secs(30);
/// How often a file is sent.
const TRIES: u32 = 3;

/// Which documents are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Attest {
    /// None.
    None,
    /// What is in the image.
    Sbom,
    /// How it was made.
    Provenance,
    /// Both.
    All,
}

/// Who makes documents, and where they go.
pub struct Notary {
    what: Attest,
    coordinator: Coordinator,
    builder: String,
}

/// A document that was made.
struct Made {
    file: &'static str,
    file_type: &'static str,
    document: Document,
}

impl Notary {
    /// One that sends files to `coordinator`; `builder` is the address of this runner there.
    pub fn new(what: Attest, coordinator: Coordinator, builder: String) -> Self {
        Self {
            what,
            coordinator,
            builder,
        }
    }

    /// Whether it looks into images.
    pub(super) fn reads_images(&self) -> bool {
        matches!(self.what, Attest::Sbom | Attest::All)
    }

    /// Makes what is to be made of an image, and sends it where it goes, unless the job is stopped.
    pub(super) async fn attest(
        &self,
        builder: &Builder,
        job: &Job,
        request: &BuildRequest,
        image: &BuiltImage,
    ) {
        tokio::select! {
            () = job.stop.stopped() => {}
            () = self.attest_all(builder, job, request, image) => {}
        }
    }

    async fn attest_all(
        &self,
        builder: &Builder,
        job: &Job,
        request: &BuildRequest,
        image: &BuiltImage,
    ) {
        let Some(repository) = &request.spec.repository else {
            return;
        };
        if self.what == Attest::None || image.reference.is_none() {
            return;
        }
        let subject = Subject {
            name: repository.as_str(),
            digest: &image.digest,
        };
        let finished = now();
        job.output.phase(Phase::Uploading);
        let mut made = Vec::new();
        if self.what != Attest::Sbom {
            let started = request.origin.created;
            let document = self.provenance(builder, job, &request.spec, subject, started, finished);
            made.push(finish(job, PROVENANCE, document.await));
        }
        if self.reads_images() {
            let took = (finished - request.origin.created).to_std();
            let limit = (took.unwrap_or_default() / SBOM_SHARE).max(SBOM_LEAST);
            match tokio::time::timeout(limit, self.sbom(builder, job, subject)).await {
                Ok(Ok(document)) => made.push(finish(job, SBOM, document)),
                Ok(Err(error)) => warn(job, &format!("what is in the image is not known: {error}")),
                Err(_) => warn(
                    job,
                    &format!(
                        "what is in the image was not found out within {} s",
                        limit.as_secs()
                    ),
                ),
            }
        }
        let login = request.logins.iter();
        let login = login
            .clone()
            .find(|login| login.registry == repository.registry());
        let login = login.map(|login| (login.username.as_str(), login.password.as_str()));
        let registry = Registry::new(repository, login);
        let documents: Vec<Document> = made.iter().map(|made| made.document.clone()).collect();
        let attaching = registry.attach(&image.digest, &documents);
        let sending = join_all(made.iter().map(|made| self.send(job, made)));
        // Farm and registry know nothing of each other.
        let attaching = tokio::time::timeout(ATTACH_LIMIT, attaching);
        let (attached, _) = tokio::join!(attaching, sending);
        match attached {
            Ok(Ok(Attached::Listed)) => job.output.line("Attached to the image"),
            Ok(Ok(Attached::Tagged)) => {
                job.output
                    .line("Attached to the image, by a tag as its registry lists nothing attached");
            }
            Ok(Err(error)) => warn(job, &format!("nothing is attached to the image: {error}")),
            Err(_) => warn(
                job,
                "nothing is attached to the image: the registry is too slow",
            ),
        }
    }

    async fn provenance(
        &self,
        builder: &Builder,
        job: &Job,
        spec: &ImageBuild,
        image: Subject<'_>,
        started: DateTime<Utc>,
        finished: DateTime<Utc>,
    ) -> Value {
        let repository = super::source_of(job);
        let source = repository.as_deref().map(|url| Source {
            url,
            sha: &job.payload.sha,
            git_ref: &job.payload.git_ref,
        });
        let base = job.output.first_base();
        // An image that is built on nothing has no base.
        let base = base.as_ref().filter(|base| base.registry().is_some());
        let base = base.map(BaseImage::image);
        let digest = match base {
            Some(base) => builder.image_digest(base).await,
            None => None,
        };
        provenance(&BuildFacts {
            image,
            spec,
            source,
            bases: base
                .iter()
                .map(|name| ResolvedBase {
                    name,
                    digest: digest.as_deref(),
                })
                .collect(),
            builder: &self.builder,
            invocation: &format!("{}/{}", job.own.build, job.payload.id),
            started,
            finished,
        })
    }

    async fn sbom(
        &self,
        builder: &Builder,
        job: &Job,
        image: Subject<'_>,
    ) -> Result<Value, String> {
        let files = builder
            .export_file_system(&job.payload.id.to_string())
            .await;
        let files = files.map_err(|error| error.to_string())?;
        let installed = tokio::task::spawn_blocking(|| scan(files, &ScanLimits::default()));
        let installed = installed.await.map_err(|error| error.to_string())?;
        let installed = installed.map_err(|error| error.to_string())?;
        job.output.line(&format!(
            "The image has {} packages",
            installed.packages.len()
        ));
        let (job, digest) = (job.payload.id, image.digest);
        let namespace = format!("{}/jobs/{job}/sbom/{digest}", self.builder);
        let tool = concat!("slipway-runner-", env!("CARGO_PKG_VERSION"));
        Ok(sbom(image, &installed, &namespace, tool, now()))
    }

    /// Makes a document a file of the job.
    async fn send(&self, job: &Job, made: &Made) {
        let token = JobToken::presented(job.payload.token.clone());
        let bytes = &made.document.bytes;
        let mut last = String::new();
        for _ in 0..TRIES {
            let sending = self.coordinator.send_document(
                &token,
                job.payload.id,
                bytes.clone(),
                made.file,
                made.file_type,
            );
            match sending.await {
                Uploaded::Done => return,
                Uploaded::Retry(retry) => {
                    last = retry.why.clone();
                    tokio::time::sleep(retry.after.unwrap_or(Duration::from_secs(1))).await;
                }
                other => {
                    last = format!("{other:?}");
                    break;
                }
            }
        }
        warn(job, &format!("the farm did not take {}: {last}", made.file));
    }
}

/// The names of a document: its file, the type of that, and its type in a registry.
type Names = (&'static str, &'static str, &'static str);

const PROVENANCE: Names = ("provenance.json", "provenance", PROVENANCE_TYPE);
const SBOM: Names = ("sbom.spdx.json", "sbom", SBOM_TYPE);

/// The document as it leaves this host: without a secret.
fn finish(job: &Job, (file, file_type, kind): Names, document: Value) -> Made {
    let masked = map_texts(document, &|text| job.output.mask(text));
    Made {
        file,
        file_type,
        document: Document {
            kind,
            bytes: masked.to_string().into_bytes(),
        },
    }
}

fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

fn warn(job: &Job, line: &str) {
    job.output.line(&format!("Warning: {line}"));
}
