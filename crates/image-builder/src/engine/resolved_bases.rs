//! Which base images BuildKit used, as the names of its steps tell.
//!
//! The engine may have another image of the same name, or none: BuildKit resolves names in the
//! registry, and with the image store of containerd it keeps what it pulled to itself.

use crate::request::ResolvedBase;

/// Collects base images with their digests, in the order in which BuildKit reports them.
#[derive(Debug, Default)]
pub(crate) struct ResolvedBases(Vec<ResolvedBase>);

impl ResolvedBases {
    /// Notes the base image in the name of a step, if the step takes one and names its digest.
    pub(crate) fn note(&mut self, step: &str) {
        if let Some(base) = resolved(step)
            && !self.0.contains(&base)
        {
            self.0.push(base);
        }
    }

    pub(crate) fn into_inner(self) -> Vec<ResolvedBase> {
        self.0
    }
}

/// The base image of a step such as `[build 1/4] FROM docker.io/library/alpine:3@sha256:…`.
fn resolved(step: &str) -> Option<ResolvedBase> {
    let instruction = match step.strip_prefix('[') {
        Some(rest) => rest.split_once("] ")?.1,
        None => step,
    };
    let mut words = instruction.strip_prefix("FROM ")?.split_whitespace();
    let (name, digest) = words
        .find(|word| !word.starts_with("--"))?
        .split_once('@')?;
    Some(ResolvedBase {
        name: name.to_owned(),
        digest: digest.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_steps_that_take_a_base_image_with_a_digest_are_noted() {
        let mut bases = ResolvedBases::default();
        for step in [
            "[internal] load metadata for docker.io/library/alpine:3",
            "docker-image://docker.io/docker/dockerfile:1@sha256:99",
            "[build 1/4] FROM docker.io/library/alpine:3@sha256:12",
            "[build 1/4] FROM docker.io/library/alpine:3@sha256:12",
            "[linux/arm64 2/3] RUN echo FROM a@sha256:56",
            "FROM r.example:5000/a@sha256:34",
            "[stage-1 1/2] FROM docker.io/library/only-here:1",
        ] {
            bases.note(step);
        }
        let base = |name: &str, digest: &str| ResolvedBase {
            name: name.to_owned(),
            digest: digest.to_owned(),
        };
        let expected = [
            base("docker.io/library/alpine:3", "sha256:12"),
            base("r.example:5000/a", "sha256:34"),
        ];
        assert_eq!(bases.into_inner(), expected);
    }
}
