//! Conversion of the farm's builds, files and log entries into this API's objects.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use slipway_domain::base_image::BaseImage;
use slipway_domain::package::RequestedPackage;
use slipway_domain::{ImageBuild, JobSpec, Role, UploadId};
use slipway_farm::{BuildWithJobs, FileLink, Job, ProjectAccess, UploadedFile};

use crate::auth::Call;
use crate::faults::Fault;
use crate::log::LogEntry;
use crate::phases::QuayPhase;
use crate::wire::{Build, Entry, FileDrop, Repository, Robot};

/// The length of an abbreviated sha.
const SHORT_SHA: usize = 7;
/// The path below which uploaded files are served.
const FILES_PATH: &str = "/userfiles";
/// The path below which whole logs are served.
const LOGS_PATH: &str = "/logarchive";
/// The prefix of every `error_code`.
const ERROR_CODES: &str = "io.quay.builder";

/// A build, with the members that the caller may see.
pub(crate) fn build(
    call: &Call,
    access: &ProjectAccess,
    found: BuildWithJobs,
    now: DateTime<Utc>,
) -> Build {
    let project = access.project();
    let is_writer = access.require(Role::Developer).is_ok();
    let phase = QuayPhase::of(&found.build, &found.jobs, now);
    let build = found.build;
    let is_member = call.is_authenticated() && access.is_member();
    let source = match build.package {
        Some(package) => Source::of_package(call, package),
        None => Source::of_commit(build.sha.as_str(), first_image(&found.jobs).as_ref()),
    };
    Build {
        id: build.uuid.to_string(),
        phase: phase.as_str(),
        started: rfc2822(build.created_at),
        display_name: source.display_name,
        status: Map::new(),
        subdirectory: source.dockerfile_path.clone(),
        dockerfile_path: source.dockerfile_path,
        context: source.context,
        tags: source.tags,
        manual_user: found.user.map(|user| user.name.to_string()),
        is_writer,
        trigger: None,
        // Null for viewers of a public repository who are not its members.
        trigger_metadata: is_member.then_some(source.metadata),
        resource_key: source.file,
        pull_robot: source.robot.map(|name| Robot {
            name,
            kind: "user",
            is_robot: true,
        }),
        repository: Repository {
            namespace: project.namespace_name.to_string(),
            name: project.name.to_string(),
        },
        error: None,
        // The URL of an upload is signed: who has it can download the file.
        archive_url: source.url.filter(|_| is_writer),
    }
}

/// The members of a build that describe its source.
struct Source {
    display_name: String,
    dockerfile_path: String,
    context: String,
    tags: Vec<String>,
    metadata: Map<String, Value>,
    file: Option<String>,
    robot: Option<String>,
    url: Option<String>,
}

impl Source {
    fn of_package(call: &Call, package: RequestedPackage) -> Self {
        let url = match package.upload {
            Some(file) => Some(file_url(call, file, &call.farm.download_link(file))),
            None => package.url,
        };
        Self {
            display_name: package.display_name,
            dockerfile_path: package.location.dockerfile_path,
            context: package.location.context,
            tags: package.tags,
            metadata: Map::new(),
            file: package.upload.map(|file| file.to_string()),
            robot: package.pull_robot,
            url,
        }
    }

    fn of_commit(sha: &str, image: Option<&ImageBuild>) -> Self {
        let from_root = |path: &str| match path {
            "." | "" => "/".to_owned(),
            path => format!("/{}", path.trim_start_matches("./").trim_start_matches('/')),
        };
        let dockerfile = image.map(|image| from_root(&image.dockerfile));
        let context = image.map(|image| from_root(&image.context));
        let mut metadata = Map::new();
        metadata.insert("commit".to_owned(), sha.into());
        Self {
            display_name: sha.chars().take(SHORT_SHA).collect(),
            dockerfile_path: dockerfile.unwrap_or_default(),
            context: context.unwrap_or_default(),
            tags: image.map(|image| image.tags.clone()).unwrap_or_default(),
            metadata,
            file: None,
            robot: None,
            url: None,
        }
    }
}

/// The first image of a build. An image for several platforms has the tags of its index.
fn first_image(jobs: &[Job]) -> Option<ImageBuild> {
    let (name, image) = jobs.iter().find_map(|job| match &job.spec {
        JobSpec::ImageBuild(image) => Some((job.name.as_str(), image)),
        JobSpec::Script(_) | JobSpec::ImageIndex(_) => None,
    })?;
    let index = jobs.iter().find_map(|job| match &job.spec {
        JobSpec::ImageIndex(index) => {
            let mut parts = index.images_of.iter();
            parts.any(|part| part.as_str() == name).then_some(index)
        }
        _ => None,
    });
    let mut image = ImageBuild::clone(image);
    if let Some(index) = index {
        image.tags.clone_from(&index.tags);
    }
    Some(image)
}

/// A time as in the header of a mail. The zone `-0000` is what Quay writes.
fn rfc2822(time: DateTime<Utc>) -> String {
    time.format("%a, %d %b %Y %H:%M:%S -0000").to_string()
}

/// The signed URL of a file.
fn file_url(call: &Call, file: UploadId, link: &FileLink) -> String {
    let (base, FileLink { expires, signature }) = (call.base(), link);
    format!("{base}{FILES_PATH}/{file}?expires={expires}&signature={signature}")
}

/// The URL of the whole log of the build that the path names.
pub(crate) fn log_url(call: &Call) -> String {
    format!("{}{LOGS_PATH}/{}", call.base(), call.build_text())
}

/// A registered file, with the URL for its upload.
pub(crate) fn file_drop(call: &Call, file: &UploadedFile) -> FileDrop {
    FileDrop {
        url: file_url(call, file.id, &call.farm.upload_link(file)),
        file_id: file.id.to_string(),
    }
}

pub(crate) fn entry(entry: LogEntry) -> Entry {
    let datetime = entry.at().format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    let mut data = Map::new();
    data.insert("datetime".to_owned(), datetime.into());
    let (message, kind) = match entry {
        LogEntry::Phase { phase, base, .. } => {
            data.extend(base.iter().flat_map(base_image_data));
            (phase.as_str().to_owned(), Some("phase"))
        }
        LogEntry::Command { text, .. } => (text, Some("command")),
        LogEntry::Output { text, .. } => (text, None),
        LogEntry::Error { fault, cause, .. } => {
            data.extend(error_data(fault, cause));
            (fault.sentence.to_owned(), Some("error"))
        }
    };
    Entry {
        message,
        kind,
        data,
    }
}

fn base_image_data(base: &BaseImage) -> impl Iterator<Item = (String, Value)> {
    let data = [
        ("registry_url", base.registry()),
        ("base_image", Some(base.repository())),
        ("base_image_tag", base.tag()),
        ("pull_username", base.username()),
    ];
    let present = |(name, value): (&str, Option<&str>)| Some((name.to_owned(), value?.into()));
    data.into_iter().filter_map(present)
}

fn error_data(fault: Fault, cause: Option<String>) -> impl Iterator<Item = (String, Value)> {
    let data = [
        (
            "error_code",
            Some(json!(format!("{ERROR_CODES}.{}", fault.code))),
        ),
        ("base_error", cause.map(Value::from)),
        ("internal_error", Some(fault.internal.into())),
    ];
    let present = |(name, value): (&str, Option<Value>)| Some((name.to_owned(), value?));
    data.into_iter().filter_map(present)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time() -> DateTime<Utc> {
        DateTime::from_timestamp(1_577_836_811, 5_000_000).unwrap()
    }

    #[test]
    fn started_is_written_like_the_date_of_a_mail() {
        assert_eq!(rfc2822(time()), "Wed, 01 Jan 2020 00:00:11 -0000");
    }

    #[test]
    fn an_entry_has_a_type_unless_it_is_output() {
        let output = entry(LogEntry::Output {
            at: time(),
            text: "hello\n".to_owned(),
        });
        let datetime = "2020-01-01 00:00:11.005000";
        let expected = json!({"message": "hello\n", "data": {"datetime": datetime}});
        assert_eq!(json!(output), expected);
        let pulling = entry(LogEntry::Phase {
            at: time(),
            phase: QuayPhase::Pulling,
            base: "r.example:5000/a/busybox:1 ada+puller".parse().ok(),
        });
        let expected = json!({
            "message": "pulling", "type": "phase", "data": {
                "datetime": datetime, "registry_url": "r.example:5000",
                "base_image": "r.example:5000/a/busybox", "base_image_tag": "1",
                "pull_username": "ada+puller",
            }
        });
        assert_eq!(json!(pulling), expected);
    }
}
