//! What a job has come to, kept in order until the coordinator was told.
//!
//! A phase may be over before the next request is sent, and it counts all the same: those who look
//! at a build later see every phase it had.

use std::collections::VecDeque;

use slipway_domain::Phase;
use slipway_domain::base_image::BaseImage;
use tokio::sync::watch;

/// A phase that a job has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The phase.
    pub phase: Phase,
    /// The base image that is pulled in it.
    pub base_image: Option<BaseImage>,
}

/// The phases of a job that the coordinator was not told yet. Clones are of the same job.
#[derive(Clone, Debug)]
pub struct Phases(watch::Sender<Untold>);

#[derive(Debug)]
struct Untold {
    now: Phase,
    news: VecDeque<News>,
}

impl Default for Phases {
    fn default() -> Self {
        Self(watch::Sender::new(Untold {
            now: Phase::Preparing,
            news: VecDeque::new(),
        }))
    }
}

impl Phases {
    /// Notes that the job has come to a phase. It is no news when it is in it already, unless a
    /// base image comes with it.
    pub fn enter(&self, phase: Phase, base_image: Option<BaseImage>) {
        self.0.send_if_modified(|untold| {
            let is_new = untold.now != phase || base_image.is_some();
            if is_new {
                untold.now = phase;
                untold.news.push_back(News { phase, base_image });
            }
            is_new
        });
    }

    /// The oldest news, which may have to be waited for.
    pub async fn next(&self) -> News {
        let mut untold = self.0.subscribe();
        loop {
            if let Some(news) = untold.borrow_and_update().news.front() {
                return news.clone();
            }
            // The sender is in this value.
            let _ = untold.changed().await;
        }
    }

    /// The coordinator was told the oldest news.
    pub fn told(&self) {
        self.0.send_modify(|untold| {
            untold.news.pop_front();
        });
    }

    /// Waits until there are no news.
    pub async fn until_told(&self) {
        let mut untold = self.0.subscribe();
        // The sender is in this value.
        let _ = untold.wait_for(|untold| untold.news.is_empty()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_phase_is_told_once_and_in_order() {
        let phases = Phases::default();
        phases.until_told().await;
        let base: BaseImage = "a:1".parse().unwrap();
        phases.enter(Phase::Preparing, None);
        phases.enter(Phase::Fetching, None);
        phases.enter(Phase::Pulling, Some(base.clone()));
        phases.enter(Phase::Pulling, None);
        phases.enter(Phase::Building, None);
        for expected in [
            (Phase::Fetching, None),
            (Phase::Pulling, Some(base)),
            (Phase::Building, None),
        ] {
            // It stays until the coordinator heard it.
            assert_eq!(phases.next().await, phases.next().await);
            let news = phases.next().await;
            assert_eq!((news.phase, news.base_image), expected);
            phases.told();
        }
        phases.until_told().await;
    }
}
