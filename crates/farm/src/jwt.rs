//! JSON Web Tokens of one kind: HS256, in the compact form, and nothing else.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 4096;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    kid: String,
}

/// A token as it was presented, of which nothing is known but its form.
pub(crate) struct Unverified<'a> {
    /// The id of the key that it says signed it.
    pub(crate) kid: String,
    signed: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
}

/// The claims in a token, signed.
pub(crate) fn sign(kid: &str, secret: &[u8], claims: &impl Serialize) -> String {
    let header = Header {
        typ: "JWT".to_owned(),
        alg: "HS256".to_owned(),
        kid: kid.to_owned(),
    };
    let signed = format!("{}.{}", part(&header), part(claims));
    let signature = mac(secret, &signed).finalize().into_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Takes a token apart; `None` when it is not such a token.
pub(crate) fn read(token: &str) -> Option<Unverified<'_>> {
    if token.len() > MAX_TOKEN {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let header: Header = read_part(header)?;
    let is_ours = header.typ == "JWT" && header.alg == "HS256";
    Some(Unverified {
        kid: is_ours.then_some(header.kid)?,
        signed,
        claims,
        signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
    })
}

impl Unverified<'_> {
    /// The claims, if the key with this secret signed them.
    pub(crate) fn claims<T: DeserializeOwned>(&self, secret: &[u8]) -> Option<T> {
        let mac = mac(secret, self.signed);
        mac.verify_slice(&self.signature).ok()?;
        read_part(self.claims)
    }
}

fn mac(secret: &[u8], text: &str) -> Hmac<Sha256> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
        unreachable!("HMAC takes a key of any length");
    };
    mac.update(text.as_bytes());
    mac
}

fn part(value: &impl Serialize) -> String {
    // Structs of strings and numbers always have a JSON form.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap_or_default())
}

fn read_part<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The example of RFC 7515, appendix A.1, with the order of our header.
    #[test]
    fn the_signature_is_that_of_the_standard() {
        let secret = URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .unwrap();
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = mac(&secret, signed).finalize().into_bytes();
        let expected = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(URL_SAFE_NO_PAD.encode(signature), expected);
    }

    #[test]
    fn only_the_very_token_is_read() {
        let token = sign("k1", b"secret", &json!({"exp": 1}));
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
        let header = |alg: &str| part(&json!({"typ": "JWT", "alg": alg, "kid": "k1"}));
        for alg in ["none", "HS512", "RS256", "hs256"] {
            let signed = format!("{}.{}", header(alg), part(&json!({})));
            let signature = mac(b"secret", &signed).finalize().into_bytes();
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
            assert_eq!(claims(&token, b"secret"), None, "{alg}");
        }
    }
}
