//! Writes a zip archive of files as they are on Unix.
//!
//! Names and link targets are bytes, which may be no UTF-8. Modification times have seconds, and any
//! year of a file system. The extra fields are those that stock runners and Info-ZIP read and write.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;

use chrono::{DateTime, Datelike as _, Timelike as _};
use flate2::read::DeflateEncoder;
use flate2::{Compression, CrcReader};

/// From this size on, a file needs the zip64 format. It is a little below 4 GiB, because data that
/// cannot be compressed grows.
const ZIP64_THRESHOLD: u64 = 0xF000_0000;
/// The value of a field that is in the zip64 field instead.
const ELSEWHERE_32: u32 = u32::MAX;
const ELSEWHERE_16: u16 = u16::MAX;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// The flag of a name in UTF-8.
const IS_UTF8: u16 = 1 << 11;
/// "Made on Unix", so that the mode and the bytes of the name count.
const MADE_BY: u16 = (3 << 8) | 45;
/// The offset of the checksum and the sizes in a local header.
const SIZES_AT: u64 = 14;
const LOCAL_HEADER_BYTES: u64 = 30;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Link,
}

/// The metadata of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metadata {
    pub(crate) kind: Kind,
    /// The permissions.
    pub(crate) mode: u32,
    /// The modification time, in seconds since the epoch.
    pub(crate) modified: i64,
}

/// An archive that is being written.
pub(crate) struct ZipWriter {
    file: BufWriter<File>,
    /// Where the next byte is written.
    at: u64,
    entries: Vec<Entry>,
}

/// An entry whose content is written.
struct Entry {
    name: Vec<u8>,
    metadata: Metadata,
    method: u16,
    is_64: bool,
    crc: u32,
    compressed: u64,
    size: u64,
    /// The offsets of its local header and its content.
    header: u64,
    data: u64,
}

impl ZipWriter {
    /// Starts an archive in an empty file that is open for reading and writing.
    pub(crate) fn new(file: File) -> Self {
        Self {
            file: BufWriter::new(file),
            at: 0,
            entries: Vec::new(),
        }
    }

    /// Adds an entry whose content has `size` bytes; the content of a link is its target. Returns its
    /// position for [`add_copy`](Self::add_copy).
    pub(crate) fn add(
        &mut self,
        name: &[u8],
        metadata: Metadata,
        size: u64,
        content: impl Read,
    ) -> io::Result<usize> {
        let is_packed = metadata.kind == Kind::File && size > 0;
        let method = if is_packed { DEFLATED } else { STORED };
        let mut entry = self.start(name, metadata, method, size)?;
        let mut content = CrcReader::new(content);
        entry.compressed = if is_packed {
            let mut packed = DeflateEncoder::new(&mut content, Compression::default());
            let written = io::copy(&mut packed, &mut self.file)?;
            if packed.total_in() != size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            written
        } else {
            io::copy(&mut content, &mut self.file)?
        };
        entry.crc = content.crc().sum();
        entry.size = if is_packed { size } else { entry.compressed };
        self.end(entry)
    }

    /// Adds a file with the content of the file at `position`.
    pub(crate) fn add_copy(
        &mut self,
        name: &[u8],
        metadata: Metadata,
        position: usize,
    ) -> io::Result<usize> {
        let gone = || io::Error::other("no entry has this position");
        let original = self.entries.get(position).ok_or_else(gone)?;
        let (method, crc, size) = (original.method, original.crc, original.size);
        let (data, compressed) = (original.data, original.compressed);
        let mut entry = self.start(name, metadata, method, size)?;
        (entry.crc, entry.size, entry.compressed) = (crc, size, compressed);
        self.file.flush()?;
        let mut from = data;
        let mut buffer = vec![0; 64 * 1024];
        while from < data + compressed {
            let left = usize::try_from(data + compressed - from).unwrap_or(usize::MAX);
            let piece = buffer.len().min(left);
            let Some(piece) = buffer.get_mut(..piece) else {
                break;
            };
            self.file.get_ref().read_exact_at(piece, from)?;
            self.file.write_all(piece)?;
            from += piece.len() as u64;
        }
        self.end(entry)
    }

    /// Writes the directory of the archive.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let start = self.at;
        let mut directory = Vec::new();
        for entry in &self.entries {
            entry.write_central(&mut directory);
            // The directory of half a million entries need not be in memory twice.
            if directory.len() > 1 << 20 {
                self.at += directory.len() as u64;
                self.file.write_all(&directory)?;
                directory.clear();
            }
        }
        self.at += directory.len() as u64;
        self.file.write_all(&directory)?;
        let (count, size) = (self.entries.len() as u64, self.at - start);
        let end = end_of_archive(count, start, size);
        self.file.write_all(&end)?;
        self.file.flush()
    }

    /// Writes a local header whose checksum and sizes [`end`](Self::end) sets.
    fn start(
        &mut self,
        name: &[u8],
        metadata: Metadata,
        method: u16,
        size: u64,
    ) -> io::Result<Entry> {
        let mut name = name.to_vec();
        if metadata.kind == Kind::Directory {
            name.push(b'/');
        }
        let mut entry = Entry {
            name,
            metadata,
            method,
            is_64: size >= ZIP64_THRESHOLD,
            crc: 0,
            compressed: 0,
            size: 0,
            header: self.at,
            data: 0,
        };
        let header = entry.local();
        self.file.write_all(&header)?;
        entry.data = entry.header + header.len() as u64;
        Ok(entry)
    }

    fn end(&mut self, entry: Entry) -> io::Result<usize> {
        self.at = entry.data + entry.compressed;
        let header = entry.local();
        // The rest of the header does not depend on the content.
        let sizes = header.get(usize::try_from(SIZES_AT).unwrap_or(0)..);
        self.file.seek(SeekFrom::Start(entry.header + SIZES_AT))?;
        self.file.write_all(sizes.unwrap_or_default())?;
        self.file.seek(SeekFrom::Start(self.at))?;
        self.entries.push(entry);
        Ok(self.entries.len() - 1)
    }
}

impl Entry {
    /// The fields that both headers share, from the version to the length of the extra fields.
    fn common(&self, extra: &[u8]) -> Vec<u8> {
        let is_text = std::str::from_utf8(&self.name).is_ok() && !self.name.is_ascii();
        let flags = if is_text { IS_UTF8 } else { 0 };
        let version: u16 = if self.is_64 { 45 } else { 20 };
        let (date, time) = dos_time(self.metadata.modified);
        let size = |size: u64| match u32::try_from(size) {
            Ok(size) if !self.is_64 => size,
            _ => ELSEWHERE_32,
        };
        let mut bytes = Vec::new();
        for field in [version, flags, self.method, time, date] {
            bytes.extend(field.to_le_bytes());
        }
        for field in [self.crc, size(self.compressed), size(self.size)] {
            bytes.extend(field.to_le_bytes());
        }
        for length in [self.name.len(), extra.len()] {
            bytes.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
        }
        bytes
    }

    fn local(&self) -> Vec<u8> {
        let extra = self.extra(&self.sizes_64());
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.extend(self.common(&extra));
        debug_assert_eq!(bytes.len() as u64, LOCAL_HEADER_BYTES);
        bytes.extend(&self.name);
        bytes.extend(extra);
        bytes
    }

    fn write_central(&self, bytes: &mut Vec<u8>) {
        let mut large = self.sizes_64();
        let offset = u32::try_from(self.header).ok();
        let offset = offset.filter(|offset| *offset != ELSEWHERE_32);
        if offset.is_none() {
            large.push(self.header);
        }
        let extra = self.extra(&large);
        bytes.extend(b"PK\x01\x02");
        bytes.extend(MADE_BY.to_le_bytes());
        bytes.extend(self.common(&extra));
        // The comment, the disk and the internal attributes.
        bytes.extend([0; 6]);
        let (kind, dos): (u32, u32) = match self.metadata.kind {
            Kind::File => (0o100_000, 0),
            Kind::Directory => (0o040_000, 0x10),
            Kind::Link => (0o120_000, 0),
        };
        let mode = kind | self.metadata.mode & 0o777;
        bytes.extend((mode << 16 | dos).to_le_bytes());
        bytes.extend(offset.unwrap_or(ELSEWHERE_32).to_le_bytes());
        bytes.extend(&self.name);
        bytes.extend(extra);
    }

    fn sizes_64(&self) -> Vec<u64> {
        if self.is_64 {
            vec![self.size, self.compressed]
        } else {
            Vec::new()
        }
    }

    /// The extra fields: `large` are the values of the zip64 field.
    fn extra(&self, large: &[u64]) -> Vec<u8> {
        /// The seconds between 1601, where the time of Windows begins, and 1970.
        const WINDOWS_EPOCH: i64 = 11_644_473_600;
        let mut bytes = Vec::new();
        let mut field = |id: u16, content: &[u8]| {
            bytes.extend(id.to_le_bytes());
            bytes.extend(u16::try_from(content.len()).unwrap_or(0).to_le_bytes());
            bytes.extend(content);
        };
        if !large.is_empty() {
            let values: Vec<u8> = large.iter().flat_map(|value| value.to_le_bytes()).collect();
            field(0x0001, &values);
        }
        if let Ok(seconds) = i32::try_from(self.metadata.modified) {
            let mut content = vec![1];
            content.extend(seconds.to_le_bytes());
            field(0x5455, &content);
        } else {
            // The field of Windows covers the years that the other one cannot express.
            let since = self.metadata.modified.saturating_add(WINDOWS_EPOCH).max(0);
            let ticks = since
                .unsigned_abs()
                .saturating_mul(10_000_000)
                .to_le_bytes();
            let mut content = vec![0, 0, 0, 0, 1, 0, 24, 0];
            for _ in 0..3 {
                content.extend(ticks);
            }
            field(0x000a, &content);
        }
        bytes
    }
}

/// The records after the directory.
fn end_of_archive(count: u64, start: u64, size: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let short = u16::try_from(count).unwrap_or(ELSEWHERE_16);
    let long = |value: u64| u32::try_from(value).unwrap_or(ELSEWHERE_32);
    let is_64 = short == ELSEWHERE_16 || long(start) == ELSEWHERE_32 || long(size) == ELSEWHERE_32;
    if is_64 {
        bytes.extend(b"PK\x06\x06");
        bytes.extend(44_u64.to_le_bytes());
        bytes.extend(MADE_BY.to_le_bytes());
        bytes.extend(45_u16.to_le_bytes());
        bytes.extend([0; 8]);
        for value in [count, count, size, start] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(b"PK\x06\x07\0\0\0\0");
        bytes.extend((start + size).to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
    }
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(short.to_le_bytes());
    bytes.extend(short.to_le_bytes());
    bytes.extend(long(size).to_le_bytes());
    bytes.extend(long(start).to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

/// The date and the time of the format, which end in 2107. Other times become the nearest one.
fn dos_time(seconds: i64) -> (u16, u16) {
    const FIRST: (u16, u16) = (1 << 5 | 1, 0);
    const LAST: (u16, u16) = (127 << 9 | 12 << 5 | 31, 23 << 11 | 59 << 5 | 29);
    let at = DateTime::from_timestamp(seconds, 0);
    let small = |number: u32| u16::try_from(number).unwrap_or(0);
    match at {
        Some(at) if at.year() < 1980 => FIRST,
        Some(at) if at.year() <= 2107 => {
            let year = u16::try_from(at.year() - 1980).unwrap_or(0);
            let date = year << 9 | small(at.month()) << 5 | small(at.day());
            let time = small(at.hour()) << 11 | small(at.minute()) << 5 | (small(at.second()) / 2);
            (date, time)
        }
        None if seconds < 0 => FIRST,
        Some(_) | None => LAST,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use slipway_packages::unpack::restore_here;
    use slipway_packages::{Archive, RESTORE_LIMITS};

    use super::*;

    fn metadata(kind: Kind, mode: u32, modified: i64) -> Metadata {
        Metadata {
            kind,
            mode,
            modified,
        }
    }

    #[test]
    fn what_is_written_is_restored() {
        let dir = tempfile::tempdir().unwrap();
        let file = tempfile::tempfile().unwrap();
        let mut zip = ZipWriter::new(file.try_clone().unwrap());
        let text = "long ".repeat(100_000);
        let names: [&[u8]; 6] = [
            b"o/dev-foo\\x2dbar.swap",
            b"c:x",
            b"latin-\xe9",
            "ü".as_bytes(),
            b"new\nline",
            b"empty",
        ];
        let times = [0, -86_400, 1_700_000_001, 4_500_000_000, -2_000_000_000, 1];
        for (at, (name, time)) in names.iter().zip(times).enumerate() {
            let content = if at == 5 { "" } else { text.as_str() };
            let about = metadata(Kind::File, 0o640, time);
            let size = content.len() as u64;
            let position = zip.add(name, about, size, content.as_bytes()).unwrap();
            assert_eq!(position, at);
        }
        zip.add_copy(b"copy", metadata(Kind::File, 0o755, 7), 0)
            .unwrap();
        let about = metadata(Kind::Directory, 0o750, 1_000);
        zip.add(b"d", about, 0, io::empty()).unwrap();
        let target = b"/usr/bin/python3\xff".as_slice();
        let about = metadata(Kind::Link, 0o777, 2);
        zip.add(b"l", about, target.len() as u64, target).unwrap();
        zip.finish().unwrap();

        restore_here(
            file,
            Archive::Zip,
            dir.path(),
            RESTORE_LIMITS,
            Default::default(),
        )
        .unwrap();
        for (name, time) in names.iter().zip(times) {
            let path = dir.path().join(OsStr::from_bytes(name));
            let found = path.symlink_metadata().unwrap();
            assert_eq!(found.mtime(), time, "{path:?}");
            assert_eq!(found.permissions().mode() & 0o777, 0o640, "{path:?}");
            let content = std::fs::read_to_string(&path).unwrap();
            assert!(content == text || *name == b"empty", "{path:?}");
        }
        assert_eq!(
            std::fs::read_to_string(dir.path().join("copy")).unwrap(),
            text
        );
        let link = std::fs::read_link(dir.path().join("l")).unwrap();
        assert_eq!(link.as_os_str().as_bytes(), target);
        let found = dir.path().join("d").metadata().unwrap();
        assert_eq!((found.mode() & 0o777, found.mtime()), (0o750, 1_000));
    }

    #[test]
    fn archives_with_more_entries_than_16_bits_count_are_restored() {
        let dir = tempfile::tempdir().unwrap();
        let file = tempfile::tempfile().unwrap();
        let mut zip = ZipWriter::new(file.try_clone().unwrap());
        for at in 0..66_000 {
            let about = metadata(Kind::Link, 0o777, 1);
            zip.add(at.to_string().as_bytes(), about, 1, b"x".as_slice())
                .unwrap();
        }
        zip.finish().unwrap();
        let restored = restore_here(
            file,
            Archive::Zip,
            dir.path(),
            RESTORE_LIMITS,
            Default::default(),
        );
        assert_eq!(restored.unwrap().entries, 66_000);
    }

    #[test]
    fn other_programs_read_the_archive() {
        let file = tempfile::tempfile().unwrap();
        let mut zip = ZipWriter::new(file.try_clone().unwrap());
        let about = metadata(Kind::File, 0o644, 1_700_000_001);
        zip.add("é".as_bytes(), about, 5, b"hello".as_slice())
            .unwrap();
        zip.finish().unwrap();
        let mut archive = zip::ZipArchive::new(file).unwrap();
        let mut entry = archive.by_index(0).unwrap();
        assert_eq!(entry.name().unwrap(), "é");
        assert_eq!(
            entry.last_modified().unwrap().to_string(),
            "2023-11-14 22:13:20"
        );
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        assert_eq!(content, "hello");
    }

    #[test]
    fn times_outside_of_the_format_become_the_nearest_one() {
        assert_eq!(dos_time(0), (33, 0));
        assert_eq!(dos_time(i64::MIN), (33, 0));
        assert_eq!(dos_time(1 << 34).0 >> 9, 127);
        assert_eq!(dos_time(i64::MAX).0 >> 9, 127);
        assert_eq!(dos_time(1_700_000_000).0 >> 9, 43);
    }
}
