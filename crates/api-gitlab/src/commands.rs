//! A job's spec as shell lines, for a stock runner with the `docker` command on its host.
//!
//! The runner shows each line, and runs all of them in one shell that ends with the first line that
//! fails. Every value is quoted; passwords come in through variables, so that no line shows one.
//! What the lines leave on the host goes with the shell.

use slipway_domain::image_mark::ImageMark;
use slipway_domain::{ImageBuild, JobId};
use slipway_protocol::Credentials;

/// The variable that holds the password of the login at `position`.
pub(crate) fn password_variable(position: usize) -> String {
    format!("SLIPWAY_REGISTRY_PASSWORD_{position}")
}

/// The lines that build and push an image, and tell of it by `mark`.
pub(crate) fn build_and_push(
    job: JobId,
    image: &ImageBuild,
    logins: &[Credentials],
    mark: &ImageMark,
) -> String {
    let references: Vec<String> = image
        .repository
        .iter()
        .flat_map(|repository| image.tags.iter().map(|tag| repository.tagged(tag)))
        .collect();
    let mut lines = vec![
        "slipway_dir=\"$(mktemp -d)\"".to_owned(),
        // A name of its own: builds side by side have tags in common, and an id may be theirs too.
        format!("slipway_image=\"slipway-job:{job}-${{slipway_dir##*.}}\""),
        cleaning_line(&references),
    ];
    if !logins.is_empty() {
        // Logins go to a place of their own, which the host's users never see.
        lines.push("export DOCKER_CONFIG=\"$slipway_dir\"".to_owned());
    }
    for (position, login) in logins.iter().enumerate() {
        lines.push(format!(
            "printf '%s' \"${}\" | docker login --username {} --password-stdin {}",
            password_variable(position),
            quoted(&login.username),
            quoted(&login.url)
        ));
    }
    lines.push(build_line(image));
    for reference in &references {
        lines.push(format!(
            "docker tag \"$slipway_image\" {}",
            quoted(reference)
        ));
        lines.push(format!(
            "slipway_pushed=\"$(docker push {})\"",
            quoted(reference)
        ));
        lines.push("printf '%s\\n' \"$slipway_pushed\"".to_owned());
    }
    if !references.is_empty() {
        lines.push(DIGEST_LINE.to_owned());
        lines.push(
            "slipway_size=\"$(docker image inspect --format '{{.Size}}' \"$slipway_image\")\""
                .to_owned(),
        );
        let told = mark.line("$slipway_digest", "$slipway_size");
        lines.push("test -n \"$slipway_digest\"".to_owned());
        lines.push(format!("echo \"{told}\""));
    }
    lines.join("\n")
}

/// Takes the digest from the engine's last word on a push: `TAG: digest: sha256:… size: N`.
const DIGEST_LINE: &str = r#"slipway_digest="$(printf '%s\n' "$slipway_pushed" | sed -n 's/^.*: digest: \(sha256:[0-9a-f]*\) size: .*$/\1/p')""#;

/// Makes the shell remove what it made when it ends, however that is: a shell that ends with the
/// first failure does so in a trap as well. References have no character that means anything to it.
fn cleaning_line(references: &[String]) -> String {
    format!(
        "trap 'docker image rm \"$slipway_image\" {} >/dev/null 2>&1 || :; rm -rf \"$slipway_dir\"' EXIT",
        references.join(" ")
    )
}

fn build_line(image: &ImageBuild) -> String {
    let mut words = vec!["docker".to_owned(), "build".to_owned()];
    words.extend(["--file".to_owned(), quoted(&here(&image.dockerfile))]);
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
    for (name, value) in &image.labels {
        words.extend(["--label".to_owned(), quoted(&format!("{name}={value}"))]);
    }
    if let (Some(repository), Some(tag)) = (&image.repository, &image.cache_tag) {
        // Pulled first, it would take a local tag that builds side by side have in common. BuildKit
        // finds it in the registry, and goes on without when there is none.
        for tag in [tag].into_iter().chain(&image.fallback_cache_tag) {
            words.extend(["--cache-from".to_owned(), quoted(&repository.tagged(tag))]);
        }
        words.extend(["--build-arg", "BUILDKIT_INLINE_CACHE=1"].map(str::to_owned));
    }
    words.extend(["--tag".to_owned(), "\"$slipway_image\"".to_owned()]);
    words.push(quoted(&here(&image.context)));
    words.join(" ")
}

/// A path in the checkout so that the command cannot take it for an address to fetch from.
fn here(path: &str) -> String {
    format!("./{path}")
}

/// `text` as one word of a POSIX shell, on one line: the runner splits the commands at line ends.
fn quoted(text: &str) -> String {
    let word = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    if !text.contains(['\n', '\r']) {
        return word(text);
    }
    let escaped = text
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\r', "\\r");
    // The shell takes line ends at the very end away.
    format!("\"$(printf '%b' {})\"", word(&escaped))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Stands in for the command: it shows its arguments, and answers as the engine does.
    const DOCKER: &str = r#"
docker() {
    { printf 'docker'; printf ' <%s>' "$@"; printf '\n'; } >&2
    case "$1 $2" in
        push*) printf 'The push refers to x\nv1: digest: sha256:0a1b size: 527\n' ;;
        'image inspect') echo 1234 ;;
        login*) printf 'password: <%s>\n' "$(cat)" >&2 ;;
    esac
}
"#;

    fn image() -> ImageBuild {
        ImageBuild {
            context: "a b".to_owned(),
            repository: "localhost:5000/acme/api".parse().ok(),
            tags: vec!["v1".to_owned(), "main".to_owned()],
            ..ImageBuild::default()
        }
    }

    fn login() -> Credentials {
        Credentials {
            kind: "registry".to_owned(),
            url: "localhost:5000".to_owned(),
            username: "o'neil".to_owned(),
            password: "secret".to_owned(),
        }
    }

    /// What the lines do in a shell, line by line; the arguments of `docker` and the output.
    fn run(shell: &str, commands: &str) -> (String, String) {
        let script = format!("set -e\n{DOCKER}\n{commands}\n");
        let output = Command::new(shell)
            .args(["-c", &script])
            .env(password_variable(0), "secret")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, called) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{said}\n{called}");
        (said, called)
    }

    #[test]
    fn nothing_in_a_spec_leaves_its_word() {
        let mut image = image();
        let hostile = "'; rm -rf /\n$(id) \\n %s\r\n\tx";
        image.args.insert("X".to_owned(), hostile.to_owned());
        image.target = Some("it's".to_owned());
        let mark = ImageMark::from_entropy(&[7; 20]);
        let text = build_and_push(JobId(42), &image, &[login()], &mark);
        assert!(!text.contains("secret"));
        for shell in ["sh", "bash"] {
            let (_, called) = run(shell, &text);
            let called = called.split(" <slipway-job:42-").next().unwrap();
            assert_eq!(
                called,
                format!(
                    "docker <login> <--username> <o'neil> <--password-stdin> <localhost:5000>\n\
                     password: <secret>\n\
                     docker <build> <--file> <./Dockerfile> <--target> <it's> \
                     <--build-arg> <X={hostile}> <--tag>"
                )
            );
        }
    }

    #[test]
    fn every_tag_is_pushed_and_the_last_line_tells_of_the_image() {
        let mark = ImageMark::from_entropy(&[7; 20]);
        let text = build_and_push(JobId(42), &image(), &[], &mark);
        assert!(!text.contains("DOCKER_CONFIG"));
        let (said, called) = run("sh", &text);
        let last = said.lines().last().unwrap();
        assert_eq!(last, mark.line("sha256:0a1b", "1234"));
        for tag in ["v1", "main"] {
            let pushed = format!("docker <push> <localhost:5000/acme/api:{tag}>");
            assert!(called.contains(&pushed), "{called}");
        }
    }

    #[test]
    fn layers_are_taken_from_the_image_of_the_branch() {
        let image = ImageBuild {
            cache_tag: Some("side".to_owned()),
            fallback_cache_tag: Some("main".to_owned()),
            ..image()
        };
        let mark = ImageMark::from_entropy(&[7; 20]);
        let text = build_and_push(JobId(42), &image, &[], &mark);
        let (_, called) = run("sh", &text);
        let words = "<--cache-from> <localhost:5000/acme/api:side> \
                     <--cache-from> <localhost:5000/acme/api:main> <--build-arg> <BUILDKIT_INLINE_CACHE=1>";
        assert!(called.contains(words), "{called}");
    }

    #[test]
    fn an_image_that_goes_nowhere_is_built_and_thrown_away() {
        let mark = ImageMark::from_entropy(&[7; 20]);
        let text = build_and_push(JobId(42), &ImageBuild::default(), &[], &mark);
        let (said, called) = run("sh", &text);
        assert_eq!(said, "");
        assert!(called.starts_with("docker <build> "), "{called}");
        assert!(!called.contains("push"), "{called}");
    }
}
