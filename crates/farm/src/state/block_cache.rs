//! What was read last of a trace that is followed, in blocks that all followers share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::trace_piece::TracePiece;

/// How many blocks are kept for others who follow the same job.
const KEPT: usize = 8;

type Block = Arc<OnceCell<Vec<Arc<TracePiece>>>>;

/// The blocks that were read last.
#[derive(Default)]
pub(crate) struct Blocks {
    kept: Mutex<VecDeque<(u64, Block)>>,
}

impl Blocks {
    /// Forgets everything, as after a trace was replaced.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    pub(crate) fn block(&self, index: u64) -> Block {
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
