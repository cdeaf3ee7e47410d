//! Which BuildKit frontends a Dockerfile may use.
//!
//! A frontend is a program that the engine pulls and runs to read the Dockerfile, before any step
//! and with more privileges than a step has. Only the official one is allowed.

use slipway_domain::ImageBuild;

use crate::error::BuildError;

/// The images of the official frontend.
const ALLOWED: &[&str] = &["docker/dockerfile", "docker/dockerfile-upstream"];
/// The build argument that selects a frontend, overriding the Dockerfile.
const FRONTEND_ARG: &str = "BUILDKIT_SYNTAX";

/// Refuses a frontend that is not allowed, whether the Dockerfile or a build argument names it.
pub(crate) fn check(dockerfile: &str, spec: &ImageBuild) -> Result<(), BuildError> {
    let argument = spec.args.get(FRONTEND_ARG).map(String::as_str);
    for image in argument.into_iter().chain(frontends_in(dockerfile)) {
        let name = repository_of(image);
        if !ALLOWED.contains(&name) {
            return Err(BuildError::DockerfileInvalid {
                detail: format!("the frontend {name} is not allowed; use docker/dockerfile"),
            });
        }
    }
    Ok(())
}

/// The image without its tag, its digest and the default registry.
fn repository_of(image: &str) -> &str {
    let name = image.split_whitespace().next().unwrap_or_default();
    let name = name.split('@').next().unwrap_or_default();
    let name = match name.rsplit_once(':') {
        // A colon before a slash belongs to the port of a registry.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    };
    name.strip_prefix("docker.io/").unwrap_or(name)
}

/// The frontends that comments before the first instruction name.
///
/// All of them are checked, so the one that the engine obeys is among them.
fn frontends_in(dockerfile: &str) -> impl Iterator<Item = &str> {
    let text = dockerfile.trim_start_matches('\u{feff}');
    text.lines()
        .map(str::trim)
        .take_while(|line| line.is_empty() || line.starts_with('#') || line.starts_with("//"))
        .filter_map(|line| {
            let line = line.trim_start_matches(['#', '/']).trim();
            let (key, value) = line.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case("syntax")
                .then_some(value.trim())
        })
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_official_frontend_is_allowed() {
        let check = |text: &str| check(text, &ImageBuild::default()).is_ok();
        for good in [
            "FROM scratch",
            "# syntax=docker/dockerfile:1\nFROM scratch",
            "#syntax = docker.io/docker/dockerfile:1.4@sha256:00\nFROM scratch",
            "FROM scratch\n# syntax=evil/frontend",
            "# escape=`\nFROM scratch",
        ] {
            assert!(check(good), "{good}");
        }
        for bad in [
            "# syntax=evil/frontend\nFROM scratch",
            "#!/bin/sh\n\n# SYNTAX=evil.example:5000/docker/dockerfile\nFROM scratch",
            "// syntax=evil/frontend\n",
            "# syntax=docker/dockerfile-evil\n",
        ] {
            assert!(!check(bad), "{bad}");
        }
    }

    #[test]
    fn a_build_argument_cannot_select_another_frontend() {
        let mut spec = ImageBuild::default();
        let key = "BUILDKIT_SYNTAX".to_owned();
        spec.args.insert(key, "evil/frontend".to_owned());
        assert!(check("FROM scratch", &spec).is_err());
    }
}
