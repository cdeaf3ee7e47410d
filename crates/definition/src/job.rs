//! A single job of the file, before references to other jobs are resolved.

use std::collections::BTreeMap;

use slipway_domain::expiry::{self, Expiry};
use slipway_domain::names::check_line;
use slipway_domain::pipeline::JobDefinition;
use slipway_domain::retry::RetryRules;
use slipway_domain::{FailureReason, JobSpec, Name, TagSet, When};

use crate::error::{ParseError, Position};
use crate::fields::{Fields, one_of};
use crate::job_ref::JobRef;
use crate::job_spec::{self, SpecDraft};
use crate::matrix::{self, Matrix};
use crate::yaml::{Key, Node};

const KEYS: &[&str] = &[
    "allow_failure",
    "artifacts",
    "image",
    "label",
    "matrix",
    "needs",
    "retry",
    "run_in",
    "script",
    "stage",
    "tags",
    "timeout",
    "variables",
    "when",
];

const DEFAULT_TIMEOUT_S: u32 = 3600;
const MAX_TIMEOUT_S: u32 = 604_800;

/// A job as written in the file.
pub(crate) struct JobDraft {
    pub(crate) position: Position,
    pub(crate) name: Name,
    pub(crate) stage: Option<(Position, Name)>,
    /// The value of `needs`, if the job has that key.
    pub(crate) needs: Option<(Position, Vec<JobRef>)>,
    pub(crate) matrix: Matrix,
    pub(crate) spec: SpecDraft,
    pub(crate) settings: Settings,
}

/// The keys of a job that do not depend on what it does.
pub(crate) struct Settings {
    tags: TagSet,
    timeout_s: u32,
    allow_failure: bool,
    when: When,
    retry: Option<RetryRules>,
    pub(crate) label: Option<String>,
}

impl Settings {
    /// Creates a job with these settings and without needs.
    pub(crate) fn job(&self, name: Name, stage: Name, spec: JobSpec) -> JobDefinition {
        JobDefinition {
            name,
            stage,
            needs: Vec::new(),
            tags: self.tags.clone(),
            timeout_s: self.timeout_s,
            allow_failure: self.allow_failure,
            when: self.when,
            retry: self.retry.clone(),
            label: self.label.clone(),
            // Only jobs from submitted step graphs have a key.
            step_key: None,
            spec,
        }
    }
}

/// Reads a job. `variables` are the variables of the file.
pub(crate) fn read(
    key: &Key,
    node: &Node,
    variables: &BTreeMap<String, String>,
) -> Result<JobDraft, ParseError> {
    let fields = node.fields("a job", KEYS)?;
    let stage = fields.get("stage").map(|node| {
        let name = node.position.check(node.text("`stage`")?.parse())?;
        Ok((node.position, name))
    });
    let needs = fields.get("needs").map(|node| {
        let read = |item: &Node, text: &str| Ok(JobRef::new(item.position, text));
        Ok((node.position, node.texts("`needs`", read)?))
    });
    Ok(JobDraft {
        position: key.position,
        // The key is the name, so a bad name is reported at the key.
        name: key.position.check(key.text.parse())?,
        stage: stage.transpose()?,
        needs: needs.transpose()?,
        matrix: fields
            .get("matrix")
            .map(matrix::read)
            .transpose()?
            .unwrap_or_default(),
        spec: job_spec::read(key.position, fields, variables)?,
        settings: settings(fields)?,
    })
}

fn settings(fields: Fields<'_>) -> Result<Settings, ParseError> {
    let tags = fields.get("tags").map(|node| {
        let tags = node.texts("`tags`", |item, text| {
            // Each tag is checked alone as well, so that the error has the position of the tag.
            item.position.check(TagSet::new([text]))?;
            Ok(text.to_owned())
        })?;
        node.position.check(TagSet::new(tags))
    });
    let allow_failure = fields
        .get("allow_failure")
        .map(|node| node.boolean("`allow_failure`"));
    let label = fields.get("label").map(|node| {
        let text = node.text("`label`")?;
        node.position.check(check_line("label", text))?;
        Ok(text.to_owned())
    });
    let when = fields
        .get("when")
        .map(|node| one_of(node, "`when`", When::ALL, When::as_str));
    let timeout_s = fields.get("timeout").map(timeout).transpose()?;
    Ok(Settings {
        tags: tags.transpose()?.unwrap_or_default(),
        timeout_s: timeout_s.unwrap_or(DEFAULT_TIMEOUT_S),
        allow_failure: allow_failure.transpose()?.unwrap_or(false),
        when: when.transpose()?.unwrap_or_default(),
        retry: fields.get("retry").map(retry).transpose()?,
        label: label.transpose()?,
    })
}

fn timeout(node: &Node) -> Result<u32, ParseError> {
    let text = node.text("`timeout`")?;
    // The syntax is the same as for `expire_in`, so that the file has only one form of durations.
    let time = expiry::parse(text).and_then(Expiry::after);
    let seconds = time.and_then(|time| u32::try_from(time.num_seconds()).ok());
    seconds
        .filter(|seconds| (1..=MAX_TIMEOUT_S).contains(seconds))
        .ok_or_else(|| {
            node.position.error(format!(
                "invalid timeout {text:?}; expected 1 s to a week, such as 90 s, 10m or 1 hour 30 min"
            ))
        })
}

/// Reads the number of retries, or a mapping with `max` and `on`.
fn retry(node: &Node) -> Result<RetryRules, ParseError> {
    // The short form, `retry: 2`, retries after every failure.
    if let Ok(text) = node.text("`retry`") {
        let max = retry_count(node, text)?;
        return Ok(RetryRules {
            max,
            on: Vec::new(),
        });
    }
    let fields = node.fields("`retry`", &["max", "on"])?;
    let max = fields.get("max").ok_or_else(|| {
        node.position
            .error("`retry` requires `max`, the maximum number of retries (1 to 10)")
    })?;
    let on = fields.get("on").map(|node| {
        node.texts("`retry.on`", |item, _| {
            let reason = one_of(
                item,
                "`retry.on`",
                FailureReason::ALL,
                FailureReason::as_str,
            )?;
            Ok(reason.to_string())
        })
    });
    Ok(RetryRules {
        max: retry_count(max, max.text("`retry.max`")?)?,
        on: on.transpose()?.unwrap_or_default(),
    })
}

fn retry_count(node: &Node, text: &str) -> Result<u8, ParseError> {
    let max = text.parse().ok().filter(|max| (1..=10).contains(max));
    max.ok_or_else(|| {
        node.position.error(format!(
            "invalid number of retries {text:?}; expected 1 to 10"
        ))
    })
}
