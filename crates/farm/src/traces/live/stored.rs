//! What is stored of a trace, in blocks that all who are at the same place share.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use slipway_domain::JobId;

use super::cut::{MAX_UNFINISHED, border, cut};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::state::block_cache::Blocks;
use crate::state::trace_piece::TracePiece;

/// How long a block is, in bytes. Each begins at a multiple of it.
pub(super) const BLOCK_BYTES: u64 = 1 << 20;
/// The piece of a job's trace at `offset`; `None` when the trace is not that long any more.
pub(super) async fn piece_at(
    blocks: &Blocks,
    farm: &Farm,
    job: JobId,
    offset: u64,
) -> Result<Option<Arc<TracePiece>>, FarmError> {
    let index = offset / BLOCK_BYTES;
    // A character that reaches into a block belongs to the one where it begins.
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
    let margin = MAX_UNFINISHED as u64;
    let from = start.saturating_sub(margin);
    let (arrivals, bytes) = farm.trace_part(job, from..end + margin).await?;
    let bytes: Vec<Bytes> = bytes.try_collect().await?;
    let text = Bytes::from(bytes.concat());
    let index = |offset: u64| usize::try_from(offset - from).unwrap_or(usize::MAX);
    let (first, last) = (border(&text, index(start)), border(&text, index(end)));
    let text = text.slice(first..last);
    Ok(cut(from + first as u64, &text, &arrivals))
}
