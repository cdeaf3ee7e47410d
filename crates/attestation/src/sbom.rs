//! The packages in an image, as an SPDX 2.3 document. BuildKit attaches SBOMs in the same format,
//! so tools that read them from registries can read these too.
//!
//! See <https://spdx.github.io/spdx-spec/v2.3/>.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::document::Subject;
use crate::package_url;
use crate::scan::InstalledPackages;

/// SPDX's value for a property that was not examined.
const UNKNOWN: &str = "NOASSERTION";

/// Writes the SBOM. `namespace` is a URL that no other document has; `tool` is the name and version
/// of the program that writes it.
pub fn sbom(
    image: Subject<'_>,
    installed: &InstalledPackages,
    namespace: &str,
    tool: &str,
    created: DateTime<Utc>,
) -> Value {
    let image_package = package(
        "SPDXRef-Image",
        image.name,
        image.digest,
        package_url::of_image(image).ok(),
    );
    let mut packages = vec![image_package];
    let mut relationships = vec![relationship(
        "SPDXRef-DOCUMENT",
        "DESCRIBES",
        "SPDXRef-Image",
    )];
    for (number, found) in installed.packages.iter().enumerate() {
        let id = format!("SPDXRef-Package-{}", number + 1);
        // A package without a valid URL is listed by name and version only.
        let url = package_url::of_package(found, installed).ok();
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
    if !installed.is_complete
        && let Some(members) = document.as_object_mut()
    {
        members.insert(
            "comment".to_owned(),
            "the list is incomplete: not all of the image was read".into(),
        );
    }
    document
}

fn package(id: &str, name: &str, version: &str, url: Option<String>) -> Value {
    let mut package = json!({
        "SPDXID": id,
        "name": name,
        "versionInfo": version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
    });
    if let Some(url) = url {
        package["externalRefs"] = json!([{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": url,
        }]);
    }
    package
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
    use crate::scan::{Package, PackageType};

    #[test]
    fn the_image_and_every_package_are_listed_once() {
        let image = Subject {
            name: "r.example/acme/api",
            digest: "sha256:ab",
        };
        let mut installed = InstalledPackages {
            is_complete: true,
            ..InstalledPackages::default()
        };
        installed.packages.insert(Package {
            package_type: PackageType::Deb,
            name: "curl".to_owned(),
            version: "7".to_owned(),
            arch: None,
        });
        let write = |installed: &InstalledPackages| {
            sbom(image, installed, "https://x/1", "t-1", DateTime::UNIX_EPOCH)
        };
        let list = write(&installed);
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
        // Every relationship connects elements of the document.
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
        installed.is_complete = false;
        assert!(write(&installed)["comment"].is_string());
    }
}
