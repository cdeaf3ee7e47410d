//! The kinds of token. Each is a type of its own with its own power; none can be printed.
//!
//! Tokens carry 160 random bits, so one round of SHA-256 is enough to keep them at rest. Some
//! follow from the farm's key instead and are not kept at all; those name what they belong to.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::ids::{ProjectId, TriggerId};

/// How many random bytes a token is made of.
pub const TOKEN_ENTROPY_BYTES: usize = 20;

/// What the database keeps of a token: its SHA-256.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// The hash as 64 lower-case hex digits, as it is stored and looked up.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Reads a stored hash; `None` when it is not 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

macro_rules! token {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(String);

        impl $name {
            /// What every token of this kind that the farm made begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes a token from fresh random bytes.
            pub fn from_entropy(bytes: [u8; TOKEN_ENTROPY_BYTES]) -> Self {
                Self(format!("{}{}", Self::PREFIX, hex::encode(bytes)))
            }

            /// Takes a token as a caller presented it, or as an operator chose it.
            pub fn presented(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The plain text, for the one answer that hands the token out.
            pub fn expose(&self) -> &str {
                &self.0
            }

            /// What the database keeps and looks up.
            pub fn hash(&self) -> TokenHash {
                TokenHash::of(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

token!(
    /// Lets its holder register runners, and nothing else.
    RegistrationToken, "slreg-"
);
token!(
    /// A runner's own: lets it claim jobs and report their states.
    RunnerToken, "slrun-"
);
token!(
    /// One job's: lets its runner send that job's trace and artifacts.
    JobToken, "sljob-"
);
token!(
    /// A user's: opens the consumer APIs within its scopes.
    AccessToken, "slpat-"
);
token!(
    /// A trigger's: starts builds of its project, and nothing else.
    TriggerToken, "sltrg-"
);

token!(
    /// One build's: lets its runners fetch the sources that were handed in with it.
    SourceToken, "slsrc-"
);
token!(
    /// Takes a login from a browser to a command line, once.
    LoginCode, "slcli-"
);

impl RunnerToken {
    /// What the token of a runner begins with that was made here first, and not by registering: by
    /// that alone stock runners know what to do with it.
    pub const PRECREATED_PREFIX: &'static str = "glrt-";

    /// Makes a token for a runner that is made here first.
    pub fn precreated(bytes: [u8; TOKEN_ENTROPY_BYTES]) -> Self {
        Self(format!("{}{}", Self::PRECREATED_PREFIX, hex::encode(bytes)))
    }

    /// The token that comes after this one, of the same kind.
    pub fn successor(&self, bytes: [u8; TOKEN_ENTROPY_BYTES]) -> Self {
        match self.0.starts_with(Self::PRECREATED_PREFIX) {
            true => Self::precreated(bytes),
            false => Self::from_entropy(bytes),
        }
    }
}

impl RegistrationToken {
    /// The token that follows from the farm's key for the runners of one project.
    pub fn of_project(project: ProjectId, derived: [u8; TOKEN_ENTROPY_BYTES]) -> Self {
        Self(format!(
            "{}{project}-{}",
            Self::PREFIX,
            hex::encode(derived)
        ))
    }

    /// The project that the token says it is of, which only the farm's key can prove.
    pub fn project(&self) -> Option<ProjectId> {
        named(&self.0, Self::PREFIX)?.parse().ok()
    }
}

impl TriggerToken {
    /// The token that follows from the farm's key for a trigger.
    pub fn of_trigger(trigger: TriggerId, derived: [u8; TOKEN_ENTROPY_BYTES]) -> Self {
        Self(format!(
            "{}{trigger}-{}",
            Self::PREFIX,
            hex::encode(derived)
        ))
    }

    /// The trigger that the token says it is of, which only the farm's key can prove.
    pub fn trigger(&self) -> Option<TriggerId> {
        named(&self.0, Self::PREFIX)?.parse().ok()
    }
}

/// The id in a token of the form `PREFIX ID - SECRET`.
fn named<'a>(token: &'a str, prefix: &str) -> Option<&'a str> {
    let (id, _) = token.strip_prefix(prefix)?.split_once('-')?;
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_shows_itself() {
        let token = AccessToken::from_entropy([7; TOKEN_ENTROPY_BYTES]);
        assert!(token.expose().starts_with("slpat-0707"));
        assert_eq!(
            format!("{token:?} {:?}", token.hash()),
            "AccessToken(..) TokenHash(..)"
        );
    }

    #[test]
    fn a_runners_next_token_is_of_the_same_kind() {
        let first = RunnerToken::precreated([1; TOKEN_ENTROPY_BYTES]);
        let next = first.successor([2; TOKEN_ENTROPY_BYTES]);
        assert!(next.expose().starts_with("glrt-0202"));
        let other = RunnerToken::from_entropy([1; TOKEN_ENTROPY_BYTES]);
        let next = other.successor([2; TOKEN_ENTROPY_BYTES]);
        assert!(next.expose().starts_with("slrun-0202"));
    }

    #[test]
    fn a_derived_token_names_what_it_belongs_to() {
        let token = RegistrationToken::of_project(ProjectId(7), [1; TOKEN_ENTROPY_BYTES]);
        assert_eq!(token.project(), Some(ProjectId(7)));
        let token = TriggerToken::of_trigger(TriggerId(8), [1; TOKEN_ENTROPY_BYTES]);
        assert_eq!(token.trigger(), Some(TriggerId(8)));
        let random = RegistrationToken::from_entropy([1; TOKEN_ENTROPY_BYTES]);
        assert_eq!(random.project(), None);
        for text in ["", "slreg-", "slreg--", "slreg-x-00", "sltrg-7-00"] {
            assert_eq!(RegistrationToken::presented(text).project(), None, "{text}");
        }
    }

    #[test]
    fn a_hash_survives_storage_and_tells_tokens_apart() {
        let token = JobToken::presented("sljob-a");
        let stored = TokenHash::from_hex(&token.hash().to_hex());
        assert_eq!(stored, Some(token.hash()));
        assert_ne!(stored, Some(JobToken::presented("sljob-b").hash()));
        assert_eq!(TokenHash::from_hex("abc"), None);
    }
}
