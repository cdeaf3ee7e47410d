//! What a job does: the keys for building an image or running a script.

use std::collections::BTreeMap;

use slipway_domain::image::{Repository, is_reference};
use slipway_domain::spec::{ArtifactRules, ArtifactsWhen};
use slipway_domain::{ImageBuild, Platform, Script};

use crate::error::{ParseError, Position};
use crate::fields::{Fields, one_of};
use crate::image_options::{self, check_image};
use crate::job_ref::JobRef;
use crate::yaml::{Node, Value};

const IMAGE_KEYS: &[&str] = &[
    "args",
    "args_from",
    "cache_from",
    "cache_to",
    "context",
    "dockerfile",
    "labels",
    "no_cache",
    "platforms",
    "pull",
    "repository",
    "secrets",
    "source_date",
    "ssh",
    "tags",
    "target",
];
/// The keys that only jobs with a `script` can have.
const SCRIPT_KEYS: &[&str] = &["artifacts", "run_in", "variables"];

/// A job spec in which references to other jobs are not resolved yet.
pub(crate) enum SpecDraft {
    Image {
        build: Box<ImageBuild>,
        args_from: Vec<(String, JobRef)>,
        cache_from: Option<JobRef>,
    },
    Script {
        script: Script,
        run_in: Option<JobRef>,
    },
}

impl SpecDraft {
    /// The jobs whose images this job uses.
    pub(crate) fn images(&self) -> Vec<&JobRef> {
        match self {
            Self::Image {
                args_from,
                cache_from,
                ..
            } => {
                let args = args_from.iter().map(|(_, reference)| reference);
                args.chain(cache_from).collect()
            }
            Self::Script { run_in, .. } => run_in.iter().collect(),
        }
    }
}

/// Reads what a job does. `variables` are the variables of the file, which only scripts see.
pub(crate) fn read(
    position: Position,
    fields: Fields<'_>,
    variables: &BTreeMap<String, String>,
) -> Result<SpecDraft, ParseError> {
    match (fields.get("image"), fields.get("script")) {
        (Some(node), None) => {
            // These keys would be ignored in an image build, which is never what the author wants.
            let misplaced = SCRIPT_KEYS.iter().find_map(|name| fields.entry(name));
            if let Some((key, _)) = misplaced {
                let hint = if key.text == "variables" {
                    "; use `image.args` for build arguments"
                } else {
                    ""
                };
                let message = format!("`{}` requires a job with `script`{hint}", key.text);
                return Err(key.position.error(message));
            }
            image(node)
        }
        (None, Some(node)) => script(node, fields, variables),
        (Some(_), Some(node)) => Err(node
            .position
            .error("a job cannot have both `image` and `script`; use two jobs")),
        (None, None) => Err(position
            .error("a job requires `image` (to build an image) or `script` (to run commands)")),
    }
}

fn image(node: &Node) -> Result<SpecDraft, ParseError> {
    let mut build = ImageBuild::default();
    let mut args_from = Vec::new();
    // `image:` with an empty value builds the Dockerfile with all defaults.
    let fields = match node.value {
        Value::Null => None,
        _ => Some(node.fields("`image`", IMAGE_KEYS)?),
    };
    let get = |name: &str| fields.and_then(|fields| fields.get(name));
    // Each value is checked alone right away, so that the error has the position of that value.
    let text = |name: &str, put: fn(&mut ImageBuild, &str)| {
        let Some(node) = get(name) else {
            return Ok(None);
        };
        let text = node.text(&format!("`{name}`"))?;
        check_image(node.position, |build| put(build, text))?;
        Ok::<_, ParseError>(Some(text.to_owned()))
    };
    if let Some(context) = text("context", |b, text| text.clone_into(&mut b.context))? {
        build.context = context;
    }
    if let Some(dockerfile) = text("dockerfile", |b, text| text.clone_into(&mut b.dockerfile))? {
        build.dockerfile = dockerfile;
    }
    build.target = text("target", |b, text| b.target = Some(text.to_owned()))?;
    if let Some(node) = get("tags") {
        build.tags = node.texts("`tags`", |item, text| {
            check_image(item.position, |build| build.tags.push(text.to_owned()))?;
            Ok(text.to_owned())
        })?;
    }
    if let Some(node) = get("platforms") {
        build.platforms = node.texts("`platforms`", |item, text| {
            item.position.check(text.parse::<Platform>())
        })?;
        // Duplicates only show in the list as a whole.
        check_image(node.position, |image| {
            image.platforms.clone_from(&build.platforms);
        })?;
    }
    // The repository must include its registry; otherwise it could be pushed to Docker Hub.
    if let Some(node) = get("repository") {
        let repository: Result<Repository, _> = node.text("`repository`")?.parse();
        build.repository = Some(node.position.check(repository)?);
    }
    for (name, flag) in [("no_cache", &mut build.no_cache), ("pull", &mut build.pull)] {
        if let Some(node) = get(name) {
            *flag = node.boolean(&format!("`{name}`"))?;
        }
    }
    if let Some(node) = get("labels") {
        let labels = node.table("`labels`")?.into_iter();
        build.labels = labels
            .map(|(key, _, text)| (key.text.clone(), text.to_owned()))
            .collect();
    }
    for (key, _, text) in get("args").map_or(Ok(Vec::new()), |node| node.table("`args`"))? {
        argument(key.position, &key.text)?;
        build.args.insert(key.text.clone(), text.to_owned());
    }
    let images = get("args_from").map_or(Ok(Vec::new()), |node| node.table("`args_from`"))?;
    for (key, node, text) in images {
        argument(key.position, &key.text)?;
        // Both would set the same build argument, and the order would decide silently.
        if build.args.contains_key(&key.text) {
            let message = format!(
                "build argument {:?} is set in both `args` and `args_from`; remove one of them",
                key.text
            );
            return Err(key.position.error(message));
        }
        args_from.push((key.text.clone(), JobRef::new(node.position, text)));
    }
    let cache_from = fields.map_or(Ok(None), |fields| image_options::read(fields, &mut build))?;
    Ok(SpecDraft::Image {
        build: Box::new(build),
        args_from,
        cache_from,
    })
}

fn argument(position: Position, name: &str) -> Result<(), ParseError> {
    check_image(position, |build| {
        build.args.insert(name.to_owned(), String::new());
    })
}

fn script(
    node: &Node,
    fields: Fields<'_>,
    variables: &BTreeMap<String, String>,
) -> Result<SpecDraft, ParseError> {
    // A single text is one command, which may have several lines.
    let commands = match &node.value {
        Value::Text { text, .. } => vec![command(node, text)?],
        _ => node.texts("`script`", command)?,
    };
    let mut script = Script {
        image: None,
        image_of: None,
        skip_checkout: false,
        keep: None,
        commands,
        variables: variables.clone(),
        artifacts: None,
    };
    // Checks the number of commands, which no single command shows.
    node.position.check(script.check())?;
    if let Some(node) = fields.get("variables") {
        // Variables of the job override those of the file.
        script.variables.extend(read_variables(node)?);
    }
    let mut run_in = None;
    match fields.get("run_in") {
        // A mapping refers to a job, a text to an image.
        Some(node) if matches!(node.value, Value::Map(_)) => {
            let of = node.fields("`run_in`", &["job"])?;
            let job = of.get("job").ok_or_else(|| {
                node.position.error(
                    "`run_in` must be an image, or `{job: NAME}` to run in the image of a job",
                )
            })?;
            run_in = Some(JobRef::new(job.position, job.text("`run_in.job`")?));
        }
        Some(node) => {
            let image = node.text("`run_in`")?;
            if !is_reference(image) {
                let message = format!(
                    "invalid image {image:?}; expected an image reference such as alpine:3.20 or registry.example:5000/acme/tools:1"
                );
                return Err(node.position.error(message));
            }
            script.image = Some(image.to_owned());
            node.position.check(script.check())?;
        }
        None => {}
    }
    if let Some(node) = fields.get("artifacts") {
        script.artifacts = Some(artifacts(node)?);
    }
    Ok(SpecDraft::Script { script, run_in })
}

fn command(item: &Node, text: &str) -> Result<String, ParseError> {
    check_script(item.position, |script| {
        text.clone_into(&mut script.commands[0]);
    })?;
    Ok(text.to_owned())
}

/// Reads environment variables of scripts.
pub(crate) fn read_variables(node: &Node) -> Result<BTreeMap<String, String>, ParseError> {
    let mut variables = BTreeMap::new();
    for (key, _, text) in node.table("`variables`")? {
        check_script(key.position, |script| {
            script.variables.insert(key.text.clone(), String::new());
        })?;
        variables.insert(key.text.clone(), text.to_owned());
    }
    Ok(variables)
}

/// Checks a value at its own position, by putting it alone into a minimal script.
fn check_script(position: Position, put: impl FnOnce(&mut Script)) -> Result<(), ParseError> {
    let mut script = Script {
        image: None,
        image_of: None,
        skip_checkout: false,
        keep: None,
        commands: vec!["true".to_owned()],
        variables: BTreeMap::new(),
        artifacts: None,
    };
    put(&mut script);
    position.check(script.check())
}

fn artifacts(node: &Node) -> Result<ArtifactRules, ParseError> {
    let fields = node.fields("`artifacts`", &["expire_in", "name", "paths", "when"])?;
    let paths = fields.get("paths").ok_or_else(|| {
        node.position
            .error("`artifacts` requires `paths`, the files and directories to keep")
    })?;
    let mut rules = ArtifactRules {
        paths: paths.texts("`artifacts.paths`", |item, text| {
            check_artifacts(item.position, vec![text.to_owned()], |_| {})?;
            Ok(text.to_owned())
        })?,
        name: None,
        when: ArtifactsWhen::OnSuccess,
        expire_in: None,
    };
    // Checks the number of paths, which no single path shows.
    check_artifacts(paths.position, rules.paths.clone(), |_| {})?;
    if let Some(node) = fields.get("when") {
        let all = [
            ArtifactsWhen::OnSuccess,
            ArtifactsWhen::OnFailure,
            ArtifactsWhen::Always,
        ];
        let as_str = |when| match when {
            ArtifactsWhen::OnSuccess => "on_success",
            ArtifactsWhen::OnFailure => "on_failure",
            ArtifactsWhen::Always => "always",
        };
        rules.when = one_of(node, "`artifacts.when`", &all, as_str)?;
    }
    for (name, put) in [
        (
            "name",
            (|r, text| r.name = text) as fn(&mut ArtifactRules, Option<String>),
        ),
        ("expire_in", |r, text| r.expire_in = text),
    ] {
        if let Some(node) = fields.get(name) {
            let text = Some(node.text(&format!("`artifacts.{name}`"))?.to_owned());
            // The rules of the domain refuse an empty list of paths, so the paths are included in the check.
            check_artifacts(node.position, rules.paths.clone(), |rules| {
                put(rules, text.clone())
            })?;
            put(&mut rules, text);
        }
    }
    Ok(rules)
}

/// Checks artifact rules at the position of the value that was just read.
fn check_artifacts(
    position: Position,
    paths: Vec<String>,
    put: impl FnOnce(&mut ArtifactRules),
) -> Result<(), ParseError> {
    let mut rules = ArtifactRules {
        paths,
        name: None,
        when: ArtifactsWhen::OnSuccess,
        expire_in: None,
    };
    put(&mut rules);
    check_script(position, |script| script.artifacts = Some(rules))
}
