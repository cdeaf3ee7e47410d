//! Finds the build context and the Dockerfile in an unpacked package.

use std::path::{Path, PathBuf};

use slipway_build_context::with_lower_case;
use slipway_domain::package::{PackageLocation, ResolvedLocation};

use crate::error::PackageError;

/// Finds the context and the Dockerfile of a build in the package that was unpacked into `dir`.
///
/// Symbolic links are followed if they stay inside the package.
///
/// # Errors
/// `OutsidePackage` if a path or a link leads out, `ContextMissing`, `DockerfileMissing`.
pub fn locate(dir: &Path, location: &PackageLocation) -> Result<ResolvedLocation, PackageError> {
    let resolved = location
        .resolve()
        .map_err(|invalid| PackageError::OutsidePackage { path: invalid.got })?;
    // Both sides of the comparison have to be canonical, because `dir` may contain links itself.
    let dir = dir.canonicalize()?;
    let inside = |path: &str| -> Result<Option<PathBuf>, PackageError> {
        // Resolves links, so that one that leads out of the package is detected.
        match dir.join(path).canonicalize() {
            Ok(found) if found.starts_with(&dir) => Ok(Some(found)),
            Ok(_) => Err(PackageError::OutsidePackage {
                path: path.to_owned(),
            }),
            Err(_) => Ok(None),
        }
    };
    let context = inside(&resolved.context)?.filter(|path| path.is_dir());
    if context.is_none() {
        return Err(PackageError::ContextMissing {
            path: location.context.clone(),
        });
    }
    let path = resolved.dockerfile_in_package();
    let path_on_disk = with_lower_case(&dir.join(&path));
    let name = path_on_disk.strip_prefix(&dir).ok().and_then(Path::to_str);
    let dockerfile = inside(name.unwrap_or(&path))?.filter(|path| path.is_file());
    match dockerfile {
        Some(_) if !resolved.dockerfile.is_empty() => Ok(resolved),
        _ => Err(PackageError::DockerfileMissing { path }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn package() -> tempfile::TempDir {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("package");
        fs::create_dir_all(dir.join("app/docker")).unwrap();
        fs::write(parent.path().join("Dockerfile"), "FROM scratch").unwrap();
        for path in ["Dockerfile", "app/docker/Dockerfile"] {
            fs::write(dir.join(path), "FROM scratch").unwrap();
        }
        symlink("app/docker", dir.join("inside")).unwrap();
        symlink("..", dir.join("outside")).unwrap();
        symlink("../Dockerfile", dir.join("Outer")).unwrap();
        parent
    }

    fn find(dockerfile_path: &str, context: &str) -> Result<ResolvedLocation, PackageError> {
        let parent = package();
        let location = PackageLocation {
            dockerfile_path: dockerfile_path.to_owned(),
            context: context.to_owned(),
        };
        locate(&parent.path().join("package"), &location)
    }

    #[test]
    fn the_context_and_the_dockerfile_are_found() {
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
    fn a_lower_case_dockerfile_is_found_if_there_is_no_other() {
        let parent = package();
        let dir = parent.path().join("package");
        fs::rename(dir.join("Dockerfile"), dir.join("dockerfile")).unwrap();
        let location = PackageLocation {
            dockerfile_path: "/Dockerfile".to_owned(),
            context: "/".to_owned(),
        };
        assert_eq!(locate(&dir, &location).unwrap().dockerfile, "Dockerfile");
    }

    #[test]
    fn dots_and_links_that_lead_out_are_refused() {
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
    fn a_missing_file_or_directory_is_named_in_the_error() {
        let message = |path, context| find(path, context).unwrap_err().to_string();
        assert!(message("sub/Dockerfile", "/").contains("no Dockerfile at sub/Dockerfile"));
        assert!(message("app", "/").contains("no Dockerfile at app"));
        assert!(message("", "").contains("no Dockerfile at"));
        assert!(message("", "/none").contains("/none is not a directory"));
    }

    proptest::proptest! {
        #[test]
        fn no_resolved_path_leads_out(
            dockerfile_path in "[ab./\\\\]{0,12}",
            context in "[ab./]{0,12}",
        ) {
            let location = PackageLocation { dockerfile_path, context };
            if let Ok(resolved) = location.resolve() {
                for path in [resolved.dockerfile_in_package(), resolved.context, resolved.dockerfile] {
                    let mut parts = Path::new(&path).components();
                    let is_plain = |part| matches!(part, std::path::Component::Normal(_));
                    proptest::prop_assert!(parts.all(is_plain), "{path}");
                }
            }
        }
    }
}
