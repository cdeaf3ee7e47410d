//! A pipeline's definition: a graph of named job specs, checked before anything is made of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::job::retry::RetryRules;
use crate::job::spec::JobSpec;
use crate::names::{Name, TagSet};
use crate::pipeline::needs::When;

/// The most jobs that one pipeline may have.
pub const MAX_JOBS: usize = 500;

/// What a build of the pipeline runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The jobs, in the order in which they are listed and, all else equal, run.
    pub jobs: Vec<JobDefinition>,
}

/// One job of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobDefinition {
    /// Its name, unique in the pipeline.
    pub name: Name,
    /// The stage it is shown under.
    #[serde(default = "build_stage")]
    pub stage: Name,
    /// The jobs that must succeed first, by name.
    #[serde(default)]
    pub needs: Vec<Name>,
    /// The tags a runner must have.
    #[serde(default)]
    pub tags: TagSet,
    /// How long it may run, in seconds.
    #[serde(default = "an_hour")]
    pub timeout_s: u32,
    /// Whether the build succeeds even if this job fails.
    #[serde(default)]
    pub allow_failure: bool,
    /// When it runs, by what became of the jobs it needs.
    #[serde(default, skip_serializing_if = "When::is_default")]
    pub when: When,
    /// When it is tried again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryRules>,
    /// What people call it, where that is not its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Its key in the graph that somebody handed in.
    #[serde(skip)]
    pub step_key: Option<String>,
    /// What it does.
    pub spec: JobSpec,
}

impl JobDefinition {
    /// The number of jobs this definition expands to: an image build for several platforms becomes
    /// one job per platform and one that pushes the index.
    pub(crate) fn expanded_count(&self) -> usize {
        match self.spec.multi_platform_build() {
            Some(image) => image.platforms.len() + 1,
            None => 1,
        }
    }
}

pub(crate) fn build_stage() -> Name {
    match "build".parse() {
        Ok(name) => name,
        Err(_) => unreachable!("\"build\" is a name"),
    }
}

fn an_hour() -> u32 {
    3600
}

/// Why a definition is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// No job, or too many.
    #[error("a pipeline has 1 to {MAX_JOBS} jobs, this one has {0}")]
    JobCount(usize),
    /// Two jobs of one name.
    #[error("the job name {0:?} is used twice")]
    DuplicateName(String),
    /// A need that is not a job of the pipeline.
    #[error("the job {job:?} needs {need:?}, which is not a job of this pipeline")]
    UnknownNeed {
        /// The job.
        job: String,
        /// What it needs.
        need: String,
    },
    /// Jobs that wait for each other.
    #[error("the job {0:?} needs itself, directly or through others")]
    Cycle(String),
    /// An image of a job that is not needed, or that makes none.
    #[error(
        "the job {job:?} uses the image of {other:?}, which must be a job that it needs and that makes an image"
    )]
    NoImage {
        /// The job.
        job: String,
        /// Whose image it uses.
        other: String,
    },
    /// Images for several platforms that are not pushed.
    #[error(
        "the job {0:?} builds for several platforms, and has no repository for their images: the job, the project or the farm must name one"
    )]
    IndexWithoutRepository(String),
    /// A job that is tried again never, or too often.
    #[error("the job {0:?} may be retried 1 to 10 times, for failure reasons of the farm")]
    Retry(String),
    /// A timeout out of range.
    #[error("the job {0:?} must have a timeout_s between 1 and 604800 (a week)")]
    Timeout(String),
    /// A spec that cannot work.
    #[error("the job {job:?}: {problem}")]
    Spec {
        /// The job.
        job: String,
        /// What is wrong with its spec.
        problem: crate::names::Invalid,
    },
}

impl Definition {
    /// What a project without a definition of its own runs: one image build of its Dockerfile.
    pub fn single_image() -> Self {
        Self {
            jobs: vec![JobDefinition {
                name: match "image".parse() {
                    Ok(name) => name,
                    Err(_) => unreachable!("\"image\" is a name"),
                },
                stage: build_stage(),
                needs: Vec::new(),
                tags: TagSet::default(),
                timeout_s: an_hour(),
                allow_failure: false,
                when: When::OnSuccess,
                retry: None,
                label: None,
                step_key: None,
                spec: JobSpec::ImageBuild(Box::default()),
            }],
        }
    }

    /// Checks the graph and every spec in it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), DefinitionError> {
        // One for several platforms counts as those that it becomes.
        let count = self.jobs.iter().map(JobDefinition::expanded_count).sum();
        if !(1..=MAX_JOBS).contains(&count) {
            return Err(DefinitionError::JobCount(count));
        }
        for job in &self.jobs {
            let name = job.name.to_string();
            if !(1..=604_800).contains(&job.timeout_s) {
                return Err(DefinitionError::Timeout(name));
            }
            if job.retry.as_ref().is_some_and(|rules| !rules.are_sound()) {
                return Err(DefinitionError::Retry(name));
            }
            if let Err(problem) = job.spec.check() {
                return Err(DefinitionError::Spec { job: name, problem });
            }
        }
        self.check_graph()
    }

    /// Whether the jobs can need each other as they do.
    pub(crate) fn check_graph(&self) -> Result<(), DefinitionError> {
        let mut needs = BTreeMap::new();
        for job in &self.jobs {
            if needs.insert(&job.name, &job.needs).is_some() {
                return Err(DefinitionError::DuplicateName(job.name.to_string()));
            }
        }
        for job in &self.jobs {
            if let Some(need) = job.needs.iter().find(|need| !needs.contains_key(need)) {
                return Err(DefinitionError::UnknownNeed {
                    job: job.name.to_string(),
                    need: need.to_string(),
                });
            }
            self.check_images(job)?;
        }
        self.check_cycles()
    }

    /// Whether the images that a job uses are there when it runs.
    fn check_images(&self, job: &JobDefinition) -> Result<(), DefinitionError> {
        for other in job.spec.images_of() {
            let makes_it = |made: &JobDefinition| made.name == *other && made.spec.makes_an_image();
            if !job.needs.contains(other) || !self.jobs.iter().any(makes_it) {
                return Err(DefinitionError::NoImage {
                    job: job.name.to_string(),
                    other: other.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Takes jobs away whose needs are all gone, until none is left or none can be taken.
    fn check_cycles(&self) -> Result<(), DefinitionError> {
        let mut met: BTreeSet<&Name> = BTreeSet::new();
        while met.len() < self.jobs.len() {
            let next: Vec<&Name> = self
                .jobs
                .iter()
                .filter(|job| {
                    !met.contains(&job.name) && job.needs.iter().all(|need| met.contains(need))
                })
                .map(|job| &job.name)
                .collect();
            if next.is_empty() {
                return Err(DefinitionError::Cycle(self.in_a_cycle(&met)));
            }
            met.extend(next);
        }
        Ok(())
    }

    /// The first job, in the order of the definition, of a cycle among those that are not `met`.
    fn in_a_cycle(&self, met: &BTreeSet<&Name>) -> String {
        let open: BTreeMap<&Name, &Name> = self
            .jobs
            .iter()
            .filter_map(|job| {
                let need = job.needs.iter().find(|need| !met.contains(need))?;
                Some((&job.name, need))
            })
            .collect();
        let stuck = |job: &&JobDefinition| !met.contains(&job.name);
        let Some(first) = self.jobs.iter().find(stuck) else {
            return String::new();
        };
        // Whoever goes on from need to need is in the cycle after as many steps as there are jobs.
        let step = |name| open.get(name).copied().unwrap_or(name);
        let start = self.jobs.iter().fold(&first.name, |name, _| step(name));
        let cycle: BTreeSet<&Name> = self
            .jobs
            .iter()
            .scan(start, |name, _| {
                *name = step(*name);
                Some(*name)
            })
            .collect();
        let earliest = self.jobs.iter().find(|job| cycle.contains(&job.name));
        earliest.unwrap_or(first).name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> Definition {
        let jobs = edges
            .iter()
            .map(|(name, needs)| JobDefinition {
                name: name.parse().unwrap(),
                needs: needs.iter().map(|need| need.parse().unwrap()).collect(),
                ..Definition::single_image().jobs[0].clone()
            })
            .collect();
        Definition { jobs }
    }

    #[test]
    fn a_graph_is_checked_before_it_is_used() {
        assert_eq!(Definition::single_image().check(), Ok(()));
        assert_eq!(graph(&[("b", &["a"]), ("a", &[])]).check(), Ok(()));
        assert_eq!(graph(&[]).check(), Err(DefinitionError::JobCount(0)));
        assert_eq!(
            graph(&[("a", &[]), ("a", &[])]).check(),
            Err(DefinitionError::DuplicateName("a".into()))
        );
        let unknown = DefinitionError::UnknownNeed {
            job: "a".into(),
            need: "x".into(),
        };
        assert_eq!(graph(&[("a", &["x"])]).check(), Err(unknown));
        assert_eq!(
            graph(&[("a", &["a"])]).check(),
            Err(DefinitionError::Cycle("a".into()))
        );
        let ring = graph(&[("c", &[]), ("a", &["b", "c"]), ("b", &["a"])]);
        assert_eq!(ring.check(), Err(DefinitionError::Cycle("a".into())));
        // Who only waits for the cycle is not blamed for it.
        let before = graph(&[("x", &["b"]), ("a", &["b"]), ("b", &["a"])]);
        assert_eq!(before.check(), Err(DefinitionError::Cycle("a".into())));
    }

    #[test]
    fn what_several_platforms_become_is_counted_and_is_the_farms_to_make() {
        let mut all = graph(&[("a", &[])]);
        let JobSpec::ImageBuild(image) = &mut all.jobs[0].spec else {
            panic!("no image");
        };
        let platform = |number| format!("linux/p{number}").parse().unwrap();
        image.platforms = (0..MAX_JOBS).map(platform).collect();
        assert_eq!(all.check(), Err(DefinitionError::JobCount(MAX_JOBS + 1)));
        let text = r#"{"name":"b","spec":{"kind":"image_index","images_of":["a"]},"needs":["a"]}"#;
        let mut made = graph(&[("a", &[])]);
        made.jobs.push(serde_json::from_str(text).unwrap());
        let error = made.check().unwrap_err().to_string();
        assert!(
            error.contains("an image_build with several platforms"),
            "{error}"
        );
    }

    #[test]
    fn a_definition_reads_the_short_form() {
        let short = r#"{"jobs":[{"name":"image","spec":{"kind":"image_build"}}]}"#;
        assert_eq!(
            serde_json::from_str::<Definition>(short).unwrap(),
            Definition::single_image()
        );
    }
}
