//! Pipeline definitions: a graph of named job specs, which is checked before it is used.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::job::retry::RetryRules;
use crate::job::spec::JobSpec;
use crate::names::{Name, TagSet};
use crate::pipeline::needs::When;

/// The maximum number of jobs in a pipeline, after expansion for several platforms.
pub const MAX_JOBS: usize = 500;

/// The jobs that a build of the pipeline runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// In the order in which they are listed and, all else equal, run.
    pub jobs: Vec<JobDefinition>,
}

/// One job of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobDefinition {
    /// Unique within the pipeline.
    pub name: Name,
    /// The stage it is shown under.
    #[serde(default = "build_stage")]
    pub stage: Name,
    /// The jobs that must finish first. Which results count is up to `when`.
    #[serde(default)]
    pub needs: Vec<Name>,
    /// The tags a runner must have.
    #[serde(default)]
    pub tags: TagSet,
    /// The maximum run time, in seconds.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: u32,
    /// Whether the build can succeed although this job failed.
    #[serde(default)]
    pub allow_failure: bool,
    /// When it runs, depending on the results of the jobs it needs.
    #[serde(default, skip_serializing_if = "When::is_default")]
    pub when: When,
    /// When it is retried automatically.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryRules>,
    /// The name shown to people, if it differs from `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The key of the step it was created from, for a submitted step graph.
    #[serde(skip)]
    pub step_key: Option<String>,
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

fn default_timeout_s() -> u32 {
    3600
}

/// Why a definition is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    #[error("a pipeline must have 1 to {MAX_JOBS} jobs, but this one has {0}")]
    JobCount(usize),
    #[error("the job name {0:?} is used twice; job names must be unique in a pipeline")]
    DuplicateName(String),
    #[error("job {job:?} needs {need:?}, but the pipeline has no job with that name")]
    UnknownNeed { job: String, need: String },
    #[error("job {0:?} needs itself, directly or through other jobs")]
    Cycle(String),
    #[error(
        "job {job:?} uses the image of {other:?}, which must be listed in its `needs` and create an image"
    )]
    NoImage {
        job: String,
        /// The job whose image it uses.
        other: String,
    },
    /// An image for several platforms needs a repository, because an index refers to pushed images.
    #[error(
        "job {0:?} builds for several platforms, which requires an image repository; set `repository` in the job, or a repository for the project"
    )]
    IndexWithoutRepository(String),
    #[error(
        "the retry rules of job {0:?} are invalid: `max` must be 1 to 10, and `on` lists failure reasons"
    )]
    Retry(String),
    #[error("the timeout_s of job {0:?} must be 1 to 604800 seconds (a week)")]
    Timeout(String),
    #[error("job {job:?}: {problem}")]
    Spec {
        job: String,
        problem: crate::names::Invalid,
    },
}

impl Definition {
    /// The default definition of a project: one image build of its Dockerfile.
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
                timeout_s: default_timeout_s(),
                allow_failure: false,
                when: When::OnSuccess,
                retry: None,
                label: None,
                step_key: None,
                spec: JobSpec::ImageBuild(Box::default()),
            }],
        }
    }

    /// Checks the graph and all specs in it.
    ///
    /// # Errors
    /// The first `DefinitionError` found.
    pub fn check(&self) -> Result<(), DefinitionError> {
        // The limit counts jobs after expansion, because those are the rows a build creates.
        let count = self.jobs.iter().map(JobDefinition::expanded_count).sum();
        if !(1..=MAX_JOBS).contains(&count) {
            return Err(DefinitionError::JobCount(count));
        }
        for job in &self.jobs {
            let name = job.name.to_string();
            if !(1..=604_800).contains(&job.timeout_s) {
                return Err(DefinitionError::Timeout(name));
            }
            if job.retry.as_ref().is_some_and(|rules| !rules.is_valid()) {
                return Err(DefinitionError::Retry(name));
            }
            // The spec does not know its job, so the name is added here.
            if let Err(problem) = job.spec.check() {
                return Err(DefinitionError::Spec { job: name, problem });
            }
        }
        self.check_graph()
    }

    /// Checks names, needs and images across jobs.
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

    /// Checks that the images a job uses exist when it runs.
    fn check_images(&self, job: &JobDefinition) -> Result<(), DefinitionError> {
        for other in job.spec.images_of() {
            let creates_it = |job: &JobDefinition| job.name == *other && job.spec.creates_image();
            // The image must exist when the job is claimed, so the other job has to finish first.
            if !job.needs.contains(other) || !self.jobs.iter().any(creates_it) {
                return Err(DefinitionError::NoImage {
                    job: job.name.to_string(),
                    other: other.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Checks that no job needs itself, by marking jobs whose needs are all marked until none is left.
    fn check_cycles(&self) -> Result<(), DefinitionError> {
        // Kahn's algorithm in rounds. The number of jobs is limited, so simplicity wins.
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
            // No job became free, so the rest contains a cycle.
            if next.is_empty() {
                return Err(DefinitionError::Cycle(self.in_a_cycle(&met)));
            }
            met.extend(next);
        }
        Ok(())
    }

    /// The first job, in definition order, of a cycle among the jobs that are not in `met`.
    ///
    /// Jobs that merely wait for the cycle are not reported: removing their needs would not help.
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
        // A walk from need to need is inside a cycle after at most as many steps as there are jobs.
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
    fn an_invalid_graph_is_refused() {
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
        // A job that only waits for the cycle is not reported.
        let before = graph(&[("x", &["b"]), ("a", &["b"]), ("b", &["a"])]);
        assert_eq!(before.check(), Err(DefinitionError::Cycle("a".into())));
    }

    #[test]
    fn expanded_jobs_count_and_image_indexes_are_refused_in_definitions() {
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
    fn omitted_fields_have_defaults() {
        let short = r#"{"jobs":[{"name":"image","spec":{"kind":"image_build"}}]}"#;
        assert_eq!(
            serde_json::from_str::<Definition>(short).unwrap(),
            Definition::single_image()
        );
    }
}
