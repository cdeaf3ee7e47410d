//! Stops and deletes what a demo with `--keep` left running.

use anyhow::Result;

use super::images::Images;
use super::process_list::{ENGINE, ProcessList};
use super::work_dir::WorkDir;

/// Stops the processes of the demo in `work_dir`; returns how many ran.
pub(super) async fn stop(work_dir: WorkDir) -> Result<usize> {
    let running = ProcessList::of(work_dir.path()).running();
    let (engine, others): (Vec<_>, Vec<_>) = running.iter().partition(|one| one.name == ENGINE);
    for entry in others.iter().rev() {
        entry.stop().await;
        println!("stopped {}", entry.name);
    }
    // Deleting images needs the engine, so it stops last.
    drop(Images::of(&work_dir));
    for entry in engine {
        entry.stop().await;
        println!("stopped {}", entry.name);
    }
    Ok(running.len())
}
