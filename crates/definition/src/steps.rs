//! What a job does: it builds an image, or runs a script.

use std::collections::BTreeMap;

use slipway_domain::image::{Repository, is_reference};
use slipway_domain::spec::{ArtifactRules, ArtifactsWhen};
use slipway_domain::{ImageBuild, Platform, Script};

use crate::building::{self, alone};
use crate::fault::{Fault, Place};
use crate::fields::{Fields, word};
use crate::node::{Node, Value};
use crate::reference::Reference;

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
/// What only a script has.
const OF_SCRIPTS: &[&str] = &["artifacts", "run_in", "variables"];

/// What a job does, with the jobs whose images it uses still by the names that the file has.
pub(crate) enum Step {
    Image {
        build: Box<ImageBuild>,
        args_from: Vec<(String, Reference)>,
        cache_from: Option<Reference>,
    },
    Script {
        script: Script,
        run_in: Option<Reference>,
    },
}

impl Step {
    /// The jobs whose images it uses.
    pub(crate) fn images(&self) -> Vec<&Reference> {
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

pub(crate) fn read(
    place: Place,
    fields: Fields<'_>,
    variables: &BTreeMap<String, String>,
) -> Result<Step, Fault> {
    match (fields.get("image"), fields.get("script")) {
        (Some(node), None) => {
            let misplaced = OF_SCRIPTS.iter().find_map(|name| fields.entry(name));
            if let Some((key, _)) = misplaced {
                let instead = match key.text.as_str() {
                    "variables" => "; what an image is built with stands in `image.args`",
                    _ => "",
                };
                let why = format!("`{}` is for a job with a `script`{instead}", key.text);
                return Err(key.place.fault(why));
            }
            image(node)
        }
        (None, Some(node)) => script(node, fields, variables),
        (Some(_), Some(node)) => Err(node
            .place
            .fault("a job has an `image` or a `script`, not both")),
        (None, None) => {
            Err(place
                .fault("this job does nothing: it needs an `image` to build or a `script` to run"))
        }
    }
}

fn image(node: &Node) -> Result<Step, Fault> {
    let mut build = ImageBuild::default();
    let mut args_from = Vec::new();
    // `image:` and nothing after it builds the Dockerfile.
    let fields = match node.value {
        Value::Nothing => None,
        _ => Some(node.fields("`image`", IMAGE_KEYS)?),
    };
    let get = |name: &str| fields.and_then(|fields| fields.get(name));
    let text = |name: &str, put: fn(&mut ImageBuild, &str)| {
        let Some(node) = get(name) else {
            return Ok(None);
        };
        let text = node.text(&format!("`{name}`"))?;
        alone(node.place, |build| put(build, text))?;
        Ok::<_, Fault>(Some(text.to_owned()))
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
            alone(item.place, |build| build.tags.push(text.to_owned()))?;
            Ok(text.to_owned())
        })?;
    }
    if let Some(node) = get("platforms") {
        build.platforms = node.texts("`platforms`", |item, text| {
            item.place.check(text.parse::<Platform>())
        })?;
        alone(node.place, |alone| {
            alone.platforms.clone_from(&build.platforms)
        })?;
    }
    if let Some(node) = get("repository") {
        let repository: Result<Repository, _> = node.text("`repository`")?.parse();
        build.repository = Some(node.place.check(repository)?);
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
        argument(key.place, &key.text)?;
        build.args.insert(key.text.clone(), text.to_owned());
    }
    let images = get("args_from").map_or(Ok(Vec::new()), |node| node.table("`args_from`"))?;
    for (key, node, text) in images {
        argument(key.place, &key.text)?;
        if build.args.contains_key(&key.text) {
            let why = format!("the build argument {:?} stands in `args` too", key.text);
            return Err(key.place.fault(why));
        }
        args_from.push((key.text.clone(), Reference::new(node.place, text)));
    }
    let cache_from = fields.map_or(Ok(None), |fields| building::read(fields, &mut build))?;
    Ok(Step::Image {
        build: Box::new(build),
        args_from,
        cache_from,
    })
}

fn argument(place: Place, name: &str) -> Result<(), Fault> {
    alone(place, |build| {
        build.args.insert(name.to_owned(), String::new());
    })
}

fn script(
    node: &Node,
    fields: Fields<'_>,
    variables: &BTreeMap<String, String>,
) -> Result<Step, Fault> {
    // One text is one command, of several lines perhaps.
    let commands = match &node.value {
        Value::Text(text, _) => vec![command(node, text)?],
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
    node.place.check(script.check())?;
    if let Some(node) = fields.get("variables") {
        script.variables.extend(read_variables(node)?);
    }
    let mut run_in = None;
    match fields.get("run_in") {
        Some(node) if matches!(node.value, Value::Map(_)) => {
            let of = node.fields("`run_in`", &["job"])?;
            let job = of.get("job").ok_or_else(|| {
                node.place
                    .fault("`run_in` is an image, or has `job`: the job whose image it is")
            })?;
            run_in = Some(Reference::new(job.place, job.text("`run_in.job`")?));
        }
        Some(node) => {
            let image = node.text("`run_in`")?;
            if !is_reference(image) {
                let why = format!(
                    "{image:?} names no image: expected one such as alpine:3.20 or registry.example:5000/acme/tools:1"
                );
                return Err(node.place.fault(why));
            }
            script.image = Some(image.to_owned());
            node.place.check(script.check())?;
        }
        None => {}
    }
    if let Some(node) = fields.get("artifacts") {
        script.artifacts = Some(artifacts(node)?);
    }
    Ok(Step::Script { script, run_in })
}

fn command(item: &Node, text: &str) -> Result<String, Fault> {
    alone_in_script(item.place, |script| {
        text.clone_into(&mut script.commands[0]);
    })?;
    Ok(text.to_owned())
}

/// Variables of scripts.
pub(crate) fn read_variables(node: &Node) -> Result<BTreeMap<String, String>, Fault> {
    let mut variables = BTreeMap::new();
    for (key, _, text) in node.table("`variables`")? {
        alone_in_script(key.place, |script| {
            script.variables.insert(key.text.clone(), String::new());
        })?;
        variables.insert(key.text.clone(), text.to_owned());
    }
    Ok(variables)
}

/// Checks what is put into a script, where it stands.
fn alone_in_script(place: Place, put: impl FnOnce(&mut Script)) -> Result<(), Fault> {
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
    place.check(script.check())
}

fn artifacts(node: &Node) -> Result<ArtifactRules, Fault> {
    let fields = node.fields("`artifacts`", &["expire_in", "name", "paths", "when"])?;
    let paths = fields.get("paths").ok_or_else(|| {
        node.place
            .fault("`artifacts` has `paths`: the files that are kept")
    })?;
    let mut rules = ArtifactRules {
        paths: paths.texts("`artifacts.paths`", |item, text| {
            kept(item.place, vec![text.to_owned()], |_| {})?;
            Ok(text.to_owned())
        })?,
        name: None,
        when: ArtifactsWhen::OnSuccess,
        expire_in: None,
    };
    kept(paths.place, rules.paths.clone(), |_| {})?;
    if let Some(node) = fields.get("when") {
        let all = [
            ArtifactsWhen::OnSuccess,
            ArtifactsWhen::OnFailure,
            ArtifactsWhen::Always,
        ];
        let told = |when| match when {
            ArtifactsWhen::OnSuccess => "on_success",
            ArtifactsWhen::OnFailure => "on_failure",
            ArtifactsWhen::Always => "always",
        };
        rules.when = word(node, node.text("`artifacts.when`")?, &all, told)?;
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
            kept(node.place, rules.paths.clone(), |rules| {
                put(rules, text.clone())
            })?;
            put(&mut rules, text);
        }
    }
    Ok(rules)
}

/// Checks artifact rules, where they stand.
fn kept(
    place: Place,
    paths: Vec<String>,
    put: impl FnOnce(&mut ArtifactRules),
) -> Result<(), Fault> {
    let mut rules = ArtifactRules {
        paths,
        name: None,
        when: ArtifactsWhen::OnSuccess,
        expire_in: None,
    };
    put(&mut rules);
    alone_in_script(place, |script| script.artifacts = Some(rules))
}
