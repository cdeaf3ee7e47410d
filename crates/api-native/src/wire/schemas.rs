//! The forms of texts and the words of enums, for the OpenAPI document.
//!
//! Fields name these types as `value_type`. The rules themselves are where the values are parsed: the
//! patterns and words come from there.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use slipway_domain::image::{IMAGE_PATH_PATTERN, Repository};
use slipway_domain::names::{LINE_PATTERN, MAX_LINE};
use slipway_domain::spec::VARIABLE_NAME_PATTERN;
use slipway_domain::{self as domain, TagSet};
use slipway_farm::limits;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::page::CURSOR_PATTERN;

macro_rules! schemas {
    ($table:ident: $($(#[$doc:meta])* $name:ident = $schema:expr;)*) => {
        $(
            $(#[$doc])*
            pub(crate) enum $name {}

            impl PartialSchema for $name {
                // Replaced by the entry in the table.
                fn schema() -> RefOr<Schema> {
                    ObjectBuilder::new().into()
                }
            }

            impl ToSchema for $name {
                fn name() -> Cow<'static, str> {
                    stringify!($name).into()
                }
            }
        )*

        /// The schemas by name.
        pub(crate) fn $table() -> Map<String, Value> {
            [$((stringify!($name).to_owned(), $schema),)*].into_iter().collect()
        }
    };
}

schemas!(texts:
    /// The name of a namespace, a project, a user or a robot.
    NameText = text(domain::Name::PATTERN, 1, domain::Name::MAX_LENGTH);
    /// The name of a new namespace or project.
    NewNameText = text(IMAGE_PATH_PATTERN, 1, domain::Name::MAX_LENGTH);
    /// The slug of a pipeline.
    SlugText = text(domain::Slug::PATTERN, 1, domain::Slug::MAX_LENGTH);
    /// A branch or a tag, by its short or full name.
    RefText = text(domain::GitRef::PATTERN, 1, domain::GitRef::MAX_BYTES + "refs/heads/".len());
    /// A full commit sha.
    ShaText = text(domain::CommitSha::PATTERN, 40, 64);
    /// An image repository.
    RepositoryText = text(Repository::PATTERN, 1, Repository::MAX_LENGTH);
    /// The host of a registry.
    RegistryText = text(Repository::REGISTRY_PATTERN, 1, Repository::MAX_LENGTH);
    /// One line of free text.
    LineText = text(LINE_PATTERN, 0, MAX_LINE);
    /// One line of free text that is not blank.
    TitleText = text(TITLE_PATTERN, 1, MAX_LINE);
    /// The name of a token.
    TokenNameText = text(TITLE_PATTERN, 1, limits::TOKEN_NAME_BYTES);
    /// A description of several lines.
    DescriptionText = text(NO_NUL_PATTERN, 0, limits::DESCRIPTION_BYTES);
    /// The tag of a runner.
    TagText = text(TagSet::TAG_PATTERN, 0, TagSet::MAX_TAG_BYTES);
    /// The name of a variable.
    VariableText = text(VARIABLE_NAME_PATTERN, 1, 255);
    /// The value of a variable, or a password for another service.
    ValueText = text(NO_NUL_PATTERN, 0, limits::SECRET_BYTES);
    /// A user name at another service.
    LoginText = text(r"^[^:\u0000-\u001f\u007f-\u009f]+$", 1, 255);
    /// A password of a user.
    PasswordText = json!({
        "type": "string",
        "minLength": limits::PASSWORD_CHARACTERS,
        "maxLength": limits::PASSWORD_BYTES,
    });
    /// The secret of a webhook.
    HookSecretText = text("^[!-~]+$", *limits::HOOK_SECRET_BYTES.start(), *limits::HOOK_SECRET_BYTES.end());
    /// The URL of a repository.
    RepoUrlText = text(limits::REPO_URL_PATTERN, 1, limits::REPO_URL_BYTES);
    /// The end of a page.
    CursorText = text(CURSOR_PATTERN, 2, 16);
    /// A SHA-256 in hex.
    DigestText = text("^[0-9a-f]{64}$", 64, 64);
    /// Any bytes.
    Bytes = json!({"type": "string", "format": "binary"});
    /// A limit that is at least one.
    AtLeastOne = json!({"type": "integer", "format": "int64", "minimum": 1, "maximum": u32::MAX});
);

schemas!(words:
    /// The state of a build.
    BuildState = words_of(domain::BuildState::ALL);
    /// The state of a job.
    JobState = words_of(domain::StateName::ALL);
    /// The phase of a running job.
    JobPhase = words_of(domain::Phase::ALL);
    /// Why a job failed.
    FailureReason = words_of(domain::FailureReason::ALL);
    /// The role of a member.
    Role = words_of(domain::Role::ALL);
    /// The scope of a token.
    Scope = words_of(domain::Scope::ALL);
    /// Who sees a project.
    Visibility = words_of(domain::Visibility::ALL);
    /// Which submodules are checked out.
    Submodules = words_of(domain::Submodules::ALL);
);

const NO_NUL_PATTERN: &str = r"^[^\u0000]*$";
const TITLE_PATTERN: &str = r"^(?=.*\S)[^\u0000-\u001f\u007f-\u009f]+$";

/// A text of `min` to `max` characters. Limits in bytes are written in characters: JSON Schema has no
/// others.
fn text(pattern: &str, min: usize, max: usize) -> Value {
    let mut schema = json!({"type": "string", "pattern": pattern, "maxLength": max});
    if min > 0 {
        schema["minLength"] = min.into();
    }
    schema
}

fn words_of<T: ToString>(all: &[T]) -> Value {
    let words: Vec<String> = all.iter().map(ToString::to_string).collect();
    json!({"type": "string", "enum": words})
}
