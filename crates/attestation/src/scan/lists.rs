//! The files in which package managers keep what they have installed.

use serde_json::Value;

use super::{Installed, Kind, Package};

/// The value of a `Name: value` line of a paragraph.
fn field<'a>(paragraph: &'a str, name: &str) -> Option<&'a str> {
    let value = paragraph.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key == name).then_some(value.trim())
    });
    value.filter(|value| !value.is_empty())
}

/// What dpkg says of its packages; those that were removed or are half there are left out.
pub(super) fn dpkg(text: &str) -> Vec<Package> {
    let paragraphs = text.split("\n\n");
    let installed = paragraphs.filter(|paragraph| {
        let status = field(paragraph, "Status");
        status.is_none_or(|status| status.ends_with(" installed"))
    });
    let package = |paragraph| {
        Some(Package {
            kind: Kind::Deb,
            name: field(paragraph, "Package")?.to_owned(),
            version: field(paragraph, "Version")?.to_owned(),
            arch: field(paragraph, "Architecture").map(str::to_owned),
        })
    };
    installed.filter_map(package).collect()
}

/// What apk says of its packages.
pub(super) fn apk(text: &str) -> Vec<Package> {
    let package = |paragraph| {
        Some(Package {
            kind: Kind::Apk,
            name: field(paragraph, "P")?.to_owned(),
            version: field(paragraph, "V")?.to_owned(),
            arch: field(paragraph, "A").map(str::to_owned),
        })
    };
    text.split("\n\n").filter_map(package).collect()
}

/// What a Python package says of itself.
pub(super) fn headers(text: &str) -> Option<Package> {
    // What follows the first empty line is prose.
    let text = text.replace("\r\n", "\n");
    let head = text.split("\n\n").next().unwrap_or_default();
    Some(Package {
        kind: Kind::Python,
        name: field(head, "Name")?.to_owned(),
        version: field(head, "Version")?.to_owned(),
        arch: None,
    })
}

/// What a Node package says of itself.
pub(super) fn node(text: &str) -> Option<Package> {
    let package: Value = serde_json::from_str(text).ok()?;
    Some(Package {
        kind: Kind::Node,
        name: package["name"].as_str()?.to_owned(),
        version: package["version"].as_str()?.to_owned(),
        arch: None,
    })
}

/// What a system says of itself.
pub(super) fn system(text: &str, installed: &mut Installed) {
    let value = |name: &str| {
        let value = text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key == name).then(|| value.trim().trim_matches(['"', '\'']))
        });
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    installed.id = value("ID").or(installed.id.take());
    installed.version = value("VERSION_ID").or(installed.version.take());
}
