//! Parses arbitrary text as a `Range` header.

use slipway_domain::byte_range::ByteRange;

/// What is served is never empty and never beyond the end. The first eight bytes are the size.
pub(crate) fn run(bytes: &[u8]) {
    let Some((size, header)) = bytes.split_first_chunk() else {
        return;
    };
    let size = u64::from_le_bytes(*size);
    let header = String::from_utf8_lossy(header);
    match ByteRange::from_header(Some(&header), size) {
        Ok(ByteRange::Full) => {}
        Ok(part) => {
            let range = part.bytes(size);
            assert!(range.start < range.end, "{header}: {range:?}");
            assert!(range.end <= size, "{header}: {range:?}");
            assert!(part.content_range(size).is_some());
        }
        Err(error) => assert_eq!(error.size, size),
    }
}
