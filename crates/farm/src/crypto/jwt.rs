//! JSON Web Tokens with HS256 in the compact form, and nothing else.
//!
//! The `jsonwebtoken` crate parses and checks them. Its cryptography is replaced by the HMAC that
//! the farm uses anyway, so that no other algorithm is compiled in.

use std::sync::Once;

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

/// The longest token that is parsed, in bytes.
const MAX_TOKEN: usize = 4096;

/// The only algorithm, in the form that the crate asks for.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256::new(key.as_bytes())?)),
        _ => Err(Error::from(ErrorKind::InvalidAlgorithm)),
    },
    verifier_factory: |algorithm, key| match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256::new(key.try_get_as_bytes()?)?)),
        _ => Err(Error::from(ErrorKind::InvalidAlgorithm)),
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// HMAC with SHA-256 under one key.
struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(secret: &[u8]) -> Result<Self, Error> {
        let mac = Hmac::new_from_slice(secret);
        Ok(Self(mac.map_err(|_| ErrorKind::InvalidKeyFormat)?))
    }

    fn of(&self, message: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(message)
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.of(message).finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], given: &Vec<u8>) -> Result<(), signature::Error> {
        let checked = self.of(message).verify_slice(given);
        checked.map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

/// Installs the cryptography provider once.
fn install_provider() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // An error means that a provider is installed, and only this function installs one.
        let _ = PROVIDER.install_default();
    });
}

/// A token with a valid form and an unchecked signature.
pub(crate) struct Unverified<'a> {
    /// The id of the key that the token claims to be signed with.
    pub(crate) kid: String,
    token: &'a str,
}

/// Signs claims into a token.
///
/// # Errors
/// When the claims cannot be serialized.
pub(crate) fn sign(kid: &str, secret: &[u8], claims: &impl Serialize) -> Result<String, Error> {
    install_provider();
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(kid.to_owned());
    encode(&header, claims, &EncodingKey::from_secret(secret))
}

/// Parses a token; `None` when it is not an HS256 token with a key id.
pub(crate) fn read(token: &str) -> Option<Unverified<'_>> {
    if token.len() > MAX_TOKEN {
        return None;
    }
    let header = decode_header(token).ok()?;
    let is_ours = header.typ.as_deref() == Some("JWT") && header.alg == Algorithm::HS256;
    let kid = header.kid.filter(|_| is_ours)?;
    Some(Unverified { kid, token })
}

impl Unverified<'_> {
    /// The claims, if they are signed with this secret. The caller checks expiry and audience.
    pub(crate) fn claims<T: DeserializeOwned + Clone>(&self, secret: &[u8]) -> Option<T> {
        install_provider();
        // Expiry is checked by the caller, because the crate would use the system clock.
        let mut form = Validation::new(Algorithm::HS256);
        form.validate_exp = false;
        form.validate_aud = false;
        form.required_spec_claims.clear();
        let key = DecodingKey::from_secret(secret);
        Some(decode(self.token, &key, &form).ok()?.claims)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;

    /// The example of RFC 7515, appendix A.1.
    #[test]
    fn the_signature_matches_the_example_of_the_standard() {
        let secret = URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .unwrap();
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = Hs256::new(&secret).unwrap().sign(signed.as_bytes());
        let expected = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(URL_SAFE_NO_PAD.encode(signature), expected);
    }

    #[test]
    fn a_changed_token_is_refused() {
        let token = sign("k1", b"secret", &json!({"exp": 1})).unwrap();
        let claims = |token: &str, secret: &[u8]| -> Option<Value> { read(token)?.claims(secret) };
        assert_eq!(read(&token).unwrap().kid, "k1");
        assert_eq!(claims(&token, b"secret"), Some(json!({"exp": 1})));
        assert_eq!(claims(&token, b"other"), None);
        for at in 0..token.len() {
            for other in ["A", "B", "g", ".", "="] {
                let mut changed = token.clone();
                changed.replace_range(at..=at, other);
                assert!(
                    changed == token || claims(&changed, b"secret").is_none(),
                    "{changed}"
                );
            }
        }
        for added in ["=", ".", "A", " "] {
            assert_eq!(claims(&format!("{token}{added}"), b"secret"), None);
        }
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        for alg in ["none", "HS512", "RS256", "hs256"] {
            let header = part(json!({"typ": "JWT", "alg": alg, "kid": "k1"}));
            let signed = format!("{header}.{}", part(json!({})));
            let signature = Hs256::new(b"secret").unwrap().sign(signed.as_bytes());
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
            assert_eq!(claims(&token, b"secret"), None, "{alg}");
        }
    }
}
