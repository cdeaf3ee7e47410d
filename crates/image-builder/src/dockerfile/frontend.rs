//! Which BuildKit frontends a Dockerfile may ask for.
//!
//! A frontend is a program that the engine pulls and runs to read the Dockerfile, before any step
//! and with more power than a step has. Only the official one is allowed.

use slipway_domain::ImageBuild;

use crate::error::BuildError;

const ALLOWED: &[&str] = &["docker/dockerfile", "docker/dockerfile-upstream"];

/// Refuses a frontend that is not allowed, whether the Dockerfile or an argument asks for it.
pub(crate) fn check(dockerfile: &str, spec: &ImageBuild) -> Result<(), BuildError> {
    let by_argument = spec.args.get("BUILDKIT_SYNTAX").map(String::as_str);
    let asked = by_argument.into_iter().chain(asked_for(dockerfile));
    for image in asked {
        let name = image.split_whitespace().next().unwrap_or_default();
        let name = name.split('@').next().unwrap_or_default();
        let name = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => name,
            _ => name,
        };
        let name = name.strip_prefix("docker.io/").unwrap_or(name);
        if !ALLOWED.contains(&name) {
            return Err(BuildError::DockerfileInvalid {
                detail: format!("the frontend {name} is not allowed; use docker/dockerfile"),
            });
        }
    }
    Ok(())
}

/// The frontends that comments before the first instruction name. Whichever the engine heeds is
/// among them.
fn asked_for(dockerfile: &str) -> impl Iterator<Item = &str> {
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
    fn an_argument_cannot_choose_another_one() {
        let mut spec = ImageBuild::default();
        let key = "BUILDKIT_SYNTAX".to_owned();
        spec.args.insert(key, "evil/frontend".to_owned());
        assert!(check("FROM scratch", &spec).is_err());
    }
}
