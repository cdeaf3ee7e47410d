//! Reads the stored part of a followed trace, in blocks that all followers share.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use slipway_domain::JobId;
use slipway_store::traces::View;

use crate::error::FarmError;
use crate::farm::Farm;
use crate::state::block_cache::BlockCache;
use crate::state::trace_piece::TracePiece;
use crate::traces::live::cut::{MAX_PARTIAL_CHAR, char_end, cut};

/// The length of a block, in bytes. Each block begins at a multiple of it.
pub(crate) const BLOCK_BYTES: u64 = 1 << 20;

/// The piece of a trace at `offset`; `None` when the trace is shorter now, because it was replaced.
pub(crate) async fn piece_at(
    blocks: &BlockCache,
    farm: &Farm,
    job: JobId,
    offset: u64,
) -> Result<Option<Arc<TracePiece>>, FarmError> {
    let index = offset / BLOCK_BYTES;
    // A character that reaches into a block belongs to the block where it begins.
    for index in (index.saturating_sub(1)..=index).rev() {
        let block = blocks.block(index);
        let pieces = block.get_or_try_init(|| read(farm, job, index)).await?;
        let at = pieces.partition_point(|piece| piece.end() <= offset);
        if let Some(piece) = pieces.get(at).filter(|piece| piece.start() <= offset) {
            return Ok(Some(piece.from(offset)));
        }
    }
    Ok(None)
}

async fn read(farm: &Farm, job: JobId, index: u64) -> Result<Vec<Arc<TracePiece>>, FarmError> {
    let (start, end) = (index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
    // A few bytes on both sides show where the characters at the borders begin and end.
    let margin = MAX_PARTIAL_CHAR as u64;
    let from = start.saturating_sub(margin);
    let (chunks, bytes) = farm.trace_part(job, from..end + margin, View::Now).await?;
    let arrivals = farm.arrivals_of(&chunks).await?;
    let bytes: Vec<Bytes> = bytes.try_collect().await?;
    let text = Bytes::from(bytes.concat());
    let index = |offset: u64| usize::try_from(offset - from).unwrap_or(usize::MAX);
    let (first, last) = (char_end(&text, index(start)), char_end(&text, index(end)));
    let text = text.slice(first..last);
    Ok(cut(from + first as u64, &text, &arrivals))
}
