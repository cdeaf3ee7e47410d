//! What is in an image, as SPDX 2.3 says it: the form in which BuildKit attaches such lists too, so
//! that what reads lists in registries reads ours.
//!
//! See <https://spdx.github.io/spdx-spec/v2.3/>.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::scan::Installed;
use crate::{Subject, purl};

/// Stands for what nobody has looked at.
const UNKNOWN: &str = "NOASSERTION";

/// The list. `namespace` is an address that no other document has; `tool` is the program that made
/// the list, with its version.
pub fn sbom(
    image: Subject<'_>,
    installed: &Installed,
    namespace: &str,
    tool: &str,
    created: DateTime<Utc>,
) -> Value {
    let image_package = package(
        "SPDXRef-Image",
        image.name,
        image.digest,
        purl::of_image(image),
    );
    let mut packages = vec![image_package];
    let mut relationships = vec![relationship(
        "SPDXRef-DOCUMENT",
        "DESCRIBES",
        "SPDXRef-Image",
    )];
    for (number, found) in installed.packages.iter().enumerate() {
        let id = format!("SPDXRef-Package-{}", number + 1);
        let url = purl::of_package(found, installed);
        packages.push(package(&id, &found.name, &found.version, url));
        relationships.push(relationship("SPDXRef-Image", "CONTAINS", &id));
    }
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{}@{}", image.name, image.digest),
        "documentNamespace": namespace,
        "creationInfo": {
            "created": created.to_rfc3339_opts(SecondsFormat::Secs, true),
            "creators": [format!("Tool: {tool}")],
        },
        "packages": packages,
        "relationships": relationships,
    });
    if !installed.is_whole
        && let Some(members) = document.as_object_mut()
    {
        members.insert("comment".to_owned(), "not all of the image was read".into());
    }
    document
}

fn package(id: &str, name: &str, version: &str, url: String) -> Value {
    json!({
        "SPDXID": id,
        "name": name,
        "versionInfo": version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": url,
        }],
    })
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({
        "spdxElementId": from,
        "relationshipType": kind,
        "relatedSpdxElement": to,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{Kind, Package};

    #[test]
    fn a_list_has_the_image_and_every_package_once() {
        let image = Subject {
            name: "r.example/acme/api",
            digest: "sha256:ab",
        };
        let mut installed = Installed {
            is_whole: true,
            ..Installed::default()
        };
        installed.packages.insert(Package {
            kind: Kind::Deb,
            name: "curl".to_owned(),
            version: "7".to_owned(),
            arch: None,
        });
        let made = |installed: &Installed| {
            sbom(image, installed, "https://x/1", "t-1", DateTime::UNIX_EPOCH)
        };
        let list = made(&installed);
        for (member, text) in [
            ("spdxVersion", "SPDX-2.3"),
            ("dataLicense", "CC0-1.0"),
            ("SPDXID", "SPDXRef-DOCUMENT"),
            ("documentNamespace", "https://x/1"),
        ] {
            assert_eq!(list[member], text);
        }
        assert_eq!(list["creationInfo"]["creators"], json!(["Tool: t-1"]));
        let names: Vec<&str> = list["packages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|package| package["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["r.example/acme/api", "curl"]);
        assert_eq!(
            list["packages"][1]["externalRefs"][0]["referenceLocator"],
            "pkg:deb/debian/curl@7"
        );
        // Every relationship is between elements that are there.
        assert_eq!(
            list["relationships"],
            json!([
                {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                 "relatedSpdxElement": "SPDXRef-Image"},
                {"spdxElementId": "SPDXRef-Image", "relationshipType": "CONTAINS",
                 "relatedSpdxElement": "SPDXRef-Package-1"},
            ])
        );
        assert!(list.get("comment").is_none());
        installed.is_whole = false;
        assert!(made(&installed)["comment"].is_string());
    }
}
