//! The formats in which package managers list what they have installed.

use serde_json::Value;

use super::package::{InstalledPackages, Package, PackageType};

/// The value of a `Name: value` line in a paragraph.
fn field<'a>(paragraph: &'a str, name: &str) -> Option<&'a str> {
    let value = paragraph.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key == name).then_some(value.trim())
    });
    value.filter(|value| !value.is_empty())
}

/// dpkg's packages, without those that are removed or only partly installed.
pub(super) fn dpkg(text: &str) -> Vec<Package> {
    let paragraphs = text.split("\n\n");
    let installed = paragraphs.filter(|paragraph| {
        let status = field(paragraph, "Status");
        status.is_none_or(|status| status.ends_with(" installed"))
    });
    let package = |paragraph| {
        Some(Package {
            package_type: PackageType::Deb,
            name: field(paragraph, "Package")?.to_owned(),
            version: field(paragraph, "Version")?.to_owned(),
            arch: field(paragraph, "Architecture").map(str::to_owned),
        })
    };
    installed.filter_map(package).collect()
}

/// apk's packages.
pub(super) fn apk(text: &str) -> Vec<Package> {
    let package = |paragraph| {
        Some(Package {
            package_type: PackageType::Apk,
            name: field(paragraph, "P")?.to_owned(),
            version: field(paragraph, "V")?.to_owned(),
            arch: field(paragraph, "A").map(str::to_owned),
        })
    };
    text.split("\n\n").filter_map(package).collect()
}

/// The metadata of a Python package.
pub(super) fn python(text: &str) -> Option<Package> {
    // The description after the first empty line may contain anything.
    let text = text.replace("\r\n", "\n");
    let head = text.split("\n\n").next().unwrap_or_default();
    Some(Package {
        package_type: PackageType::Python,
        name: field(head, "Name")?.to_owned(),
        version: field(head, "Version")?.to_owned(),
        arch: None,
    })
}

/// The `package.json` of a Node package.
pub(super) fn node(text: &str) -> Option<Package> {
    let package: Value = serde_json::from_str(text).ok()?;
    Some(Package {
        package_type: PackageType::Node,
        name: package["name"].as_str()?.to_owned(),
        version: package["version"].as_str()?.to_owned(),
        arch: None,
    })
}

/// The `os-release` file of the system.
pub(super) fn system(text: &str, installed: &mut InstalledPackages) {
    let value = |name: &str| {
        let value = text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key == name).then(|| value.trim().trim_matches(['"', '\'']))
        });
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    // An image may have the file in two places, and both need not be complete.
    installed.id = value("ID").or(installed.id.take());
    installed.version = value("VERSION_ID").or(installed.version.take());
}
