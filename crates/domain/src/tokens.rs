//! The four kinds of token. Each is a type of its own with its own power; none can be printed.
//!
//! Tokens carry 160 random bits, so one round of SHA-256 is enough to keep them at rest.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

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
    fn a_hash_survives_storage_and_tells_tokens_apart() {
        let token = JobToken::presented("sljob-a");
        let stored = TokenHash::from_hex(&token.hash().to_hex());
        assert_eq!(stored, Some(token.hash()));
        assert_ne!(stored, Some(JobToken::presented("sljob-b").hash()));
        assert_eq!(TokenHash::from_hex("abc"), None);
    }
}
