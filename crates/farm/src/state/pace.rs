//! How fast all followers of live traces are told together, so that they leave the machine to those
//! who append.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What telling a piece costs beside its bytes, in bytes.
const PIECE_COST: u64 = 8 << 10;
/// What may be told ahead of its time: less than timers can tell apart.
const AHEAD: Duration = Duration::from_millis(1);

/// ProjectSelection turn it is: those who want to be told something get one after the other, in the order in
/// which they came.
pub(crate) struct Pace {
    bytes_per_s: u64,
    /// When the next turn begins; in the past while nobody waits.
    next: Mutex<Instant>,
}

impl Pace {
    pub(crate) fn new(bytes_per_s: u64) -> Self {
        Self {
            bytes_per_s: bytes_per_s.max(1),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits for the turn of one who is to be told `bytes`.
    pub(crate) async fn turn(&self, bytes: u64) {
        let now = Instant::now();
        let at = self.take(now, bytes);
        if at > now + AHEAD {
            sleep_until(at).await;
        }
    }

    fn take(&self, now: Instant, bytes: u64) -> Instant {
        let cost = (bytes + PIECE_COST) as f64 / self.bytes_per_s as f64;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let at = now.max(*next);
        *next = at + Duration::from_secs_f64(cost);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_one_after_the_other_and_unused_time_is_not_saved() {
        let second = Duration::from_secs(1);
        let pace = Pace::new(1 << 20);
        let now = Instant::now() + 10 * second;
        let bytes = (1 << 20) - PIECE_COST;
        let turns = [(); 3].map(|()| pace.take(now, bytes));
        assert_eq!(turns, [now, now + second, now + 2 * second]);
    }
}
