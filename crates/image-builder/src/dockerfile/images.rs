//! The images that a Dockerfile names: base images, and those that files are copied or mounted from.
//!
//! The engine decides what it pulls. This list is for the images that it might use without asking
//! their registry, so it rather contains a name too many than one too few.

use std::collections::{BTreeSet, HashMap};

use slipway_domain::ImageBuild;

use super::first_from::{escape_character, instructions, split_word, substitute, unquoted};

/// The name of the empty base image.
const SCRATCH: &str = "scratch";

/// The images that a Dockerfile names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedImages {
    /// The names with the values of their variables.
    pub(crate) known: BTreeSet<String>,
    /// Names, as they are written, that only the engine can resolve.
    pub(crate) unknown: BTreeSet<String>,
    /// Whether one of the unknown names may contain a digest.
    pub(crate) may_have_digest: bool,
}

/// Collects the images that a Dockerfile names.
pub(crate) fn named_images(dockerfile: &str, spec: &ImageBuild) -> NamedImages {
    let mut reader = Reader {
        spec,
        args: HashMap::new(),
        stages: BTreeSet::new(),
        is_before_first_from: true,
        args_have_digest: spec.args.values().any(|value| value.contains('@')),
        images: NamedImages::default(),
    };
    for instruction in instructions(dockerfile) {
        reader.read(&instruction);
    }
    // A heredoc may hide an instruction from one reader and show it to another, and so may the
    // character that continues a line. So each line counts as well.
    let escape = escape_character(dockerfile);
    for line in dockerfile.lines() {
        reader.read_images(line.trim().trim_end_matches(escape));
    }
    let may_hide = |name: &String| name.contains('@') || reader.args_have_digest;
    reader.images.may_have_digest = reader.images.unknown.iter().any(may_hide);
    reader.images
}

struct Reader<'a> {
    spec: &'a ImageBuild,
    args: HashMap<String, String>,
    /// In lower case.
    stages: BTreeSet<String>,
    is_before_first_from: bool,
    args_have_digest: bool,
    images: NamedImages,
}

impl Reader<'_> {
    fn read(&mut self, instruction: &str) {
        let (word, rest) = split_word(instruction);
        match word.to_ascii_uppercase().as_str() {
            "ARG" if self.is_before_first_from => self.read_args(rest),
            "FROM" => {
                self.is_before_first_from = false;
                self.read_images(instruction);
                let words: Vec<&str> = rest.split_whitespace().collect();
                if let [.., word, name] = words.as_slice()
                    && word.eq_ignore_ascii_case("as")
                {
                    self.stages.insert(name.to_ascii_lowercase());
                }
            }
            _ => self.read_images(instruction),
        }
    }

    fn read_args(&mut self, text: &str) {
        self.args_have_digest |= text.contains('@');
        for part in text.split_whitespace() {
            let (name, default) = match part.split_once('=') {
                Some((name, default)) => (name, Some(default)),
                None => (part, None),
            };
            let value = match (self.spec.args.get(name), default) {
                (Some(value), _) => Some(value.clone()),
                (None, Some(default)) => unquoted(default)
                    .map(str::to_owned)
                    .or_else(|| substitute(default, &self.args)),
                (None, None) => None,
            };
            // An older value of the same name no longer counts either.
            match value {
                Some(value) => self.args.insert(name.to_owned(), value),
                None => self.args.remove(name),
            };
        }
    }

    /// Notes the images that one instruction names.
    fn read_images(&mut self, instruction: &str) {
        let (word, rest) = split_word(instruction);
        let flags = rest.split_whitespace();
        match word.to_ascii_uppercase().as_str() {
            "ONBUILD" => self.read_images(rest),
            "FROM" => {
                let mut names = flags.skip_while(|word| word.starts_with("--"));
                if let Some(name) = names.next() {
                    self.note(name);
                }
            }
            "COPY" | "ADD" => {
                for flag in flags.take_while(|word| word.starts_with("--")) {
                    if let Some(name) = flag.strip_prefix("--from=") {
                        self.note(name);
                    }
                }
            }
            "RUN" => {
                for flag in flags.filter(|word| word.starts_with("--mount=")) {
                    for part in flag.trim_start_matches("--mount=").split(',') {
                        if let Some(name) = part.trim_matches('"').strip_prefix("from=") {
                            self.note(name);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, name: &str) {
        let is_stage = |name: &str| {
            name.is_empty()
                || name == SCRATCH
                || name.bytes().all(|byte| byte.is_ascii_digit())
                || self.stages.contains(&name.to_ascii_lowercase())
        };
        let name = unquoted(name).unwrap_or(name);
        match substitute(name, &self.args) {
            Some(known) if is_stage(&known) => {}
            Some(known) => {
                self.images.known.insert(known);
            }
            None => {
                self.images.unknown.insert(name.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(dockerfile: &str) -> Vec<String> {
        let images = named_images(dockerfile, &ImageBuild::default());
        assert!(images.unknown.is_empty(), "{images:?}");
        images.known.into_iter().collect()
    }

    #[test]
    fn every_image_is_found_and_no_stage() {
        let dockerfile = "ARG V=1 W=\"r.example/w\"\nARG X=${W}:2\nFROM a:$V AS build\n\
            FROM --platform=linux/arm64 \\\n  b@sha256:12\nFROM $X\nfrom BUILD\nFROM scratch\n\
            COPY --chown=1 --from=c:3 /x /\nCOPY --from=build /y /\nCOPY --from=0 /z /\n\
            RUN --network=none --mount=type=bind,from=d,target=/d \
            --mount=\"type=cache\",\"from=e\",id=x true\nONBUILD COPY --from=f / /\n";
        let found = known(dockerfile);
        assert_eq!(
            found,
            ["a:1", "b@sha256:12", "c:3", "d", "e", "f", "r.example/w:2"]
        );
    }

    #[test]
    fn an_instruction_cannot_be_hidden_in_a_heredoc_or_behind_a_line() {
        for hidden in [
            "FROM scratch\nRUN : <<CMD\nFROM r.example/a@sha256:12\nCMD\n",
            "FROM scratch\nRUN <<'X\\'\nX\\\nFROM r.example/a@sha256:12\n",
        ] {
            let found = known(hidden);
            assert!(
                found.contains(&"r.example/a@sha256:12".to_owned()),
                "{hidden}"
            );
        }
    }

    #[test]
    fn a_name_that_only_the_engine_resolves_is_told_with_whether_it_may_have_a_digest() {
        for (dockerfile, may_have_digest) in [
            ("FROM alpine:${TARGETARCH}", false),
            ("ARG A=alpine\nARG A=$B\nFROM $A", false),
            ("ARG A=xr.example/a@sha256:12\nFROM ${A#x}", true),
            ("ARG A=@sha256\nARG B=$C\nFROM r.example/a${B/x/}", true),
            ("FROM r.example/a@${DIGEST}", true),
        ] {
            let images = named_images(dockerfile, &ImageBuild::default());
            assert!(!images.unknown.is_empty(), "{dockerfile}: {images:?}");
            assert_eq!(images.may_have_digest, may_have_digest, "{dockerfile}");
        }
        let mut spec = ImageBuild::default();
        spec.args.insert("D".to_owned(), "sha256:12".to_owned());
        let images = named_images("ARG D\nFROM a@$D", &spec);
        assert!(images.known.contains("a@sha256:12"), "{images:?}");
    }
}
