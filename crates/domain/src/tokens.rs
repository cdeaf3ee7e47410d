//! The kinds of token. Each has its own type, and none of them prints its secret.
//!
//! Tokens carry at least 118 random bits, so a single round of SHA-256 protects them at rest. Some tokens are
//! derived from the farm's key and not stored at all: from an id that is itself random, or from an id and
//! a [`Nonce`].

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::ids::{ProjectId, TriggerId};
use crate::names::Invalid;

/// The number of random bytes in a token.
pub const TOKEN_ENTROPY_BYTES: usize = 20;

/// A random value of one row, from which the tokens of the row are derived.
///
/// The id of the row is not enough: when a database is restored from a backup, new rows get ids that
/// other rows had before, and must not get their tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(pub Uuid);

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl FromStr for Nonce {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let uuid = Uuid::try_parse(text);
        uuid.map(Self)
            .map_err(|_| Invalid::new("nonce", text, "a UUID"))
    }
}

/// The SHA-256 of a token, which the database stores in place of the token.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// The stored form: 64 lower-case hex digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Parses a stored hash. Returns `None` if it is not 64 hex digits.
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

macro_rules! prefixed_token {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        token!($(#[$doc])* $name, $prefix, "The prefix of the tokens of this kind.");

        impl $name {
            /// Creates a token from fresh random bytes.
            pub fn from_entropy(bytes: [u8; TOKEN_ENTROPY_BYTES]) -> Self {
                Self(format!("{}{}", Self::PREFIX, hex::encode(bytes)))
            }
        }
    };
}

macro_rules! token {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $about:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(String);

        impl $name {
            #[doc = $about]
            pub const PREFIX: &'static str = $prefix;

            /// Wraps a token that a caller presented or an operator chose. It may be invalid.
            pub fn presented(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The plain text, for the one response that returns the token.
            pub fn expose(&self) -> &str {
                &self.0
            }

            /// The hash that the database stores and looks up.
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

prefixed_token!(
    /// Allows its holder to register runners and nothing else.
    RegistrationToken, "slreg-"
);
token!(
    /// Belongs to a runner, which claims jobs and reports their states with it.
    ///
    /// Stock runners name directories, containers and caches after the first eight characters of it,
    /// after those that follow `glrt-` in versions that know this prefix. So they are random: two
    /// runners of one host must not share names.
    RunnerToken, "slrun-", "The prefix of the tokens that earlier versions created."
);
prefixed_token!(
    /// Belongs to a job. Its runner sends the job's trace and artifacts with it.
    JobToken, "sljob-"
);
prefixed_token!(
    /// Belongs to a user and gives access to the consumer APIs within its scopes.
    AccessToken, "slpat-"
);
prefixed_token!(
    /// Belongs to a trigger and creates builds of its project, nothing else.
    TriggerToken, "sltrg-"
);

prefixed_token!(
    /// Belongs to a build. Its runners fetch the submitted sources with it.
    SourceToken, "slsrc-"
);
prefixed_token!(
    /// Passes a login from the browser to the command line. It can be used once.
    LoginCode, "slcli-"
);

impl RunnerToken {
    /// The prefix of the token of a runner that was created here before its host knew of it.
    ///
    /// Stock runners recognize such a token by this prefix and skip the registration.
    pub const PRECREATED_PREFIX: &'static str = "glrt-";

    /// Creates the token of a runner that registers itself. It has no prefix.
    pub fn from_entropy(bytes: [u8; TOKEN_ENTROPY_BYTES]) -> Self {
        Self(hex::encode(bytes))
    }

    /// Creates the token of a runner that is created here rather than by a registration.
    ///
    /// Versions 15.7 to 15.11 count the prefix to the eight characters. The three that remain of
    /// these hold more as letters and digits than they would as hex digits.
    pub fn precreated(bytes: [u8; TOKEN_ENTROPY_BYTES]) -> Self {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let digits = bytes
            .iter()
            .filter_map(|byte| DIGITS.get(usize::from(*byte) % DIGITS.len()));
        let digits: String = digits.map(|digit| char::from(*digit)).collect();
        Self(format!("{}{digits}", Self::PRECREATED_PREFIX))
    }

    /// Creates a token of the same kind that replaces this one.
    pub fn successor(&self, bytes: [u8; TOKEN_ENTROPY_BYTES]) -> Self {
        if self.0.starts_with(Self::PRECREATED_PREFIX) {
            Self::precreated(bytes)
        } else {
            Self::from_entropy(bytes)
        }
    }
}

impl RegistrationToken {
    /// The registration token of one project, derived from the farm's key.
    pub fn of_project(project: ProjectId, derived: [u8; TOKEN_ENTROPY_BYTES]) -> Self {
        Self(format!(
            "{}{project}-{}",
            Self::PREFIX,
            hex::encode(derived)
        ))
    }

    /// The project named in the token. It is a claim only: verify it with the farm's key.
    pub fn project(&self) -> Option<ProjectId> {
        embedded_id(&self.0, Self::PREFIX)?.parse().ok()
    }
}

impl TriggerToken {
    /// The token of a trigger, derived from the farm's key.
    pub fn of_trigger(trigger: TriggerId, derived: [u8; TOKEN_ENTROPY_BYTES]) -> Self {
        Self(format!(
            "{}{trigger}-{}",
            Self::PREFIX,
            hex::encode(derived)
        ))
    }

    /// The trigger named in the token. It is a claim only: verify it with the farm's key.
    pub fn trigger(&self) -> Option<TriggerId> {
        embedded_id(&self.0, Self::PREFIX)?.parse().ok()
    }
}

/// The id in a derived token, which has the form `PREFIX` `ID` `-` `SECRET`.
fn embedded_id<'a>(token: &'a str, prefix: &str) -> Option<&'a str> {
    let (id, _) = token.strip_prefix(prefix)?.split_once('-')?;
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_the_token() {
        let token = AccessToken::from_entropy([7; TOKEN_ENTROPY_BYTES]);
        assert!(token.expose().starts_with("slpat-0707"));
        assert_eq!(
            format!("{token:?} {:?}", token.hash()),
            "AccessToken(..) TokenHash(..)"
        );
    }

    #[test]
    fn a_replaced_runner_token_keeps_its_prefix() {
        let first = RunnerToken::precreated([1; TOKEN_ENTROPY_BYTES]);
        let next = first.successor([2; TOKEN_ENTROPY_BYTES]);
        assert_eq!(next.expose(), "glrt-22222222222222222222");
        let other = RunnerToken::from_entropy([1; TOKEN_ENTROPY_BYTES]);
        let next = other.successor([2; TOKEN_ENTROPY_BYTES]);
        assert_eq!(next.expose(), "02".repeat(20));
    }

    #[test]
    fn the_characters_that_stock_runners_take_names_from_are_random() {
        for byte in 0..=u8::MAX {
            let mut bytes = [0; TOKEN_ENTROPY_BYTES];
            bytes[0] = byte;
            let registered = RunnerToken::from_entropy(bytes);
            assert!(registered.expose().starts_with(&format!("{byte:02x}0000")));
            let created = RunnerToken::precreated(bytes);
            let rest = created.expose().strip_prefix("glrt-").unwrap();
            assert!(rest.len() == 20 && rest.bytes().all(|b| b.is_ascii_alphanumeric()));
            assert_eq!(rest.starts_with("000"), byte % 62 == 0);
        }
        // Tokens of earlier versions stay valid: they are only compared.
        let old = RunnerToken::presented("slrun-0a");
        let next = old.successor([1; TOKEN_ENTROPY_BYTES]);
        assert_eq!(next.expose(), "01".repeat(20));
    }

    #[test]
    fn a_derived_token_contains_the_id_it_belongs_to() {
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
    fn a_token_hash_round_trips_and_distinguishes_tokens() {
        let token = JobToken::presented("sljob-a");
        let stored = TokenHash::from_hex(&token.hash().to_hex());
        assert_eq!(stored, Some(token.hash()));
        assert_ne!(stored, Some(JobToken::presented("sljob-b").hash()));
        assert_eq!(TokenHash::from_hex("abc"), None);
    }
}
