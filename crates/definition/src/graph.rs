//! The whole file: which jobs it comes to, and which of them need which.

use std::collections::{BTreeMap, BTreeSet};

use slipway_domain::pipeline::{Definition, DefinitionError, MAX_JOBS};
use slipway_domain::{JobSpec, Name};

use crate::fault::{Fault, Place, did_you_mean};
use crate::job::{self, Draft};
use crate::matrix::{Combination, label_of, name_of};
use crate::node::Node;
use crate::reference::Reference;
use crate::steps::{self, Step};

/// How many needs all jobs have together.
const MAX_NEEDS: usize = 20_000;
const USUAL_STAGE: &str = "build";

/// The jobs of a file under the names that it has for them.
struct Jobs {
    drafts: Vec<Draft>,
    /// For each draft, the jobs that its matrix makes of it.
    made: Vec<Vec<Name>>,
}

/// Reads the whole file.
pub(crate) fn definition(file: &Node) -> Result<Definition, Fault> {
    let fields = file.fields("the file", &["jobs", "stages", "variables"])?;
    let variables = fields.get("variables").map(steps::read_variables);
    let variables = variables.transpose()?.unwrap_or_default();
    let stages = fields.get("stages").map(stages).transpose()?;
    let Some(list) = fields.get("jobs") else {
        return Err(file.place.fault("the file has no `jobs`"));
    };
    let mut drafts = Vec::new();
    for (key, node) in list.entries("`jobs`")? {
        drafts.push(job::read(key, node, &variables)?);
    }
    if drafts.is_empty() {
        return Err(list.place.fault("`jobs` has at least one job"));
    }
    let jobs = Jobs::named(drafts)?;
    let mut all = Vec::new();
    let mut edges = 0;
    for (index, draft) in jobs.drafts.iter().enumerate() {
        let stage = stage_of(draft, stages.as_deref())?;
        let needs = jobs.needs_of(index, stages.as_deref())?;
        edges += needs.len() * jobs.made[index].len();
        if edges > MAX_NEEDS {
            let why = format!("the jobs up to here have more than {MAX_NEEDS} needs together");
            return Err(draft.place.fault(why));
        }
        for (name, values) in jobs.made[index].iter().zip(draft.matrix.combinations()) {
            let spec = jobs.spec(draft, &values)?;
            let mut job = draft.rules.job(name.clone(), stage.clone(), spec);
            if !values.is_empty() {
                let shown = draft.rules.label.as_deref().unwrap_or(draft.name.as_str());
                job.label = Some(label_of(shown, &values));
            }
            job.needs.clone_from(&needs);
            all.push(job);
        }
    }
    let definition = Definition { jobs: all };
    definition
        .check()
        .map_err(|problem| jobs.place_of(&problem, list.place).fault(problem))?;
    Ok(definition)
}

/// The stages, in their order.
fn stages(node: &Node) -> Result<Vec<Name>, Fault> {
    let mut seen = BTreeSet::new();
    node.texts("`stages`", |item, text| {
        Ok((item.place, item.place.check(text.parse::<Name>())?))
    })?
    .into_iter()
    .map(|(place, stage)| match seen.insert(stage.clone()) {
        true => Ok(stage),
        false => Err(place.fault(format!("the stage {:?} is there twice", stage.as_str()))),
    })
    .collect()
}

/// The stage that a job is shown under: its own, or the first one.
fn stage_of(draft: &Draft, stages: Option<&[Name]>) -> Result<Name, Fault> {
    match (&draft.stage, stages) {
        (Some((place, stage)), Some(stages)) if !stages.contains(stage) => {
            let near = did_you_mean(stage.as_str(), stages.iter().map(Name::as_str));
            let why = format!("{:?} is none of the `stages`{near}", stage.as_str());
            Err(place.fault(why))
        }
        (Some((_, stage)), _) => Ok(stage.clone()),
        (None, Some([first, ..])) => Ok(first.clone()),
        (None, _) => draft.place.check(USUAL_STAGE.parse()),
    }
}

impl Jobs {
    /// Gives every job its name.
    fn named(drafts: Vec<Draft>) -> Result<Self, Fault> {
        let mut taken = BTreeMap::new();
        let mut made = Vec::new();
        for draft in &drafts {
            let mut names = Vec::new();
            for values in draft.matrix.combinations() {
                let name: Name = draft
                    .place
                    .check(name_of(draft.name.as_str(), &values).parse())?;
                if let Some(line) = taken.insert(name.clone(), draft.place.line) {
                    let why = format!(
                        "the job name {:?} is used twice, first by the job in line {line}",
                        name.as_str()
                    );
                    return Err(draft.place.fault(why));
                }
                names.push(name);
            }
            made.push(names);
            if taken.len() > MAX_JOBS {
                let why =
                    format!("a pipeline has at most {MAX_JOBS} jobs, and with this there are more");
                return Err(draft.place.fault(why));
            }
        }
        Ok(Self { drafts, made })
    }

    /// The jobs that a name stands for: those of a matrix, or one of them.
    fn meant(&self, by: &str, reference: &Reference) -> Result<Vec<Name>, Fault> {
        let whole = self
            .drafts
            .iter()
            .position(|draft| draft.name.as_str() == reference.name);
        if let Some(index) = whole {
            return Ok(self.made[index].clone());
        }
        let each = || self.made.iter().flatten();
        if let Some(name) = each().find(|name| name.as_str() == reference.name) {
            return Ok(vec![name.clone()]);
        }
        let known = self.drafts.iter().map(|draft| &draft.name).chain(each());
        let near = did_you_mean(&reference.name, known.map(Name::as_str));
        let why = format!(
            "the job {by:?} needs {:?}, which is not a job of this file{near}",
            reference.name
        );
        Err(reference.place.fault(why))
    }

    /// The one job whose image is used.
    fn image(&self, draft: &Draft, reference: &Reference) -> Result<Name, Fault> {
        let mut names = self.meant(draft.name.as_str(), reference)?;
        let Some(name) = names.pop() else {
            return Err(reference.place.fault("this is no job"));
        };
        if !names.is_empty() {
            let why = format!(
                "{:?} is a matrix of {} jobs, each with an image of its own; name one of them, such as {:?}",
                reference.name,
                names.len() + 1,
                name.as_str()
            );
            return Err(reference.place.fault(why));
        }
        let makes_it = |index: usize| {
            self.made[index].contains(&name)
                && matches!(self.drafts[index].step, Step::Image { .. })
        };
        match (0..self.drafts.len()).any(makes_it) {
            true => Ok(name),
            false => {
                let why = format!("the job {:?} makes no image", name.as_str());
                Err(reference.place.fault(why))
            }
        }
    }

    /// What a job needs: what it says, or the stage before its own; and whose images it uses.
    fn needs_of(&self, index: usize, stages: Option<&[Name]>) -> Result<Vec<Name>, Fault> {
        let draft = &self.drafts[index];
        let mut needs = Vec::new();
        match &draft.needs {
            Some((_, references)) => {
                for reference in references {
                    needs.extend(self.meant(draft.name.as_str(), reference)?);
                }
            }
            None => needs.extend(self.stage_before(draft, stages)?),
        }
        for reference in draft.step.images() {
            needs.push(self.image(draft, reference)?);
        }
        let mut seen = BTreeSet::new();
        needs.retain(|need| seen.insert(need.clone()));
        Ok(needs)
    }

    /// All jobs of the last stage before a job's own that has any.
    fn stage_before(&self, draft: &Draft, stages: Option<&[Name]>) -> Result<Vec<Name>, Fault> {
        let Some(order) = stages else {
            return Ok(Vec::new());
        };
        let own = stage_of(draft, stages)?;
        let before = order.iter().take_while(|stage| **stage != own);
        for stage in before.collect::<Vec<_>>().into_iter().rev() {
            let mut jobs = Vec::new();
            for (other, made) in self.drafts.iter().zip(&self.made) {
                if stage_of(other, stages)? == *stage {
                    jobs.extend(made.iter().cloned());
                }
            }
            if !jobs.is_empty() {
                return Ok(jobs);
            }
        }
        Ok(Vec::new())
    }

    /// What a job does, by the values of its matrix and with jobs by their full names.
    fn spec(&self, draft: &Draft, values: &Combination) -> Result<JobSpec, Fault> {
        Ok(match &draft.step {
            Step::Image {
                build,
                args_from,
                cache_from,
            } => {
                let mut build = build.clone();
                build.args.extend(values.iter().cloned());
                for (arg, reference) in args_from {
                    let name = self.image(draft, reference)?;
                    build.image_args.insert(arg.clone(), name);
                }
                let cache = cache_from.as_ref().map(|of| self.image(draft, of));
                build.cache_of = cache.transpose()?;
                JobSpec::ImageBuild(build)
            }
            Step::Script { script, run_in } => {
                let mut script = script.clone();
                script.variables.extend(values.iter().cloned());
                let image = run_in.as_ref().map(|of| self.image(draft, of));
                script.image_of = image.transpose()?;
                JobSpec::Script(script)
            }
        })
    }

    /// Where the job is that a rule of pipelines refuses, and in it what the job needs if that is
    /// the matter.
    fn place_of(&self, problem: &DefinitionError, whole: Place) -> Place {
        let (name, by_needs) = match problem {
            DefinitionError::JobCount(_) => return whole,
            DefinitionError::Cycle(job)
            | DefinitionError::UnknownNeed { job, .. }
            | DefinitionError::NoImage { job, .. } => (job, true),
            DefinitionError::DuplicateName(job)
            | DefinitionError::IndexWithoutRepository(job)
            | DefinitionError::Retry(job)
            | DefinitionError::Timeout(job)
            | DefinitionError::Spec { job, .. } => (job, false),
        };
        let is_it = |made: &&Vec<Name>| made.iter().any(|made| made.as_str() == name);
        let drafts = self.drafts.iter().zip(&self.made);
        let found = drafts.into_iter().find(|(_, made)| is_it(made));
        match found {
            Some((
                Draft {
                    needs: Some((place, _)),
                    ..
                },
                _,
            )) if by_needs => *place,
            Some((draft, _)) => draft.place,
            None => whole,
        }
    }
}
