//! Attestations about a pushed image: its provenance and its SBOM. They are uploaded as files of the
//! job, and attached to the image if its registry supports that.
//!
//! Nothing here fails a job: a missing attestation is a warning in the trace.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use clap::ValueEnum;
use futures_util::future::join_all;
use serde_json::Value;
use slipway_attestation::{
    BuildFacts, PROVENANCE_TYPE, ResolvedBase, SBOM_TYPE, ScanLimits, Source, Subject, map_texts,
    provenance, sbom, scan,
};
use slipway_domain::{JobToken, Phase};
use slipway_image_builder::{BuildRequest, Builder, BuiltImage, Progress as _};
use slipway_registry::{Attached, Document, Registry};

use crate::client::{CoordinatorClient, UploadAnswer};
use crate::executor::Job;

/// Creating the SBOM may take the build's duration divided by this.
const SBOM_TIME_DIVISOR: u32 = 2;
/// The time limit for the SBOM of a very fast build.
const SBOM_MIN_TIME: Duration = Duration::from_secs(5);
/// How long attaching to the image may take.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(30);
/// How many times an upload is attempted.
const ATTEMPTS: u32 = 3;

/// Which attestations are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Attest {
    /// No attestations.
    None,
    /// The packages in the image.
    Sbom,
    /// How the image was built.
    Provenance,
    /// Both.
    All,
}

/// Writes attestations for pushed images.
pub struct Notary {
    what: Attest,
    coordinator: CoordinatorClient,
    /// The URL of this runner at the coordinator, which identifies the builder.
    builder: String,
}

/// An attestation, ready to be sent.
struct Attestation {
    file: &'static str,
    file_type: &'static str,
    document: Document,
}

impl Notary {
    /// Creates a notary that uploads to `coordinator`. `builder` is the URL of this runner there.
    pub fn new(what: Attest, coordinator: CoordinatorClient, builder: String) -> Self {
        Self {
            what,
            coordinator,
            builder,
        }
    }

    /// Whether it reads the files of images.
    pub(super) fn reads_images(&self) -> bool {
        matches!(self.what, Attest::Sbom | Attest::All)
    }

    /// Creates the attestations of an image and sends them, unless the job is stopped.
    pub(super) async fn attest(
        &self,
        builder: &Builder,
        job: &Job,
        request: &BuildRequest,
        image: &BuiltImage,
    ) {
        tokio::select! {
            // The job has a result already; waiting would only delay its report.
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
        // An image that was not pushed cannot be referred to.
        if self.what == Attest::None || image.reference.is_none() {
            return;
        }
        let subject = Subject {
            name: repository.as_str(),
            digest: &image.digest,
        };
        let finished = now();
        job.output.phase(Phase::Uploading);
        let mut attestations = Vec::new();
        if self.what != Attest::Sbom {
            let bases = self.bases(builder, job, image).await;
            let document = self.provenance(job, request, subject, &bases, finished);
            attestations.push(finish(job, PROVENANCE, document));
        }
        if self.reads_images() {
            let took = (finished - request.origin.created).to_std();
            let limit = (took.unwrap_or_default() / SBOM_TIME_DIVISOR).max(SBOM_MIN_TIME);
            match tokio::time::timeout(limit, self.sbom(builder, job, subject)).await {
                Ok(Ok(document)) => attestations.push(finish(job, SBOM, document)),
                Ok(Err(error)) => warn(job, &format!("could not create the SBOM: {error}")),
                Err(_) => warn(
                    job,
                    &format!("creating the SBOM took longer than {} s", limit.as_secs()),
                ),
            }
        }
        let login = request
            .logins
            .iter()
            .find(|login| login.registry == repository.registry())
            .map(|login| (login.username.as_str(), login.password.as_str()));
        let registry = match Registry::new(builder.outbound(), repository, login) {
            Ok(registry) => registry,
            Err(error) => return warn(job, &error.to_string()),
        };
        let documents = attestations.iter();
        let documents: Vec<Document> = documents.map(|made| made.document.clone()).collect();
        let attaching = registry.attach(&image.digest, &documents);
        let sending = attestations.iter().map(|made| self.upload(job, made));
        // The two are independent: either may be slow or fail.
        let attaching = tokio::time::timeout(ATTACH_TIMEOUT, attaching);
        let (attached, _) = tokio::join!(attaching, join_all(sending));
        match attached {
            Ok(Ok(Attached::Listed)) => job.output.line("Attached the attestations to the image"),
            Ok(Ok(Attached::Tagged)) => {
                job.output
                    .line("Attached the attestations to the image by a tag; the registry does not list referrers");
            }
            Ok(Err(error)) => warn(
                job,
                &format!("could not attach the attestations to the image: {error}"),
            ),
            Err(_) => warn(
                job,
                "could not attach the attestations to the image: the registry is too slow",
            ),
        }
    }

    /// The base images with their digests, the first one of the Dockerfile first.
    async fn bases(
        &self,
        builder: &Builder,
        job: &Job,
        image: &BuiltImage,
    ) -> Vec<(String, Option<String>)> {
        let first = job.output.first_base();
        // `FROM scratch` has no registry, and is not a base image.
        let first = first.filter(|base| base.registry().is_some());
        let mut bases = Vec::new();
        if let Some(first) = &first {
            // The name of a base image can move, its digest cannot.
            let digest = builder.base_digest(first, &image.bases).await;
            bases.push((first.image().to_owned(), digest));
        }
        for base in &image.bases {
            let digest = Some(base.digest.clone());
            if bases.iter().all(|(_, known)| *known != digest) {
                bases.push((base.name.clone(), digest));
            }
        }
        bases
    }

    fn provenance(
        &self,
        job: &Job,
        request: &BuildRequest,
        image: Subject<'_>,
        bases: &[(String, Option<String>)],
        finished: DateTime<Utc>,
    ) -> Value {
        let repository = super::repository_url(job);
        let source = repository.as_deref().map(|url| Source {
            url,
            sha: &job.payload.sha,
            git_ref: &job.payload.git_ref,
        });
        provenance(&BuildFacts {
            image,
            spec: &request.spec,
            source,
            bases: bases
                .iter()
                .map(|(name, digest)| ResolvedBase {
                    name,
                    digest: digest.as_deref(),
                })
                .collect(),
            builder: &self.builder,
            invocation: &format!("{}/{}", job.own.build, job.payload.id),
            started: request.origin.created,
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
        // Scanning unpacks the whole image, which would block the other jobs on this thread.
        let installed = tokio::task::spawn_blocking(|| scan(files, &ScanLimits::default()));
        let installed = installed.await.map_err(|error| error.to_string())?;
        let installed = installed.map_err(|error| error.to_string())?;
        job.output.line(&format!(
            "The image contains {} packages",
            installed.packages.len()
        ));
        let (job, digest) = (job.payload.id, image.digest);
        let namespace = format!("{}/jobs/{job}/sbom/{digest}", self.builder);
        let tool = concat!("slipway-runner-", env!("CARGO_PKG_VERSION"));
        Ok(sbom(image, &installed, &namespace, tool, now()))
    }

    /// Uploads an attestation as a file of the job.
    async fn upload(&self, job: &Job, attestation: &Attestation) {
        let token = JobToken::presented(job.payload.token.clone());
        let bytes = &attestation.document.bytes;
        let mut reason = String::new();
        for _ in 0..ATTEMPTS {
            let sending = self.coordinator.send_document(
                &token,
                job.payload.id,
                bytes.clone(),
                attestation.file,
                attestation.file_type,
            );
            match sending.await {
                UploadAnswer::Done => return,
                // A few attempts only: an attestation must not hold up the job.
                UploadAnswer::Retry(retry) => {
                    reason = retry.why.clone();
                    tokio::time::sleep(retry.after.unwrap_or(Duration::from_secs(1))).await;
                }
                other => {
                    reason = format!("{other:?}");
                    break;
                }
            }
        }
        let file = attestation.file;
        warn(job, &format!("could not upload {file}: {reason}"));
    }
}

/// The names of an attestation: its file, the file's type at the farm, and its type in a registry.
type Names = (&'static str, &'static str, &'static str);

const PROVENANCE: Names = ("provenance.json", "provenance", PROVENANCE_TYPE);
const SBOM: Names = ("sbom.spdx.json", "sbom", SBOM_TYPE);

/// Masks the secrets in a document, and names it.
fn finish(job: &Job, (file, file_type, kind): Names, document: Value) -> Attestation {
    // Build arguments and package metadata may contain secrets.
    let masked = map_texts(document, &|text| job.output.mask(text));
    Attestation {
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
