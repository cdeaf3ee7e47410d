//! Builders of archives that can produce invalid archives as well.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A builder of a tar archive.
#[derive(Clone, Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    /// Adds a header, and the bytes that follow it, padded to a block.
    pub(crate) fn raw(mut self, header: &tar::Header, data: &[u8]) -> Self {
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Adds an entry of any type. `change` can modify its header before the checksum is computed.
    pub(crate) fn entry(
        self,
        kind: u8,
        name: &[u8],
        link: &[u8],
        data: &[u8],
        change: impl Fn(&mut tar::Header),
    ) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        header.set_size(data.len() as u64);
        let fields = header.as_old_mut();
        fields.name[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
        fields.linkname[..link.len().min(100)].copy_from_slice(&link[..link.len().min(100)]);
        change(&mut header);
        header.set_cksum();
        self.raw(&header, data)
    }

    pub(crate) fn file(self, name: &str, data: &[u8]) -> Self {
        self.entry(b'0', name.as_bytes(), b"", data, |_| {})
    }

    pub(crate) fn file_with_mode(self, name: &str, mode: u32) -> Self {
        self.entry(b'0', name.as_bytes(), b"", b"x", |header| {
            header.set_mode(mode)
        })
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.entry(b'5', name.as_bytes(), b"", b"", |_| {})
    }

    pub(crate) fn symlink(self, name: &str, to: &str) -> Self {
        self.entry(b'2', name.as_bytes(), to.as_bytes(), b"", |_| {})
    }

    pub(crate) fn hard_link(self, name: &str, to: &str) -> Self {
        self.entry(b'1', name.as_bytes(), to.as_bytes(), b"", |_| {})
    }

    /// Adds a PAX header with these records, for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &str)]) -> Self {
        self.entry(b'x', b"pax", b"", &pax_records(records), |_| {})
    }

    /// Adds a GNU long name, for the next entry.
    pub(crate) fn long_name(self, name: &[u8]) -> Self {
        self.entry(b'L', b"././@LongLink", b"", &[name, &[0]].concat(), |_| {})
    }

    /// Ends the archive and compresses it.
    pub(crate) fn gz(self) -> Vec<u8> {
        gzip(&self.end())
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// The records of a PAX header, each prefixed with its length.
pub(crate) fn pax_records(records: &[(&str, &str)]) -> Vec<u8> {
    let mut text = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        text.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
    }
    text
}

/// One entry of a zip archive, with every field that can be invalid.
#[derive(Clone)]
pub(crate) struct ZipEntry {
    pub(crate) name: Vec<u8>,
    /// The name in the local header, if it differs.
    pub(crate) local_name: Option<Vec<u8>>,
    pub(crate) mode: u32,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) crc: u32,
    /// The compressed bytes.
    pub(crate) data: Vec<u8>,
    pub(crate) compressed: u64,
    pub(crate) expanded: u64,
    /// The offset in the central directory, if it is wrong.
    pub(crate) offset: Option<u32>,
    /// Whether the sizes are in the zip64 field.
    pub(crate) is_64: bool,
    /// Other fields, in both headers.
    pub(crate) extra: Vec<u8>,
    pub(crate) comment: Vec<u8>,
}

impl ZipEntry {
    pub(crate) fn stored(name: &str, data: &[u8]) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            local_name: None,
            mode: 0o100_644,
            flags: 0,
            method: 0,
            crc: crc32fast::hash(data),
            data: data.to_vec(),
            compressed: data.len() as u64,
            expanded: data.len() as u64,
            offset: None,
            is_64: false,
            extra: Vec::new(),
            comment: Vec::new(),
        }
    }

    pub(crate) fn deflated(name: &str, data: &[u8]) -> Self {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        let packed = encoder.finish().unwrap();
        Self {
            method: 8,
            compressed: packed.len() as u64,
            data: packed,
            ..Self::stored(name, data)
        }
    }

    pub(crate) fn with(mut self, change: impl Fn(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn sizes(&self) -> (u32, u32, Vec<u8>) {
        if !self.is_64 {
            let cut = |size: u64| u32::try_from(size).unwrap_or(u32::MAX);
            return (cut(self.compressed), cut(self.expanded), self.extra.clone());
        }
        let mut extra = [1_u16.to_le_bytes(), 16_u16.to_le_bytes()].concat();
        extra.extend(self.expanded.to_le_bytes());
        extra.extend(self.compressed.to_le_bytes());
        extra.extend(&self.extra);
        (u32::MAX, u32::MAX, extra)
    }

    /// The fields that the local and the central header share.
    fn common(&self, name: &[u8], extra: &[u8]) -> Vec<u8> {
        let (compressed, expanded, _) = self.sizes();
        let mut bytes = Vec::new();
        bytes.extend(20_u16.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.method.to_le_bytes());
        bytes.extend([0, 0, 0x21, 0x50]);
        bytes.extend(self.crc.to_le_bytes());
        bytes.extend(compressed.to_le_bytes());
        bytes.extend(expanded.to_le_bytes());
        bytes.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        bytes.extend(u16::try_from(extra.len()).unwrap().to_le_bytes());
        bytes
    }
}

/// A zip archive of these entries. `count` overrides the declared number of entries.
pub(crate) fn zip_with_count(entries: &[ZipEntry], count: Option<u16>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for entry in entries {
        let offset = u32::try_from(bytes.len()).unwrap();
        let (_, _, extra) = entry.sizes();
        let local_name = entry.local_name.as_ref().unwrap_or(&entry.name);
        bytes.extend(b"PK\x03\x04");
        bytes.extend(entry.common(local_name, &extra));
        bytes.extend(local_name);
        bytes.extend(&extra);
        bytes.extend(&entry.data);
        directory.extend(b"PK\x01\x02");
        // "Made on Unix", so that the mode is used.
        directory.extend([20, 3]);
        directory.extend(entry.common(&entry.name, &extra));
        directory.extend(u16::try_from(entry.comment.len()).unwrap().to_le_bytes());
        directory.extend([0; 4]);
        directory.extend((entry.mode << 16).to_le_bytes());
        directory.extend(entry.offset.unwrap_or(offset).to_le_bytes());
        directory.extend(&entry.name);
        directory.extend(&extra);
        directory.extend(&entry.comment);
    }
    let start = u32::try_from(bytes.len()).unwrap();
    let count = count.unwrap_or_else(|| u16::try_from(entries.len()).unwrap());
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(count.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend(u32::try_from(directory.len()).unwrap().to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

pub(crate) fn zip(entries: &[ZipEntry]) -> Vec<u8> {
    zip_with_count(entries, None)
}
