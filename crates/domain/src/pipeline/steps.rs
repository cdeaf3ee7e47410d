//! Submitted step graphs: commands for a single build, and the jobs created from them.

use std::collections::{BTreeMap, BTreeSet};

use crate::job::spec::{JobSpec, Script};
use crate::names::{Name, TagSet, slugify};
use crate::pipeline::definition::{Definition, JobDefinition};
use crate::pipeline::needs::When;

/// The maximum length of a job name that is derived from a step's key, in bytes.
const MAX_NAME: usize = 80;

/// A checked graph of commands: keys are unique, and no step needs itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepGraph {
    pub steps: Vec<Step>,
    /// The timeout of the whole build, in seconds.
    pub timeout_s: Option<u32>,
}

/// One command of a step graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Unique within the graph.
    pub key: String,
    /// The name shown to people.
    pub label: Option<String>,
    pub command: String,
    /// The image it runs in; the runner's default when absent.
    pub image: Option<String>,
    pub env: BTreeMap<String, String>,
    /// The timeout, in seconds.
    pub timeout_s: u32,
    /// The indexes of the steps that must succeed first.
    pub needs: BTreeSet<usize>,
    /// The index of the needed step whose files it continues with.
    pub builds_in: Option<usize>,
}

/// A step continues in the container of another one, but no repository can store that container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a step builds in another step, which requires an image repository; set one for the project, or a registry for the farm"
)]
pub struct NoSnapshotRepository;

impl StepGraph {
    /// Converts the steps to jobs.
    ///
    /// A step that another one builds in leaves its container as an image. `keep` is the repository
    /// and the prefix of the tag for such images.
    ///
    /// # Errors
    /// `NoSnapshotRepository` if there is such a step and `keep` is `None`.
    pub fn into_definition(self, keep: Option<&str>) -> Result<Definition, NoSnapshotRepository> {
        let names = unique_names(self.steps.iter().map(|step| step.key.as_str()));
        let parents: BTreeSet<usize> = self
            .steps
            .iter()
            .filter_map(|step| step.builds_in)
            .collect();
        let mut jobs = Vec::with_capacity(self.steps.len());
        for (position, step) in self.steps.into_iter().enumerate() {
            // Only containers that another step continues in are worth storing.
            let snapshot = if parents.contains(&position) {
                let prefix = keep.ok_or(NoSnapshotRepository)?;
                Some(format!("{prefix}-{}", position + 1))
            } else {
                None
            };
            let script = Script {
                // The snapshot of the other step replaces the step's own image.
                image: step.image.filter(|_| step.builds_in.is_none()),
                image_of: step.builds_in.map(|parent| names[parent].clone()),
                skip_checkout: step.builds_in.is_some(),
                keep: snapshot,
                commands: vec![step.command],
                variables: step.env,
                artifacts: None,
            };
            jobs.push(JobDefinition {
                name: names[position].clone(),
                stage: crate::pipeline::definition::build_stage(),
                needs: step.needs.iter().map(|need| names[*need].clone()).collect(),
                tags: TagSet::default(),
                timeout_s: step.timeout_s,
                allow_failure: false,
                when: When::OnSuccess,
                retry: None,
                label: step.label,
                step_key: Some(step.key),
                spec: JobSpec::Script(script),
            });
        }
        Ok(Definition { jobs })
    }
}

/// A unique name for each key, as close to the key as possible.
fn unique_names<'a>(keys: impl Iterator<Item = &'a str>) -> Vec<Name> {
    let mut taken = BTreeSet::new();
    let mut names = Vec::new();
    for key in keys {
        let plain = as_name(key);
        let numbered = (2..).map(|number| format!("{plain}-{number}"));
        let mut candidates = std::iter::once(plain.clone()).chain(numbered);
        let free =
            candidates.find_map(|text| text.parse::<Name>().ok().filter(|n| !taken.contains(n)));
        let Some(name) = free else {
            unreachable!("there are infinitely many numbers, and each gives a valid name");
        };
        taken.insert(name.clone());
        names.push(name);
    }
    names
}

/// The key itself if it is a valid name, otherwise a slug of it.
fn as_name(key: &str) -> String {
    // Keys that are valid names stay readable in job lists.
    if key.len() <= MAX_NAME && key.parse::<Name>().is_ok() {
        return key.to_owned();
    }
    let mut plain = slugify(key);
    plain.truncate(MAX_NAME);
    if plain.is_empty() {
        "step".to_owned()
    } else {
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(key: &str, builds_in: Option<usize>) -> Step {
        Step {
            key: key.to_owned(),
            label: None,
            command: "true".to_owned(),
            image: Some("busybox".to_owned()),
            env: BTreeMap::new(),
            timeout_s: 60,
            needs: builds_in.into_iter().collect(),
            builds_in,
        }
    }

    fn graph(steps: Vec<Step>) -> StepGraph {
        StepGraph {
            steps,
            timeout_s: None,
        }
    }

    #[test]
    fn keys_become_unique_job_names() {
        let long = "x".repeat(300);
        let keys = ["a", "Ü b", "ü-b", "b", "a", "::", long.as_str()];
        let names = unique_names(keys.into_iter());
        let names: Vec<&str> = names.iter().map(Name::as_str).collect();
        let cut = "x".repeat(MAX_NAME);
        assert_eq!(names, ["a", "b", "b-2", "b-3", "a-2", "step", &cut]);
    }

    #[test]
    fn a_step_that_builds_in_another_runs_in_its_snapshot() {
        let steps = vec![step("a", None), step("b", Some(0))];
        let definition = graph(steps.clone()).into_definition(Some("r.example/x:s"));
        let definition = definition.unwrap();
        assert_eq!(definition.check(), Ok(()));
        let scripts: Vec<&Script> = definition.jobs.iter().map(script).collect();
        assert_eq!(scripts[0].keep.as_deref(), Some("r.example/x:s-1"));
        assert_eq!(scripts[0].image.as_deref(), Some("busybox"));
        assert_eq!(scripts[1].image_of.as_ref().map(Name::as_str), Some("a"));
        assert_eq!(
            (scripts[1].image.as_deref(), scripts[1].skip_checkout),
            (None, true)
        );
        assert_eq!(
            graph(steps).into_definition(None),
            Err(NoSnapshotRepository)
        );
        assert!(graph(vec![step("a", None)]).into_definition(None).is_ok());
    }

    fn script(job: &JobDefinition) -> &Script {
        match &job.spec {
            JobSpec::Script(script) => script,
            other => unreachable!("steps become scripts, not {other:?}"),
        }
    }
}
