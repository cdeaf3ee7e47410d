//! The whole file: creates the jobs and resolves their needs and references.

use std::collections::{BTreeMap, BTreeSet};

use slipway_domain::pipeline::{Definition, DefinitionError, MAX_JOBS};
use slipway_domain::{JobSpec, Name};

use crate::error::{ParseError, Position, did_you_mean};
use crate::job::{self, JobDraft};
use crate::job_ref::JobRef;
use crate::job_spec::{self, SpecDraft};
use crate::matrix::{Combination, label_of, name_of};
use crate::yaml::Node;

/// The maximum number of needs of all jobs together. Stages and matrices can multiply them.
const MAX_NEEDS: usize = 20_000;
/// The stage of jobs in a file without stages.
const DEFAULT_STAGE: &str = "build";

/// The jobs of the file and the names of the jobs they expand to.
struct Jobs {
    drafts: Vec<JobDraft>,
    /// For each draft, the names of the jobs that its matrix expands to.
    names: Vec<Vec<Name>>,
}

/// Reads the whole file.
pub(crate) fn definition(file: &Node) -> Result<Definition, ParseError> {
    let fields = file.fields("the file", &["jobs", "stages", "variables"])?;
    let variables = fields.get("variables").map(job_spec::read_variables);
    let variables = variables.transpose()?.unwrap_or_default();
    let stages = fields.get("stages").map(stages).transpose()?;
    let Some(list) = fields.get("jobs") else {
        return Err(file
            .position
            .error("the file has no `jobs`; define at least one job there"));
    };
    let mut drafts = Vec::new();
    for (key, node) in list.entries("`jobs`")? {
        drafts.push(job::read(key, node, &variables)?);
    }
    if drafts.is_empty() {
        return Err(list
            .position
            .error("`jobs` is empty; define at least one job"));
    }
    // All names must be known before references can be resolved: jobs may refer to later jobs.
    let jobs = Jobs::named(drafts)?;
    let mut all = Vec::new();
    let mut edges = 0;
    for (index, draft) in jobs.drafts.iter().enumerate() {
        let stage = stage_of(draft, stages.as_deref())?;
        let needs = jobs.needs_of(index, stages.as_deref())?;
        // Counted before the jobs are created: stages and matrices multiply, and each need is a row.
        edges += needs.len() * jobs.names[index].len();
        if edges > MAX_NEEDS {
            return Err(draft.position.error(format!(
                "the jobs up to this one have more than {MAX_NEEDS} needs in total; use fewer jobs, or \
                 list `needs` for jobs that do not need their whole previous stage"
            )));
        }
        for (name, values) in jobs.names[index].iter().zip(draft.matrix.combinations()) {
            let spec = jobs.resolve_spec(draft, &values)?;
            let mut job = draft.settings.job(name.clone(), stage.clone(), spec);
            // Without the values, all jobs of the matrix would have the same label.
            if !values.is_empty() {
                let label = draft
                    .settings
                    .label
                    .as_deref()
                    .unwrap_or(draft.name.as_str());
                job.label = Some(label_of(label, &values));
            }
            job.needs.clone_from(&needs);
            all.push(job);
        }
    }
    // The rules of pipelines are in the domain. Here its errors only get a position.
    let definition = Definition { jobs: all };
    definition
        .check()
        .map_err(|error| jobs.position_of(&error, list.position).error(error))?;
    Ok(definition)
}

/// Reads the stages, in order.
fn stages(node: &Node) -> Result<Vec<Name>, ParseError> {
    let mut seen = BTreeSet::new();
    node.texts("`stages`", |item, text| {
        Ok((item.position, item.position.check(text.parse::<Name>())?))
    })?
    .into_iter()
    .map(|(position, stage)| {
        if seen.insert(stage.clone()) {
            Ok(stage)
        } else {
            let message = format!("duplicate stage {:?}; list each stage once", stage.as_str());
            Err(position.error(message))
        }
    })
    .collect()
}

/// The stage of a job: its own, or the first one.
fn stage_of(draft: &JobDraft, stages: Option<&[Name]>) -> Result<Name, ParseError> {
    match (&draft.stage, stages) {
        (Some((position, stage)), Some(stages)) if !stages.contains(stage) => {
            let hint = did_you_mean(stage.as_str(), stages.iter().map(Name::as_str));
            let message = format!("stage {:?} is not listed in `stages`{hint}", stage.as_str());
            Err(position.error(message))
        }
        (Some((_, stage)), _) => Ok(stage.clone()),
        (None, Some([first, ..])) => Ok(first.clone()),
        (None, _) => draft.position.check(DEFAULT_STAGE.parse()),
    }
}

impl Jobs {
    /// Names all jobs, including those of matrices, and checks that the names are unique.
    fn named(drafts: Vec<JobDraft>) -> Result<Self, ParseError> {
        let mut lines = BTreeMap::new();
        let mut names = Vec::new();
        for draft in &drafts {
            let mut own = Vec::new();
            for values in draft.matrix.combinations() {
                let name = name_of(draft.name.as_str(), &values).parse();
                let name: Name = draft.position.check(name)?;
                if let Some(line) = lines.insert(name.clone(), draft.position.line) {
                    return Err(duplicate_name(draft, &name, line));
                }
                own.push(name);
            }
            names.push(own);
            // Checked for each draft, so that the list of names stays small.
            if lines.len() > MAX_JOBS {
                return Err(draft.position.error(format!(
                    "too many jobs; a pipeline can have at most {MAX_JOBS}, including those of matrices"
                )));
            }
        }
        Ok(Self { drafts, names })
    }

    /// The jobs that a reference means: all jobs of a matrix, or a single one.
    fn resolve(&self, by: &str, reference: &JobRef) -> Result<Vec<Name>, ParseError> {
        let draft = self
            .drafts
            .iter()
            .position(|draft| draft.name.as_str() == reference.name);
        // The name of a job with a matrix stands for all jobs of the matrix.
        if let Some(index) = draft {
            return Ok(self.names[index].clone());
        }
        let all = || self.names.iter().flatten();
        if let Some(name) = all().find(|name| name.as_str() == reference.name) {
            return Ok(vec![name.clone()]);
        }
        let known = self.drafts.iter().map(|draft| &draft.name).chain(all());
        let hint = did_you_mean(&reference.name, known.map(Name::as_str));
        let message = format!(
            "job {by:?} needs job {:?}, which is not defined in this file{hint}",
            reference.name
        );
        Err(reference.position.error(message))
    }

    /// The single job whose image a reference means.
    fn resolve_image(&self, draft: &JobDraft, reference: &JobRef) -> Result<Name, ParseError> {
        let mut names = self.resolve(draft.name.as_str(), reference)?;
        let Some(name) = names.pop() else {
            let message = format!("job {:?} has no jobs in its matrix", reference.name);
            return Err(reference.position.error(message));
        };
        if !names.is_empty() {
            let message = format!(
                "{:?} is a matrix of {} jobs, each with its own image; name one of them, such as {:?}",
                reference.name,
                names.len() + 1,
                name.as_str()
            );
            return Err(reference.position.error(message));
        }
        let builds_it = |index: usize| {
            self.names[index].contains(&name)
                && matches!(self.drafts[index].spec, SpecDraft::Image { .. })
        };
        if !(0..self.drafts.len()).any(builds_it) {
            let message = format!(
                "job {:?} does not build an image; only a job with `image` can be used here",
                name.as_str()
            );
            return Err(reference.position.error(message));
        }
        Ok(name)
    }

    /// The needs of a job: its `needs` or else the previous stage, and the jobs whose images it uses.
    fn needs_of(&self, index: usize, stages: Option<&[Name]>) -> Result<Vec<Name>, ParseError> {
        let draft = &self.drafts[index];
        let mut needs = Vec::new();
        match &draft.needs {
            Some((_, references)) => {
                for reference in references {
                    needs.extend(self.resolve(draft.name.as_str(), reference)?);
                }
            }
            // `needs: []` is different from no `needs`: it starts the job without waiting for a stage.
            None => needs.extend(self.stage_before(draft, stages)?),
        }
        for reference in draft.spec.images() {
            needs.push(self.resolve_image(draft, reference)?);
        }
        let mut seen = BTreeSet::new();
        // A job can be needed for several reasons, but a need is stored once.
        needs.retain(|need| seen.insert(need.clone()));
        Ok(needs)
    }

    /// All jobs of the last non-empty stage before a job's own.
    fn stage_before(
        &self,
        draft: &JobDraft,
        stages: Option<&[Name]>,
    ) -> Result<Vec<Name>, ParseError> {
        let Some(order) = stages else {
            return Ok(Vec::new());
        };
        let own = stage_of(draft, stages)?;
        // An empty stage has no jobs to wait for, so the one before it counts.
        let before = order.iter().take_while(|stage| **stage != own);
        for stage in before.collect::<Vec<_>>().into_iter().rev() {
            let mut jobs = Vec::new();
            for (other, names) in self.drafts.iter().zip(&self.names) {
                if stage_of(other, stages)? == *stage {
                    jobs.extend(names.iter().cloned());
                }
            }
            if !jobs.is_empty() {
                return Ok(jobs);
            }
        }
        Ok(Vec::new())
    }

    /// The spec of a job, with the values of its matrix and resolved references.
    fn resolve_spec(&self, draft: &JobDraft, values: &Combination) -> Result<JobSpec, ParseError> {
        Ok(match &draft.spec {
            SpecDraft::Image {
                build,
                args_from,
                cache_from,
            } => {
                let mut build = build.clone();
                // Matrix values override `args`, because they are what distinguishes the jobs.
                build.args.extend(values.iter().cloned());
                for (arg, reference) in args_from {
                    let name = self.resolve_image(draft, reference)?;
                    build.image_args.insert(arg.clone(), name);
                }
                let cache = cache_from
                    .as_ref()
                    .map(|job| self.resolve_image(draft, job));
                build.cache_of = cache.transpose()?;
                JobSpec::ImageBuild(build)
            }
            SpecDraft::Script { script, run_in } => {
                let mut script = script.clone();
                // Matrix values override `variables`, for the same reason.
                script.variables.extend(values.iter().cloned());
                let image = run_in.as_ref().map(|job| self.resolve_image(draft, job));
                script.image_of = image.transpose()?;
                JobSpec::Script(script)
            }
        })
    }

    /// The position for an error of the domain: the job it is about, or the job's `needs` if those
    /// are the problem; `jobs` if it is about no single job.
    fn position_of(&self, error: &DefinitionError, jobs: Position) -> Position {
        let (name, is_about_needs) = match error {
            DefinitionError::JobCount(_) => return jobs,
            DefinitionError::Cycle(job)
            | DefinitionError::UnknownNeed { job, .. }
            | DefinitionError::NoImage { job, .. } => (job, true),
            DefinitionError::DuplicateName(job)
            | DefinitionError::IndexWithoutRepository(job)
            | DefinitionError::Retry(job)
            | DefinitionError::Timeout(job)
            | DefinitionError::Spec { job, .. } => (job, false),
        };
        let has_name = |names: &[Name]| names.iter().any(|own| own.as_str() == name);
        let mut drafts = self.drafts.iter().zip(&self.names);
        let Some((draft, _)) = drafts.find(|(_, names)| has_name(names)) else {
            return jobs;
        };
        match &draft.needs {
            Some((position, _)) if is_about_needs => *position,
            _ => draft.position,
        }
    }
}

/// The error for a name that the job in `line` already has, which may be the same job's matrix.
fn duplicate_name(draft: &JobDraft, name: &Name, line: usize) -> ParseError {
    let name = name.as_str();
    let message = if line == draft.position.line {
        format!(
            "two combinations of the matrix have the job name {name:?}; in names, `-` replaces \
             characters other than A-Z a-z 0-9 - _ ."
        )
    } else {
        format!("duplicate job name {name:?}; the job in line {line} already has this name")
    };
    draft.position.error(message)
}
