//! The keys of `image` for secrets, the source date and caches.

use slipway_domain::ImageBuild;
use slipway_domain::spec::SourceDate;

use crate::error::{ParseError, Position};
use crate::fields::Fields;
use crate::job_ref::JobRef;
use crate::yaml::{Node, Value};

/// Reads these keys into `build`. Returns the job in `cache_from`, if it names a job.
pub(crate) fn read(
    fields: Fields<'_>,
    build: &mut ImageBuild,
) -> Result<Option<JobRef>, ParseError> {
    if let Some(node) = fields.get("secrets") {
        for (id, variable) in secrets(node)? {
            build.secrets.insert(id, variable);
        }
    }
    if let Some(node) = fields.get("ssh") {
        let variable = node.text("`ssh`")?;
        check_image(node.position, |build| build.ssh = Some(variable.to_owned()))?;
        build.ssh = Some(variable.to_owned());
    }
    if let Some(node) = fields.get("source_date") {
        build.source_date = Some(source_date(node)?);
    }
    if let Some(node) = fields.get("cache_to") {
        let image = node.text("`cache_to`")?;
        check_image(node.position, |build| {
            build.cache_to = Some(image.to_owned())
        })?;
        build.cache_to = Some(image.to_owned());
    }
    let Some(node) = fields.get("cache_from") else {
        return Ok(None);
    };
    // A list names images; a single text names a job.
    if let Value::List(_) = node.value {
        build.cache_images = node.texts("`cache_from`", |item, image| {
            check_image(item.position, |build| {
                build.cache_images.push(image.to_owned());
            })?;
            Ok(image.to_owned())
        })?;
        return Ok(None);
    }
    let job = node.text("`cache_from`")?;
    Ok(Some(JobRef::new(node.position, job)))
}

/// Reads secrets as pairs of id and variable. In a list of variables, each is its own id.
fn secrets(node: &Node) -> Result<Vec<(String, String)>, ParseError> {
    let check = |node: &Node, id: &str, variable: &str| {
        let pair = (id.to_owned(), variable.to_owned());
        check_image(node.position, |build| build.secrets.extend([pair.clone()]))?;
        Ok(pair)
    };
    match &node.value {
        // The short form is for secrets whose id in the Dockerfile is the name of the variable.
        Value::List(_) => node.texts("`secrets`", |item, name| check(item, name, name)),
        _ => {
            let table = node.table("`secrets`")?.into_iter();
            table
                .map(|(key, node, variable)| check(node, &key.text, variable))
                .collect()
        }
    }
}

fn source_date(node: &Node) -> Result<SourceDate, ParseError> {
    let text = node.text("`source_date`")?;
    if text == "commit" {
        return Ok(SourceDate::Commit);
    }
    text.parse().map(SourceDate::Seconds).map_err(|_| {
        node.position.error(format!(
            "invalid `source_date` {text:?}; expected `commit` or the seconds since 1970-01-01, \
             0 to {}",
            u32::MAX
        ))
    })
}

/// Checks a value at its own position, by putting it alone into a default image build.
pub(crate) fn check_image(
    position: Position,
    put: impl FnOnce(&mut ImageBuild),
) -> Result<(), ParseError> {
    let mut build = ImageBuild::default();
    put(&mut build);
    position.check(build.check())
}
