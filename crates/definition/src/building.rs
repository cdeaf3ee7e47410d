//! What an image is built with besides its Dockerfile: secrets, platforms, a date, and caches.

use slipway_domain::ImageBuild;
use slipway_domain::spec::SourceDate;

use crate::fault::{Fault, Place};
use crate::fields::Fields;
use crate::node::{Node, Value};
use crate::reference::Reference;

/// Reads these keys into `build`; returns the job whose image is a source of the cache.
pub(crate) fn read(fields: Fields<'_>, build: &mut ImageBuild) -> Result<Option<Reference>, Fault> {
    if let Some(node) = fields.get("secrets") {
        for (id, variable) in secrets(node)? {
            build.secrets.insert(id, variable);
        }
    }
    if let Some(node) = fields.get("ssh") {
        let variable = node.text("`ssh`")?;
        alone(node.place, |build| build.ssh = Some(variable.to_owned()))?;
        build.ssh = Some(variable.to_owned());
    }
    if let Some(node) = fields.get("platforms") {
        build.platforms = node.texts("`platforms`", |item, text| item.place.check(text.parse()))?;
    }
    if let Some(node) = fields.get("source_date") {
        build.source_date = Some(source_date(node)?);
    }
    if let Some(node) = fields.get("cache_to") {
        let image = node.text("`cache_to`")?;
        alone(node.place, |build| build.cache_to = Some(image.to_owned()))?;
        build.cache_to = Some(image.to_owned());
    }
    let Some(node) = fields.get("cache_from") else {
        return Ok(None);
    };
    match &node.value {
        Value::List(_) => {
            build.cache_images = node.texts("`cache_from`", |item, image| {
                alone(item.place, |build| {
                    build.cache_images.push(image.to_owned())
                })?;
                Ok(image.to_owned())
            })?;
            Ok(None)
        }
        _ => Ok(Some(Reference::new(node.place, node.text("`cache_from`")?))),
    }
}

/// A list of variables, which steps call by their own names, or a table of names and variables.
fn secrets(node: &Node) -> Result<Vec<(String, String)>, Fault> {
    let check = |node: &Node, id: &str, variable: &str| {
        let pair = (id.to_owned(), variable.to_owned());
        alone(node.place, |build| build.secrets.extend([pair.clone()]))?;
        Ok(pair)
    };
    match &node.value {
        Value::List(_) => node.texts("`secrets`", |item, name| check(item, name, name)),
        _ => {
            let table = node.table("`secrets`")?.into_iter();
            table
                .map(|(key, node, variable)| check(node, &key.text, variable))
                .collect()
        }
    }
}

fn source_date(node: &Node) -> Result<SourceDate, Fault> {
    let text = node.text("`source_date`")?;
    match (text, text.parse()) {
        ("commit", _) => Ok(SourceDate::Commit),
        (_, Ok(seconds)) => Ok(SourceDate::Seconds(seconds)),
        (_, Err(_)) => Err(node.place.fault(format!(
            "`source_date` is `commit`, or so many seconds after the beginning of 1970, and not {text:?}"
        ))),
    }
}

/// Checks what is put into an image build, where it stands.
pub(crate) fn alone(place: Place, put: impl FnOnce(&mut ImageBuild)) -> Result<(), Fault> {
    let mut build = ImageBuild::default();
    put(&mut build);
    place.check(build.check())
}
