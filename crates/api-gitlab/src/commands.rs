//! A job's spec as shell lines, for a stock runner with the `docker` command on its host.
//!
//! The lines end up in a shell, so every value is quoted; passwords come in through variables, so
//! that no line shows one.

use slipway_domain::ImageBuild;
use slipway_protocol::Credentials;

/// The variable that holds the password of the login at `position`.
pub(crate) fn password_variable(position: usize) -> String {
    format!("SLIPWAY_REGISTRY_PASSWORD_{position}")
}

/// The lines that build and push an image.
pub(crate) fn build_and_push(image: &ImageBuild, logins: &[Credentials]) -> String {
    let mut lines = vec![
        // Logins go to a place of their own, which the host's users never see.
        "export DOCKER_CONFIG=\"$(mktemp -d)\"".to_owned(),
        "trap 'rm -rf \"$DOCKER_CONFIG\"' EXIT".to_owned(),
    ];
    for (position, login) in logins.iter().enumerate() {
        lines.push(format!(
            "printf '%s' \"${}\" | docker login --username {} --password-stdin {}",
            password_variable(position),
            quoted(&login.username),
            quoted(&login.url)
        ));
    }
    let references: Vec<String> = image
        .repository
        .iter()
        .flat_map(|repository| image.tags.iter().map(|tag| repository.tagged(tag)))
        .collect();
    let cache = cache_of(image);
    if let Some(cache) = &cache {
        // Nothing is amiss when there is none yet.
        lines.push(format!("docker pull {} || true", quoted(cache)));
    }
    lines.push(build_line(image, &references, cache.as_deref()));
    for reference in &references {
        lines.push(format!("docker push {}", quoted(reference)));
    }
    if let Some(first) = references.first() {
        lines.push(format!(
            "docker image inspect --format '{{{{index .RepoDigests 0}}}}' {}",
            quoted(first)
        ));
        let all: Vec<String> = references
            .iter()
            .map(|reference| quoted(reference))
            .collect();
        lines.push(format!("docker image rm {}", all.join(" ")));
    }
    lines.join("\n")
}

/// The image that layers are taken from.
fn cache_of(image: &ImageBuild) -> Option<String> {
    let tag = image.cache_tag.as_ref().filter(|_| !image.no_cache)?;
    Some(image.repository.as_ref()?.tagged(tag))
}

fn build_line(image: &ImageBuild, references: &[String], cache: Option<&str>) -> String {
    let mut words = vec!["docker".to_owned(), "build".to_owned()];
    words.extend(["--file".to_owned(), quoted(&image.dockerfile)]);
    if image.no_cache {
        words.push("--no-cache".to_owned());
    }
    if image.pull {
        words.push("--pull".to_owned());
    }
    if let Some(target) = &image.target {
        words.extend(["--target".to_owned(), quoted(target)]);
    }
    for (name, value) in &image.args {
        words.extend(["--build-arg".to_owned(), quoted(&format!("{name}={value}"))]);
    }
    if let Some(cache) = cache {
        words.extend(["--cache-from".to_owned(), quoted(cache)]);
    }
    if image.cache_tag.is_some() {
        words.extend(["--build-arg", "BUILDKIT_INLINE_CACHE=1"].map(str::to_owned));
    }
    for (name, value) in &image.labels {
        words.extend(["--label".to_owned(), quoted(&format!("{name}={value}"))]);
    }
    for reference in references {
        words.extend(["--tag".to_owned(), quoted(reference)]);
    }
    words.push(quoted(&image.context));
    words.join(" ")
}

/// `text` as one word of a POSIX shell. The client splits at line ends, so those are cut out.
fn quoted(text: &str) -> String {
    format!(
        "'{}'",
        text.replace(['\n', '\r'], " ").replace('\'', "'\\''")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_spec_leaves_its_word() {
        let mut image = ImageBuild {
            context: "a b".to_owned(),
            ..ImageBuild::default()
        };
        image
            .args
            .insert("X".to_owned(), "'; rm -rf /\n$(id)".to_owned());
        image.repository = "localhost:5000/acme/api".parse().ok();
        image.tags = vec!["v1".to_owned()];
        let login = Credentials {
            kind: "registry".to_owned(),
            url: "localhost:5000".to_owned(),
            username: "o'neil".to_owned(),
            password: "secret".to_owned(),
        };
        let text = build_and_push(&image, &[login]);
        assert!(!text.contains("secret"));
        let build = text
            .lines()
            .find(|line| line.starts_with("docker build"))
            .unwrap();
        assert_eq!(
            build,
            r"docker build --file 'Dockerfile' --build-arg 'X='\''; rm -rf / $(id)' --tag 'localhost:5000/acme/api:v1' 'a b'"
        );
        assert!(text.contains(r"--username 'o'\''neil'"));
        assert!(text.contains("docker push 'localhost:5000/acme/api:v1'"));
        assert!(!text.contains("cache"));
    }

    #[test]
    fn layers_are_taken_from_an_image_that_need_not_be_there() {
        let image = ImageBuild {
            repository: "localhost:5000/acme/api".parse().ok(),
            tags: vec!["main".to_owned()],
            cache_tag: Some("main".to_owned()),
            ..ImageBuild::default()
        };
        let text = build_and_push(&image, &[]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.contains(&"docker pull 'localhost:5000/acme/api:main' || true"));
        assert!(text.contains("--cache-from 'localhost:5000/acme/api:main'"));
        assert!(text.contains("--build-arg BUILDKIT_INLINE_CACHE=1"));
        let anew = ImageBuild {
            no_cache: true,
            ..image
        };
        assert!(!build_and_push(&anew, &[]).contains("docker pull"));
    }
}
