//! Platforms of images, as named by the OCI image specification.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::Invalid;

/// The platform of an image: `linux/amd64`, `linux/arm64`, `linux/arm/v7`.
///
/// Common synonyms such as `linux/x86_64` are accepted and converted to this form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Platform {
    /// Linux on the given processor architecture; `None` if the name is malformed.
    pub fn linux(architecture: &str) -> Option<Self> {
        format!("linux/{architecture}").parse().ok()
    }

    pub fn os(&self) -> &str {
        &self.os
    }

    /// The processor architecture, with Go's name for it (`GOARCH`).
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The variant of the architecture, such as `v7`.
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// The platform as a suffix of names: `linux-arm-v7`.
    pub fn as_suffix(&self) -> String {
        self.to_string().replace('/', "-")
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || {
            Invalid::new(
                "platform",
                text,
                "OS/PROCESSOR or OS/PROCESSOR/VARIANT, such as linux/amd64 or linux/arm/v7",
            )
        };
        // Platforms become parts of job names and image tags, so the characters are limited.
        let is_word = |part: &str| {
            (1..=32).contains(&part.len())
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._".contains(&b))
        };
        let lower = text.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        let (os, processor, variant) = match parts.as_slice() {
            [os, processor] => (*os, *processor, None),
            [os, processor, variant] => (*os, *processor, Some(*variant)),
            _ => return Err(invalid()),
        };
        if ![os, processor].into_iter().chain(variant).all(is_word) {
            return Err(invalid());
        }
        // Kernel and Debian names become Go's, and default variants are dropped, so that equal
        // platforms compare equal.
        let (processor, variant) = match (processor, variant) {
            ("x86_64" | "x64", variant) => ("amd64", variant),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", None) => ("arm", Some("v7")),
            ("armel", None) => ("arm", Some("v6")),
            other => other,
        };
        let variant = match (processor, variant) {
            ("arm64", Some("v8" | "8")) | ("amd64", Some("v1")) => None,
            ("arm", None | Some("7")) => Some("v7"),
            ("arm", Some("6")) => Some("v6"),
            (_, variant) => variant,
        };
        Ok(Self {
            os: os.to_owned(),
            architecture: processor.to_owned(),
            variant: variant.map(str::to_owned),
        })
    }
}

impl TryFrom<String> for Platform {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> String {
        platform.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synonyms_of_a_platform_are_normalized() {
        for (text, normalized) in [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), normalized);
        }
        for bad in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "a/b/c/d",
            "linux/a b",
            "linux/-x",
        ] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
