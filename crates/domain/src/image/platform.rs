//! Platforms that images are built for, as the OCI image specification names them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::Invalid;

/// What an image runs on: `linux/amd64`, `linux/arm64`, `linux/arm/v7`.
///
/// Other common words for the same are understood and told in this form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Platform {
    /// Linux on such a processor, in Go's words for it; `None` when it cannot be one.
    pub fn linux(architecture: &str) -> Option<Self> {
        format!("linux/{architecture}").parse().ok()
    }

    /// The operating system.
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The processor, in Go's words.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Which of several kinds of that processor.
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// The same as a part of a name: `linux-arm-v7`.
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
        // The names of the kernel and of Debian, and variants that go without saying.
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
    fn a_platform_has_one_form() {
        for (given, told) in [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            assert_eq!(given.parse::<Platform>().unwrap().to_string(), told);
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
