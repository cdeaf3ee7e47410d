//! Pointers to files in Git LFS.

/// The maximum size of a pointer, in bytes.
pub(super) const MAX_POINTER: u64 = 1024;

/// The content of a pointer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pointer {
    /// The SHA-256 of the file, in hex.
    pub(super) oid: String,
    /// The size of the file in bytes.
    pub(super) size: u64,
}

impl Pointer {
    /// Parses a pointer. `None` if the file is not a pointer.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut lines = text.lines();
        let version = lines.next()?.strip_prefix("version ")?;
        if !version.ends_with("/spec/v1") {
            return None;
        }
        let (mut oid, mut size) = (None, None);
        for line in lines {
            match line.split_once(' ')? {
                ("oid", value) => oid = value.strip_prefix("sha256:"),
                ("size", value) => size = value.parse().ok(),
                // Extensions do not change where the content is.
                _ => {}
            }
        }
        let oid = oid.filter(|oid| {
            oid.len() == 64
                && oid
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        })?;
        Some(Self {
            oid: oid.to_owned(),
            size: size?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pointers_are_parsed() {
        let oid = "a".repeat(64);
        let version = "version https://git-lfs.github.com/spec/v1\n";
        let text = format!("{version}ext-0-x sha256:1\noid sha256:{oid}\nsize 12\n");
        let pointer = Pointer {
            oid: oid.clone(),
            size: 12,
        };
        assert_eq!(Pointer::parse(text.as_bytes()), Some(pointer));
        for other in [
            String::new(),
            "text\n".to_owned(),
            version.to_owned(),
            format!("{version}oid sha256:{oid}\n"),
            format!("{version}oid sha256:{oid}\nsize -1\n"),
            format!("{version}oid sha256:../{}\nsize 1\n", "a".repeat(61)),
            format!("{version}oid sha1:{oid}\nsize 1\n"),
        ] {
            assert_eq!(Pointer::parse(other.as_bytes()), None, "{other}");
        }
    }
}
