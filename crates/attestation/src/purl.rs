//! Package URLs, by which tools know a package: `pkg:deb/debian/curl@7.88.1?arch=amd64`.
//!
//! See <https://github.com/package-url/purl-spec>.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::Subject;
use crate::scan::{Installed, Kind, Package};

/// What is written as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'.')
    .remove(b'-')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

fn quoted(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// The package URL of a package in a system.
pub(crate) fn of_package(package: &Package, system: &Installed) -> String {
    let (name, version) = (quoted(&package.name), quoted(&package.version));
    match package.kind {
        Kind::Deb | Kind::Apk => {
            let (kind, usual) = match package.kind {
                Kind::Deb => ("deb", "debian"),
                _ => ("apk", "alpine"),
            };
            let system_id = system.id.as_deref().unwrap_or(usual);
            let arch = package.arch.as_ref().map(|arch| ("arch", arch.clone()));
            let distro = system.version.as_ref();
            let distro = distro.map(|version| ("distro", format!("{system_id}-{version}")));
            let qualifiers: Vec<String> = [arch, distro]
                .into_iter()
                .flatten()
                .map(|(key, value)| format!("{key}={}", quoted(&value)))
                .collect();
            let mark = if qualifiers.is_empty() { "" } else { "?" };
            let system_id = quoted(system_id);
            format!(
                "pkg:{kind}/{system_id}/{name}@{version}{mark}{}",
                qualifiers.join("&")
            )
        }
        Kind::Python => {
            let name = quoted(&package.name.to_lowercase().replace('_', "-"));
            format!("pkg:pypi/{name}@{version}")
        }
        Kind::Node => {
            let name = package.name.split('/').map(quoted).collect::<Vec<_>>();
            format!("pkg:npm/{}@{version}", name.join("/"))
        }
    }
}

/// The package URL of an image.
pub(crate) fn of_image(image: Subject<'_>) -> String {
    let name = image.name.rsplit('/').next().unwrap_or(image.name);
    format!(
        "pkg:oci/{}@{}?repository_url={}",
        quoted(name),
        quoted(image.digest),
        quoted(image.name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_package_has_its_form() {
        let debian = Installed {
            id: Some("debian".to_owned()),
            version: Some("12".to_owned()),
            ..Installed::default()
        };
        for (kind, name, version, arch, url) in [
            (
                Kind::Deb,
                "libstdc++6",
                "1:12.2+b1~x",
                Some("amd64"),
                "pkg:deb/debian/libstdc%2B%2B6@1:12.2%2Bb1~x?arch=amd64&distro=debian-12",
            ),
            (
                Kind::Python,
                "Typing_Extensions",
                "4",
                None,
                "pkg:pypi/typing-extensions@4",
            ),
            (
                Kind::Node,
                "@acme/x",
                "1.0.0",
                None,
                "pkg:npm/%40acme/x@1.0.0",
            ),
        ] {
            let package = Package {
                kind,
                name: name.to_owned(),
                version: version.to_owned(),
                arch: arch.map(str::to_owned),
            };
            assert_eq!(of_package(&package, &debian), url);
        }
        let apk = Package {
            kind: Kind::Apk,
            name: "musl".to_owned(),
            version: "1.2-r0".to_owned(),
            arch: None,
        };
        assert_eq!(
            of_package(&apk, &Installed::default()),
            "pkg:apk/alpine/musl@1.2-r0"
        );
        let image = Subject {
            name: "r.example:5000/acme/api",
            digest: "sha256:ab",
        };
        assert_eq!(
            of_image(image),
            "pkg:oci/api@sha256:ab?repository_url=r.example:5000%2Facme%2Fapi"
        );
    }
}
