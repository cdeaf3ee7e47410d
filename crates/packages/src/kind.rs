//! What a package is: an archive of one of two kinds, or a Dockerfile alone.

use crate::error::PackageError;

/// How many of the first bytes of a package decide what it is, where its type does not.
pub(crate) const HEAD: usize = 512;
/// The largest bare Dockerfile, in bytes.
pub(crate) const MAX_DOCKERFILE: u64 = 1024 * 1024;

/// An archive that can be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    /// A tar archive, compressed with gzip.
    TarGz,
    /// A zip archive.
    Zip,
}

/// What a package is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An archive with the sources in it.
    Archive(Archive),
    /// The Dockerfile itself.
    Dockerfile,
}

impl Kind {
    /// Says what a package is by the `Content-Type` it came with and by its first bytes.
    ///
    /// The bytes count when there is no type, or the one that says nothing,
    /// `application/octet-stream`.
    ///
    /// # Errors
    /// `Unsupported` when it is anything else.
    pub fn of(content_type: Option<&str>, head: &[u8]) -> Result<Self, PackageError> {
        let content_type = content_type.unwrap_or_default();
        let plain = content_type.split(';').next().unwrap_or_default().trim();
        match plain.to_ascii_lowercase().as_str() {
            "application/zip" | "application/x-zip-compressed" => Ok(Self::Archive(Archive::Zip)),
            "application/gzip" | "application/x-gzip" | "application/x-tar" => {
                Ok(Self::Archive(Archive::TarGz))
            }
            "text/plain" => Ok(Self::Dockerfile),
            "" => match is_markup(head) {
                true => Err(unsupported("a page of HTML or XML")),
                false => Self::of_bytes(head),
            },
            "application/octet-stream" => Self::of_bytes(head),
            other => {
                let shown: String = other.chars().filter(|c| !c.is_control()).take(80).collect();
                Err(unsupported(&format!("of the type {shown}")))
            }
        }
    }

    fn of_bytes(head: &[u8]) -> Result<Self, PackageError> {
        match head {
            [0x1f, 0x8b, ..] => Ok(Self::Archive(Archive::TarGz)),
            // A file, an empty archive, or an archive that was meant to be split.
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] | [b'P', b'K', 7, 8, ..] => {
                Ok(Self::Archive(Archive::Zip))
            }
            _ if is_plain_tar(head) => Err(unsupported("a tar archive that is not compressed")),
            _ => Ok(Self::Dockerfile),
        }
    }
}

/// Whether a tar archive that is not compressed begins so.
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
    fn type_and_first_bytes_say_what_a_package_is() {
        let plain_tar = [vec![b'a'; 257], b"ustar\0".to_vec()].concat();
        let none: Option<&str> = None;
        for (content_type, head, expected) in [
            (Some("application/zip"), b"".as_slice(), ZIPPED),
            (Some("application/x-zip-compressed"), GZIP, ZIPPED),
            (Some("application/gzip"), b"", TAR),
            (Some("application/x-gzip; a=b"), b"", TAR),
            (Some("Application/X-Tar"), ZIP, TAR),
            // A type that says something is believed.
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
            let found = Kind::of(content_type, head).map_err(drop);
            assert_eq!(found, expected, "{content_type:?} {head:?}");
        }
    }

    #[test]
    fn the_type_in_a_message_is_short_and_clean() {
        let odd = format!("image/\u{7}{}", "x".repeat(500));
        let message = Kind::of(Some(&odd), b"").unwrap_err().to_string();
        assert!(message.len() < 250 && !message.contains('\u{7}'));
    }
}
