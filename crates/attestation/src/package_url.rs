//! Package URLs, which identify a package: `pkg:deb/debian/curl@7.88.1?arch=amd64`.
//!
//! See <https://github.com/package-url/purl-spec>.

use packageurl::PackageUrl;

use crate::document::Subject;
use crate::scan::{InstalledPackages, Package, PackageType};

/// The package URL of a package in an image with this system.
///
/// # Errors
/// If the package has an empty name.
pub(crate) fn of_package(
    package: &Package,
    system: &InstalledPackages,
) -> packageurl::Result<String> {
    match package.package_type {
        PackageType::Deb => of_system_package("deb", "debian", package, system),
        PackageType::Apk => of_system_package("apk", "alpine", package, system),
        PackageType::Python => {
            let mut url = PackageUrl::new("pypi", &*package.name)?;
            url.with_version(&*package.version)?;
            Ok(url.to_string())
        }
        PackageType::Node => {
            // The scope of `@acme/x` is its namespace.
            let (scope, name) = match package.name.rsplit_once('/') {
                Some((scope, name)) => (Some(scope), name),
                None => (None, &*package.name),
            };
            let mut url = PackageUrl::new("npm", name)?;
            if let Some(scope) = scope {
                url.with_namespace(scope)?;
            }
            url.with_version(&*package.version)?;
            Ok(url.to_string())
        }
    }
}

/// `default_id` is the id of the system if the image does not name one.
fn of_system_package(
    url_type: &'static str,
    default_id: &str,
    package: &Package,
    system: &InstalledPackages,
) -> packageurl::Result<String> {
    let system_id = system.id.as_deref().unwrap_or(default_id);
    let mut url = PackageUrl::new(url_type, &*package.name)?;
    url.with_namespace(system_id)?
        .with_version(&*package.version)?;
    if let Some(arch) = &package.arch {
        url.add_qualifier("arch", &**arch)?;
    }
    if let Some(version) = &system.version {
        url.add_qualifier("distro", format!("{system_id}-{version}"))?;
    }
    Ok(url.to_string())
}

/// The package URL of an image.
///
/// # Errors
/// If the name of the image is empty.
pub(crate) fn of_image(image: Subject<'_>) -> packageurl::Result<String> {
    let name = image.name.rsplit('/').next().unwrap_or(image.name);
    let mut url = PackageUrl::new("oci", name)?;
    url.with_version(image.digest)?
        .add_qualifier("repository_url", image.name)?;
    Ok(url.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_of_package_has_its_form() {
        let debian = InstalledPackages {
            id: Some("debian".to_owned()),
            version: Some("12".to_owned()),
            ..InstalledPackages::default()
        };
        for (package_type, name, version, arch, url) in [
            (
                PackageType::Deb,
                "libstdc++6",
                "1:12.2+b1~x",
                Some("amd64"),
                "pkg:deb/debian/libstdc%2B%2B6@1:12.2%2Bb1~x?arch=amd64&distro=debian-12",
            ),
            (
                PackageType::Python,
                "Typing_Extensions",
                "4",
                None,
                "pkg:pypi/typing-extensions@4",
            ),
            (
                PackageType::Node,
                "@acme/x",
                "1.0.0",
                None,
                "pkg:npm/%40acme/x@1.0.0",
            ),
        ] {
            let package = Package {
                package_type,
                name: name.to_owned(),
                version: version.to_owned(),
                arch: arch.map(str::to_owned),
            };
            assert_eq!(of_package(&package, &debian).unwrap(), url);
        }
        let apk = Package {
            package_type: PackageType::Apk,
            name: "musl".to_owned(),
            version: "1.2-r0".to_owned(),
            arch: None,
        };
        assert_eq!(
            of_package(&apk, &InstalledPackages::default()).unwrap(),
            "pkg:apk/alpine/musl@1.2-r0"
        );
        let image = Subject {
            name: "r.example:5000/acme/api",
            digest: "sha256:ab",
        };
        assert_eq!(
            of_image(image).unwrap(),
            "pkg:oci/api@sha256:ab?repository_url=r.example:5000%2Facme%2Fapi"
        );
    }
}
