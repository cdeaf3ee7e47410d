//! The graph of a build as clients send it (the "pipeline IR"), in either of its two forms: parses
//! and validates it. The farm turns it into jobs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use slipway_domain::steps::{Step, StepGraph};
use slipway_farm::BuildError;
use slipway_http::check_json_values;

/// The timeout of a step that has none, in seconds.
const DEFAULT_TIMEOUT_S: u32 = 3600;
/// The cache policies that clients may name. They are validated and otherwise ignored.
const CACHE_POLICIES: [&str; 5] = ["none", "forever", "ttl", "on_change", "compose"];

/// The code of a graph that is malformed or cannot run.
pub(crate) const INVALID_IR: &str = "invalid_ir";

type Parsed<T> = Result<T, BuildError>;
type Object = Map<String, Value>;

/// Parses a graph.
///
/// # Errors
/// The reason and its code in this API, such as `invalid_ir`, `duplicate_key` or `cycle`.
pub(crate) fn parse(text: &str) -> Parsed<StepGraph> {
    check_json_values(text.as_bytes()).map_err(|why| invalid(why.to_string()))?;
    let value: Value = serde_json::from_str(text)
        .map_err(|why| error("invalid_json", format!("the graph is not JSON: {why}")))?;
    let Value::Object(top) = value else {
        return Err(invalid("the graph is not an object"));
    };
    let steps = match top.get("graph") {
        Some(Value::Object(graph)) => steps_of_graph(graph, &top)?,
        _ => steps_of_list(&top)?,
    };
    check_keys(&steps)?;
    check_cycles(&steps)?;
    Ok(StepGraph {
        steps,
        timeout_s: seconds(&top, "timeout_seconds")?,
    })
}

/// The steps of the list form, in which a step names the step whose container it continues in.
fn steps_of_list(top: &Object) -> Parsed<Vec<Step>> {
    match top.get("version") {
        Some(Value::String(version)) if version == "0" => {}
        Some(version) => {
            return Err(error(
                "bad_version",
                format!("version is {version}, not \"0\""),
            ));
        }
        None => return Err(invalid("version is missing")),
    }
    let default_image = text(top, "default_image")?;
    let env = env_of(top)?;
    let mut steps: Vec<Step> = Vec::new();
    let mut parents = Vec::new();
    // The number of steps before the last wait: every later step needs all of them.
    let mut before_wait = 0;
    for entry in list(top, "steps")? {
        let entry = object(entry, "a step")?;
        match required(entry, "type")?.as_str() {
            "wait" => {
                flag(entry, "continue_on_failure")?;
                before_wait = steps.len();
            }
            "command" => {
                let mut step = step_of(entry)?;
                for (key, value) in &env {
                    let own = step.env.entry(key.clone());
                    own.or_insert_with(|| value.clone());
                }
                step.needs.extend(0..before_wait);
                steps.push(step);
                parents.push(text(entry, "builds_in")?);
            }
            other => return Err(invalid(format!("unknown type of step {other:?}"))),
        }
    }
    // Before names are resolved: with duplicate keys, `builds_in` would be ambiguous.
    check_keys(&steps)?;
    for (position, parent) in parents.into_iter().enumerate() {
        let Some(parent) = parent else {
            let image = &mut steps[position].image;
            *image = image.take().or_else(|| default_image.clone());
            continue;
        };
        let found = steps.iter().position(|step| step.key == parent);
        let found = found.ok_or_else(|| {
            error(
                "unknown_dependency",
                format!("builds_in names an unknown step: {parent:?}"),
            )
        })?;
        steps[position].needs.insert(found);
        steps[position].builds_in = Some(found);
    }
    Ok(steps)
}

/// The steps of the graph form: nodes, and edges between their positions.
fn steps_of_graph(graph: &Object, top: &Object) -> Parsed<Vec<Step>> {
    let default_image = text(top, "default_image")?;
    if !list(graph, "node_holes")?.is_empty() {
        return Err(invalid("node_holes is not empty"));
    }
    let mut steps = Vec::new();
    for node in list(graph, "nodes")? {
        let node = object(node, "a node")?;
        let step = node
            .get("step")
            .ok_or_else(|| invalid("a node has no step"))?;
        let mut step = step_of(object(step, "a step")?)?;
        step.env = env_of(node)?;
        steps.push(step);
    }
    for edge in list(graph, "edges")? {
        let (from, to, kind) = edge_of(edge, steps.len())?;
        let step = &mut steps[to];
        step.needs.insert(from);
        if kind == "builds_in" {
            if step.builds_in.is_some_and(|other| other != from) {
                let why = format!("the step {:?} builds in two others", step.key);
                return Err(invalid(why));
            }
            step.builds_in = Some(from);
        }
    }
    for step in &mut steps {
        if step.builds_in.is_none() && step.image.is_none() {
            step.image.clone_from(&default_image);
        }
    }
    Ok(steps)
}

fn edge_of(edge: &Value, nodes: usize) -> Parsed<(usize, usize, &str)> {
    let malformed = || invalid("an edge is not [from, to, kind] with positions of nodes");
    let parts = edge.as_array().filter(|parts| parts.len() == 3);
    let parts = parts.ok_or_else(malformed)?;
    let position = |value: &Value| {
        let position = usize::try_from(value.as_u64()?).ok()?;
        (position < nodes).then_some(position)
    };
    let (from, to) = (position(&parts[0]), position(&parts[1]));
    let kind = parts[2].as_str().ok_or_else(malformed)?;
    Ok((from.ok_or_else(malformed)?, to.ok_or_else(malformed)?, kind))
}

/// The members of a step that both forms have.
fn step_of(entry: &Object) -> Parsed<Step> {
    check_cache(entry.get("cache"))?;
    let not_blank = |name| {
        let text = required(entry, name)?;
        if text.trim().is_empty() {
            return Err(invalid(format!("the {name} of a step is empty")));
        }
        Ok(text)
    };
    Ok(Step {
        key: not_blank("key")?,
        command: not_blank("cmd")?,
        label: text(entry, "label")?.filter(|label| !label.is_empty()),
        image: text(entry, "image")?,
        env: env_of(entry)?,
        timeout_s: seconds(entry, "timeout_seconds")?.unwrap_or(DEFAULT_TIMEOUT_S),
        needs: BTreeSet::new(),
        builds_in: None,
    })
}

fn check_cache(cache: Option<&Value>) -> Parsed<()> {
    let Some(cache) = cache.filter(|cache| !cache.is_null()) else {
        return Ok(());
    };
    let cache = object(cache, "cache")?;
    text(cache, "key")?;
    match required(cache, "policy")?.as_str() {
        policy if CACHE_POLICIES.contains(&policy) => Ok(()),
        other => Err(invalid(format!("unknown cache policy {other:?}"))),
    }
}

fn check_keys(steps: &[Step]) -> Parsed<()> {
    let mut keys = BTreeSet::new();
    match steps.iter().find(|step| !keys.insert(step.key.as_str())) {
        Some(twice) => {
            let why = format!("two steps have the key {:?}", twice.key);
            Err(error("duplicate_key", why))
        }
        None => Ok(()),
    }
}

/// Checks that no step needs itself, directly or through others.
fn check_cycles(steps: &[Step]) -> Parsed<()> {
    let mut open: BTreeSet<usize> = (0..steps.len()).collect();
    // Removes all steps that need no open step. If none can be removed, the open ones form a cycle
    // or depend on one.
    loop {
        let free = |position: &usize| steps[*position].needs.iter().all(|n| !open.contains(n));
        let free: Vec<usize> = open.iter().copied().filter(free).collect();
        match (free.is_empty(), open.first()) {
            (_, None) => return Ok(()),
            (true, Some(stuck)) => {
                let why = format!("the step {:?} needs itself", steps[*stuck].key);
                return Err(error("cycle", why));
            }
            (false, Some(_)) => open.retain(|position| !free.contains(position)),
        }
    }
}

fn error(code: &str, message: impl Into<String>) -> BuildError {
    BuildError {
        code: code.to_owned(),
        message: message.into(),
    }
}

fn invalid(message: impl Into<String>) -> BuildError {
    error(INVALID_IR, message)
}

fn object<'a>(value: &'a Value, what: &str) -> Parsed<&'a Object> {
    let object = value.as_object();
    object.ok_or_else(|| invalid(format!("{what} is not an object")))
}

fn list<'a>(of: &'a Object, name: &str) -> Parsed<&'a [Value]> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(invalid(format!("{name} is not a list"))),
    }
}

fn text(of: &Object, name: &str) -> Parsed<Option<String>> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.contains('\0') => {
            Err(invalid(format!("{name} contains a NUL character")))
        }
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(format!("{name} is not a string"))),
    }
}

fn required(of: &Object, name: &str) -> Parsed<String> {
    text(of, name)?.ok_or_else(|| invalid(format!("{name} is missing")))
}

fn flag(of: &Object, name: &str) -> Parsed<bool> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(invalid(format!("{name} is neither true nor false"))),
    }
}

fn seconds(of: &Object, name: &str) -> Parsed<Option<u32>> {
    let Some(value) = of.get(name).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let seconds = value
        .as_u64()
        .and_then(|seconds| u32::try_from(seconds).ok());
    match seconds.filter(|seconds| (1..=604_800).contains(seconds)) {
        None => Err(invalid(format!("{name} is not between 1 and 604800"))),
        seconds => Ok(seconds),
    }
}

fn env_of(of: &Object) -> Parsed<BTreeMap<String, String>> {
    let Some(value) = of.get("env").filter(|value| !value.is_null()) else {
        return Ok(BTreeMap::new());
    };
    let env = object(value, "env")?.iter();
    let pairs = env.map(|(key, value)| match value {
        Value::String(value) if !value.contains('\0') => Ok((key.clone(), value.clone())),
        _ => Err(invalid(format!("the variable {key:?} is not a string"))),
    });
    pairs.collect()
}

#[cfg(test)]
mod tests;
