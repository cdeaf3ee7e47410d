//! Detects what a package is: an archive, or a single Dockerfile.

use crate::error::PackageError;

/// The number of first bytes that are examined to detect the kind.
pub(crate) const HEAD: usize = 512;
/// The maximum size of a package that is a Dockerfile, in bytes.
pub(crate) const MAX_DOCKERFILE: u64 = 1024 * 1024;

/// A supported archive format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    /// A tar archive, compressed with gzip.
    TarGz,
    Zip,
}

/// The kind of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An archive with the sources.
    Archive(Archive),
    /// A Dockerfile without any other files.
    Dockerfile,
}

impl Kind {
    /// Detects the kind of a package from its `Content-Type` and its first bytes.
    ///
    /// The bytes only count if there is no type or if it is the generic `application/octet-stream`.
    ///
    /// # Errors
    /// `Unsupported` for anything else.
    pub fn detect(content_type: Option<&str>, head: &[u8]) -> Result<Self, PackageError> {
        let content_type = content_type.unwrap_or_default();
        let plain = content_type.split(';').next().unwrap_or_default().trim();
        match plain.to_ascii_lowercase().as_str() {
            "application/zip" | "application/x-zip-compressed" => Ok(Self::Archive(Archive::Zip)),
            "application/gzip" | "application/x-gzip" | "application/x-tar" => {
                Ok(Self::Archive(Archive::TarGz))
            }
            "text/plain" => Ok(Self::Dockerfile),
            // Without a type, an error page could be taken for a Dockerfile.
            "" if is_markup(head) => Err(unsupported("a page of HTML or XML")),
            "" => Self::of_bytes(head),
            "application/octet-stream" => Self::of_bytes(head),
            other => {
                // The type comes from the server and ends up in a message, so it is sanitized.
                let shown: String = other.chars().filter(|c| !c.is_control()).take(80).collect();
                Err(unsupported(&format!("of the type {shown}")))
            }
        }
    }

    fn of_bytes(head: &[u8]) -> Result<Self, PackageError> {
        match head {
            [0x1f, 0x8b, ..] => Ok(Self::Archive(Archive::TarGz)),
            // The signatures of a local file header, an empty archive and a split archive.
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] | [b'P', b'K', 7, 8, ..] => {
                Ok(Self::Archive(Archive::Zip))
            }
            _ if is_plain_tar(head) => Err(unsupported("an uncompressed tar archive")),
            _ => Ok(Self::Dockerfile),
        }
    }
}

/// Returns true if `head` is the start of an uncompressed tar archive.
pub(crate) fn is_plain_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

fn is_markup(head: &[u8]) -> bool {
    let text = head.trim_ascii_start();
    let begins = |with: &str| {
        text.get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
    };
    ["<!doctype", "<html", "<head", "<body", "<?xml", "<!--"]
        .into_iter()
        .any(begins)
}

fn unsupported(found: &str) -> PackageError {
    PackageError::Unsupported {
        found: found.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GZIP: &[u8] = &[0x1f, 0x8b, 8];
    const ZIP: &[u8] = b"PK\x03\x04";
    const TAR: Result<Kind, ()> = Ok(Kind::Archive(Archive::TarGz));
    const ZIPPED: Result<Kind, ()> = Ok(Kind::Archive(Archive::Zip));
    const TEXT: Result<Kind, ()> = Ok(Kind::Dockerfile);

    #[test]
    fn content_type_and_first_bytes_decide_the_kind() {
        let plain_tar = [vec![b'a'; 257], b"ustar\0".to_vec()].concat();
        let none: Option<&str> = None;
        for (content_type, head, expected) in [
            (Some("application/zip"), b"".as_slice(), ZIPPED),
            (Some("application/x-zip-compressed"), GZIP, ZIPPED),
            (Some("application/gzip"), b"", TAR),
            (Some("application/x-gzip; a=b"), b"", TAR),
            (Some("Application/X-Tar"), ZIP, TAR),
            // A specific type takes precedence over the bytes.
            (Some("text/plain; charset=utf-8"), GZIP, TEXT),
            (Some("application/octet-stream"), GZIP, TAR),
            (Some("application/octet-stream"), ZIP, ZIPPED),
            (Some("application/octet-stream"), b"FROM scratch", TEXT),
            (Some("application/octet-stream"), b"<html>", TEXT),
            (Some("application/octet-stream"), &plain_tar, Err(())),
            (Some("image/png"), GZIP, Err(())),
            (Some("text/html"), b"FROM scratch", Err(())),
            (Some("application/x-bzip2"), b"", Err(())),
            (none, GZIP, TAR),
            (none, ZIP, ZIPPED),
            (Some(""), ZIP, ZIPPED),
            (none, b"FROM scratch", TEXT),
            (none, b"", TEXT),
            (none, b" \n<!DocType html>", Err(())),
            (none, b"<?xml version", Err(())),
            (none, &plain_tar, Err(())),
        ] {
            let found = Kind::detect(content_type, head).map_err(drop);
            assert_eq!(found, expected, "{content_type:?} {head:?}");
        }
    }

    #[test]
    fn a_content_type_in_a_message_is_short_and_has_no_control_characters() {
        let odd = format!("image/\u{7}{}", "x".repeat(500));
        let message = Kind::detect(Some(&odd), b"").unwrap_err().to_string();
        assert!(message.len() < 250 && !message.contains('\u{7}'));
    }
}
