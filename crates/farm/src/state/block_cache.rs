//! Caches the blocks of a stored trace that were read last, for all followers of the job.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use crate::state::trace_piece::TracePiece;

/// How many blocks the cache of a job holds.
const CAPACITY: usize = 8;

/// A block of a trace, which the first follower that needs it fills for all.
pub(crate) type Block = Arc<OnceCell<Vec<Arc<TracePiece>>>>;

/// The blocks that were read last, by index.
#[derive(Default)]
pub(crate) struct BlockCache {
    blocks: Mutex<VecDeque<(u64, Block)>>,
}

impl BlockCache {
    /// Drops all blocks, as after the trace was replaced.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// The block with this index, which may be empty still.
    pub(crate) fn block(&self, index: u64) -> Block {
        let mut blocks = self.lock();
        if let Some((_, block)) = blocks.iter().find(|(known, _)| *known == index) {
            return Arc::clone(block);
        }
        if blocks.len() == CAPACITY {
            blocks.pop_front();
        }
        let block = Block::default();
        blocks.push_back((index, Arc::clone(&block)));
        block
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, Block)>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
