//! A graph of commands that somebody hands in for one build, and the jobs it becomes.

use std::collections::{BTreeMap, BTreeSet};

use crate::job::spec::{JobSpec, Script};
use crate::names::{Name, TagSet, slugified};
use crate::pipeline::definition::{Definition, JobDefinition};
use crate::pipeline::needs::When;

/// How much of a step's key its job's name has at the most.
const MAX_NAME: usize = 80;

/// A graph of commands, checked: no key is there twice, and no step needs itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepGraph {
    /// Its steps.
    pub steps: Vec<Step>,
    /// How long all of it may take, in seconds.
    pub timeout_s: Option<u32>,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What tells it from the others.
    pub key: String,
    /// What people call it.
    pub label: Option<String>,
    /// What a shell runs.
    pub command: String,
    /// The image it runs in; for the runner to choose when absent.
    pub image: Option<String>,
    /// What it sees in its environment.
    pub env: BTreeMap<String, String>,
    /// How long it may take, in seconds.
    pub timeout_s: u32,
    /// The positions of the steps that must succeed first.
    pub needs: BTreeSet<usize>,
    /// The position of the one of them whose files it goes on with.
    pub builds_in: Option<usize>,
}

/// Steps whose files others go on with, where there is nowhere to keep them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a step builds in another one, which takes a repository for images: neither the project nor the farm has one"
)]
pub struct NoSnapshotRepository;

impl StepGraph {
    /// The jobs that do what the steps say. The containers that others go on from are kept as
    /// images at `keep`, a repository and the beginning of a tag.
    ///
    /// # Errors
    /// When a container must be kept and there is no such place.
    pub fn into_definition(self, keep: Option<&str>) -> Result<Definition, NoSnapshotRepository> {
        let names = unique_names(self.steps.iter().map(|step| step.key.as_str()));
        let parents: BTreeSet<usize> = self
            .steps
            .iter()
            .filter_map(|step| step.builds_in)
            .collect();
        let mut jobs = Vec::with_capacity(self.steps.len());
        for (position, step) in self.steps.into_iter().enumerate() {
            let kept = match (parents.contains(&position), keep) {
                (false, _) => None,
                (true, Some(place)) => Some(format!("{place}-{}", position + 1)),
                (true, None) => return Err(NoSnapshotRepository),
            };
            let script = Script {
                image: step.image.filter(|_| step.builds_in.is_none()),
                image_of: step.builds_in.map(|parent| names[parent].clone()),
                goes_on: step.builds_in.is_some(),
                keep: kept,
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

/// A name for each key: as near to it as names go, and none twice.
fn unique_names<'a>(keys: impl Iterator<Item = &'a str>) -> Vec<Name> {
    let mut taken = BTreeSet::new();
    let mut names = Vec::new();
    for key in keys {
        let plain = as_name(key);
        let numbered = (2..).map(|number| format!("{plain}-{number}"));
        let mut wanted = std::iter::once(plain.clone()).chain(numbered);
        let free = wanted.find_map(|text| text.parse::<Name>().ok().filter(|n| !taken.contains(n)));
        let Some(name) = free else {
            unreachable!("there is always one more number, and each gives a name");
        };
        taken.insert(name.clone());
        names.push(name);
    }
    names
}

/// The key itself where it is a name, else what of it can be one.
fn as_name(key: &str) -> String {
    if key.len() <= MAX_NAME && key.parse::<Name>().is_ok() {
        return key.to_owned();
    }
    let mut plain = slugified(key);
    plain.truncate(MAX_NAME);
    match plain.is_empty() {
        true => "step".to_owned(),
        false => plain,
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
    fn keys_become_names_and_none_is_there_twice() {
        let long = "x".repeat(300);
        let keys = ["a", "Ü b", "ü-b", "b", "a", "::", long.as_str()];
        let names = unique_names(keys.into_iter());
        let names: Vec<&str> = names.iter().map(Name::as_str).collect();
        let cut = "x".repeat(MAX_NAME);
        assert_eq!(names, ["a", "b", "b-2", "b-3", "a-2", "step", &cut]);
    }

    #[test]
    fn a_step_goes_on_from_the_image_that_is_kept_of_another() {
        let steps = vec![step("a", None), step("b", Some(0))];
        let definition = graph(steps.clone()).into_definition(Some("r.example/x:s"));
        let definition = definition.unwrap();
        assert_eq!(definition.check(), Ok(()));
        let scripts: Vec<&Script> = definition.jobs.iter().map(script).collect();
        assert_eq!(scripts[0].keep.as_deref(), Some("r.example/x:s-1"));
        assert_eq!(scripts[0].image.as_deref(), Some("busybox"));
        assert_eq!(scripts[1].image_of.as_ref().map(Name::as_str), Some("a"));
        assert_eq!(
            (scripts[1].image.as_deref(), scripts[1].goes_on),
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
