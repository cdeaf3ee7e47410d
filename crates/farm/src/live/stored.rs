//! What is stored of a trace, in blocks that all who are at the same place share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::TryStreamExt;
use slipway_domain::JobId;
use tokio::sync::OnceCell;

use super::piece::{MAX_UNFINISHED, TracePiece, border, cut};
use crate::{Farm, FarmError};

/// How long a block is, in bytes. Each begins at a multiple of it.
pub(super) const BLOCK_BYTES: u64 = 1 << 20;
/// How many blocks are kept for others who follow the same job.
const KEPT: usize = 8;

type Block = Arc<OnceCell<Vec<Arc<TracePiece>>>>;

/// The blocks that were read last.
#[derive(Default)]
pub(super) struct Blocks {
    kept: Mutex<VecDeque<(u64, Block)>>,
}

impl Blocks {
    /// The piece of a job's trace at `offset`; `None` when the trace is not that long any more.
    pub(super) async fn piece(
        &self,
        farm: &Farm,
        job: JobId,
        offset: u64,
    ) -> Result<Option<Arc<TracePiece>>, FarmError> {
        let index = offset / BLOCK_BYTES;
        // A character that reaches into a block belongs to the one where it begins.
        for index in (index.saturating_sub(1)..=index).rev() {
            let block = self.block(index);
            let pieces = block.get_or_try_init(|| read(farm, job, index)).await?;
            let at = pieces.partition_point(|piece| piece.end() <= offset);
            if let Some(piece) = pieces.get(at).filter(|piece| piece.start() <= offset) {
                return Ok(Some(piece.from(offset)));
            }
        }
        Ok(None)
    }

    /// Forgets everything, as after a trace was replaced.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn block(&self, index: u64) -> Block {
        let mut kept = self.lock();
        if let Some((_, block)) = kept.iter().find(|(known, _)| *known == index) {
            return Arc::clone(block);
        }
        if kept.len() == KEPT {
            kept.pop_front();
        }
        let block = Block::default();
        kept.push_back((index, Arc::clone(&block)));
        block
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(u64, Block)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
