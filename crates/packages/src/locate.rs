//! Where in an unpacked package the context and the Dockerfile are, on the disk.

use std::path::{Path, PathBuf};

use slipway_domain::package::{PackageLocation, ResolvedLocation};

use crate::error::PackageError;

/// Finds context and Dockerfile of a build in the package that was unpacked into `dir`.
///
/// Links are followed as long as they stay inside.
///
/// # Errors
/// `OutsidePackage` when a path or a link leads out, `ContextMissing`, `DockerfileMissing`.
pub fn locate(dir: &Path, location: &PackageLocation) -> Result<ResolvedLocation, PackageError> {
    let place = location
        .resolve()
        .map_err(|invalid| PackageError::OutsidePackage { path: invalid.got })?;
    let dir = dir.canonicalize()?;
    let inside = |path: &str| -> Result<Option<PathBuf>, PackageError> {
        match dir.join(path).canonicalize() {
            Ok(found) if found.starts_with(&dir) => Ok(Some(found)),
            Ok(_) => Err(PackageError::OutsidePackage {
                path: path.to_owned(),
            }),
            Err(_) => Ok(None),
        }
    };
    let context = inside(&place.context)?.filter(|path| path.is_dir());
    if context.is_none() {
        return Err(PackageError::ContextMissing {
            path: location.context.clone(),
        });
    }
    let path = place.dockerfile_in_package();
    let dockerfile = inside(&path)?.filter(|path| path.is_file());
    match dockerfile {
        Some(_) if !place.dockerfile.is_empty() => Ok(place),
        _ => Err(PackageError::DockerfileMissing { path }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn package() -> tempfile::TempDir {
        let around = tempfile::tempdir().unwrap();
        let dir = around.path().join("package");
        fs::create_dir_all(dir.join("app/docker")).unwrap();
        fs::write(around.path().join("Dockerfile"), "FROM scratch").unwrap();
        for path in ["Dockerfile", "app/docker/Dockerfile"] {
            fs::write(dir.join(path), "FROM scratch").unwrap();
        }
        symlink("app/docker", dir.join("inside")).unwrap();
        symlink("..", dir.join("outside")).unwrap();
        symlink("../Dockerfile", dir.join("Outer")).unwrap();
        around
    }

    fn find(dockerfile_path: &str, context: &str) -> Result<ResolvedLocation, PackageError> {
        let around = package();
        let location = PackageLocation {
            dockerfile_path: dockerfile_path.to_owned(),
            context: context.to_owned(),
        };
        locate(&around.path().join("package"), &location)
    }

    #[test]
    fn a_dockerfile_is_found_inside_the_package() {
        for (path, context, found_context, found) in [
            ("/Dockerfile", "/", "", "Dockerfile"),
            ("/app/docker/Dockerfile", "/app", "app", "docker/Dockerfile"),
            (
                "/app/docker/Dockerfile",
                "/none",
                "app/docker",
                "Dockerfile",
            ),
            ("/inside/Dockerfile", "/", "", "inside/Dockerfile"),
        ] {
            let expected = ResolvedLocation {
                context: found_context.to_owned(),
                dockerfile: found.to_owned(),
            };
            assert_eq!(find(path, context).unwrap(), expected);
        }
    }

    #[test]
    fn neither_dots_nor_links_lead_out_of_the_package() {
        for (path, context) in [
            ("../Dockerfile", "/"),
            ("Dockerfile", "../.."),
            ("Outer", "/"),
            ("/outside/Dockerfile", "/"),
            ("/outside/Dockerfile", "/outside"),
            ("", "/outside"),
        ] {
            let found = find(path, context);
            assert!(
                matches!(found, Err(PackageError::OutsidePackage { .. })),
                "{path} {context}: {found:?}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let message = |path, context| find(path, context).unwrap_err().to_string();
        assert!(message("sub/Dockerfile", "/").contains("no Dockerfile at sub/Dockerfile"));
        assert!(message("app", "/").contains("no Dockerfile at app"));
        assert!(message("", "").contains("no Dockerfile at"));
        assert!(message("", "/none").contains("/none is not a directory"));
    }

    proptest::proptest! {
        #[test]
        fn no_two_texts_make_a_path_that_leads_out(
            dockerfile_path in "[ab./\\\\]{0,12}",
            context in "[ab./]{0,12}",
        ) {
            let location = PackageLocation { dockerfile_path, context };
            if let Ok(place) = location.resolve() {
                for path in [place.dockerfile_in_package(), place.context, place.dockerfile] {
                    let mut parts = Path::new(&path).components();
                    let is_plain = |part| matches!(part, std::path::Component::Normal(_));
                    proptest::prop_assert!(parts.all(is_plain), "{path}");
                }
            }
        }
    }
}
