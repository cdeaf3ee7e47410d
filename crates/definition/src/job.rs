//! One job as the file has it, before it is known which jobs there are besides.

use std::collections::BTreeMap;

use slipway_domain::pipeline::JobDefinition;
use slipway_domain::retry::RetryRules;
use slipway_domain::{FailureReason, Name, TagSet, When, expiry};

use crate::fault::{Fault, Place};
use crate::fields::{Fields, word};
use crate::matrix::{self, Matrix};
use crate::node::{Key, Node};
use crate::reference::Reference;
use crate::steps::{self, Step};

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

/// A job as the file has it.
pub(crate) struct Draft {
    pub(crate) place: Place,
    pub(crate) name: Name,
    pub(crate) stage: Option<(Place, Name)>,
    /// The jobs it needs, if the file says so, and where.
    pub(crate) needs: Option<(Place, Vec<Reference>)>,
    pub(crate) matrix: Matrix,
    pub(crate) step: Step,
    pub(crate) rules: Rules,
}

/// What is said of a job whatever it does.
pub(crate) struct Rules {
    tags: TagSet,
    timeout_s: u32,
    allow_failure: bool,
    when: When,
    retry: Option<RetryRules>,
    pub(crate) label: Option<String>,
}

impl Rules {
    /// A job of these rules, which needs nothing yet.
    pub(crate) fn job(
        &self,
        name: Name,
        stage: Name,
        spec: slipway_domain::JobSpec,
    ) -> JobDefinition {
        JobDefinition {
            step_key: None,
            name,
            stage,
            needs: Vec::new(),
            tags: self.tags.clone(),
            timeout_s: self.timeout_s,
            allow_failure: self.allow_failure,
            when: self.when,
            retry: self.retry.clone(),
            label: self.label.clone(),
            spec,
        }
    }
}

/// Reads a job; `variables` are those of every script.
pub(crate) fn read(
    key: &Key,
    node: &Node,
    variables: &BTreeMap<String, String>,
) -> Result<Draft, Fault> {
    let fields = node.fields("a job", KEYS)?;
    let stage = fields.get("stage").map(|node| {
        let name = node.place.check(node.text("a stage")?.parse())?;
        Ok((node.place, name))
    });
    let needs = fields.get("needs").map(|node| {
        let each = |item: &Node, text: &str| Ok(Reference::new(item.place, text));
        Ok((node.place, node.texts("`needs`", each)?))
    });
    Ok(Draft {
        place: key.place,
        name: key.place.check(key.text.parse())?,
        stage: stage.transpose()?,
        needs: needs.transpose()?,
        matrix: fields
            .get("matrix")
            .map(matrix::read)
            .transpose()?
            .unwrap_or_default(),
        step: steps::read(key.place, fields, variables)?,
        rules: rules(fields)?,
    })
}

fn rules(fields: Fields<'_>) -> Result<Rules, Fault> {
    let tags = fields.get("tags").map(|node| {
        let tags = node.texts("`tags`", |item, text| {
            item.place.check(TagSet::new([text]))?;
            Ok(text.to_owned())
        })?;
        node.place.check(TagSet::new(tags))
    });
    let allow_failure = fields.get("allow_failure");
    let label = fields.get("label").map(|node| {
        let text = node.text("`label`")?;
        node.place
            .check(slipway_domain::names::check_line("label", text))?;
        Ok(text.to_owned())
    });
    let when = fields.get("when").map(|node| {
        let text = node.text("`when`")?;
        word(node, text, When::ALL, When::as_str)
    });
    Ok(Rules {
        tags: tags.transpose()?.unwrap_or_default(),
        timeout_s: fields
            .get("timeout")
            .map(timeout)
            .transpose()?
            .unwrap_or(3600),
        allow_failure: allow_failure
            .map(|node| node.boolean("`allow_failure`"))
            .transpose()?
            .unwrap_or(false),
        when: when.transpose()?.unwrap_or_default(),
        retry: fields.get("retry").map(retry).transpose()?,
        label: label.transpose()?,
    })
}

fn timeout(node: &Node) -> Result<u32, Fault> {
    let text = node.text("`timeout`")?;
    let seconds = expiry::parse(text).and_then(|time| u32::try_from(time.num_seconds()).ok());
    seconds.filter(|s| (1..=604_800).contains(s)).ok_or_else(|| {
        node.place.fault(format!(
            "the timeout {text:?} is none: expected 1 s to a week, such as 90 s, 10m or 1 hour 30 min"
        ))
    })
}

fn retry(node: &Node) -> Result<RetryRules, Fault> {
    if let Ok(text) = node.text("`retry`") {
        let max = count(node, text)?;
        return Ok(RetryRules {
            max,
            on: Vec::new(),
        });
    }
    let fields = node.fields("`retry`", &["max", "on"])?;
    let max = fields.get("max").ok_or_else(|| {
        node.place
            .fault("`retry` has `max`: how often a job is tried again at the most")
    })?;
    let on = fields.get("on").map(|node| {
        node.texts("`retry.on`", |item, text| {
            word(item, text, FailureReason::ALL, FailureReason::as_str)
                .map(|reason| reason.to_string())
        })
    });
    Ok(RetryRules {
        max: count(max, max.text("`retry.max`")?)?,
        on: on.transpose()?.unwrap_or_default(),
    })
}

fn count(node: &Node, text: &str) -> Result<u8, Fault> {
    let max = text.parse().ok().filter(|max| (1..=10).contains(max));
    max.ok_or_else(|| {
        node.place
            .fault(format!("a job is retried 1 to 10 times, not {text:?}"))
    })
}
