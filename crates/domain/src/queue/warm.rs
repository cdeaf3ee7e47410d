//! For which runner a job is kept for a moment when it becomes pending.

use super::pending::RunnerView;
use super::requirement::{ProjectPolicy, Requirement};
use crate::ids::RunnerId;

/// What a runner is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It runs no job.
    Idle,
    /// It runs a job.
    Busy,
    /// It ended a job this moment, and is about to ask for the next one.
    Returning,
}

/// A runner that built images of a project lately.
#[derive(Clone, Debug)]
pub struct WarmRunner {
    /// Which.
    pub runner: RunnerId,
    /// What is known of it.
    pub view: RunnerView,
    /// What it is at.
    pub work: Work,
}

impl WarmRunner {
    fn can_take(&self, requirement: &Requirement, policy: ProjectPolicy) -> bool {
        let is_there = self.view.online || self.work != Work::Idle;
        is_there && !self.view.paused && self.view.capabilities.can_serve(requirement, policy)
    }
}

/// The runner that a job is to be kept for, of those that built its project lately, the latest
/// first; `avoided` is the one that lost the attempt before.
///
/// One that returns has it in a moment. One that is idle is called: then nothing has to be kept. If
/// all are busy it is the latest.
pub fn reserve_for(
    requirement: &Requirement,
    policy: ProjectPolicy,
    avoided: Option<RunnerId>,
    warm: &[WarmRunner],
) -> Option<RunnerId> {
    let mut able = warm
        .iter()
        .filter(|warm| Some(warm.runner) != avoided && warm.can_take(requirement, policy));
    let latest = able.clone().next()?;
    let returning = able.clone().find(|warm| warm.work == Work::Returning);
    let all_busy = able.all(|warm| warm.work == Work::Busy);
    let chosen = returning.or(all_busy.then_some(latest))?;
    Some(chosen.runner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ProjectId;
    use crate::names::TagSet;
    use crate::queue::features::FeatureSet;
    use crate::queue::requirement::{Capabilities, RunnerScope};

    const POLICY: ProjectPolicy = ProjectPolicy {
        shared_runners: true,
        max_running: None,
        builds_enabled: true,
    };

    fn warm(runner: i64, work: Work) -> WarmRunner {
        WarmRunner {
            runner: RunnerId(runner),
            view: RunnerView {
                capabilities: Capabilities {
                    tags: TagSet::from_list("gpu").unwrap(),
                    run_untagged: true,
                    scope: RunnerScope::Shared,
                    abilities: FeatureSet::default(),
                },
                paused: false,
                online: true,
            },
            work,
        }
    }

    fn kept_for(tags: &str, avoided: Option<i64>, warm: &[WarmRunner]) -> Option<i64> {
        let requirement = Requirement {
            project: ProjectId(1),
            tags: TagSet::from_list(tags).unwrap(),
            abilities: FeatureSet::default(),
        };
        let avoided = avoided.map(RunnerId);
        reserve_for(&requirement, POLICY, avoided, warm).map(|runner| runner.0)
    }

    #[test]
    fn it_is_the_latest_one_unless_one_is_idle_or_just_returns() {
        use Work::{Busy, Idle, Returning};
        let cases: [(&[Work], Option<i64>); 7] = [
            (&[], None),
            (&[Busy], Some(1)),
            (&[Busy, Busy], Some(1)),
            (&[Idle, Busy], None),
            (&[Busy, Idle], None),
            (&[Busy, Returning], Some(2)),
            (&[Idle, Returning], Some(2)),
        ];
        for (works, expected) in cases {
            let all: Vec<WarmRunner> = (1..)
                .zip(works)
                .map(|(runner, work)| warm(runner, *work))
                .collect();
            assert_eq!(kept_for("", None, &all), expected, "{works:?}");
        }
    }

    #[test]
    fn one_that_may_or_can_not_take_it_counts_for_nothing() {
        let busy = [warm(1, Work::Busy), warm(2, Work::Busy)];
        assert_eq!(kept_for("gpu", Some(1), &busy), Some(2));
        assert_eq!(kept_for("arm", None, &busy), None);
        let mut paused = busy.clone();
        paused[0].view.paused = true;
        assert_eq!(kept_for("", None, &paused), Some(2));
        // One that is idle and was not heard of lately is gone; one that is busy need not speak.
        let mut silent = [warm(1, Work::Idle), warm(2, Work::Busy)];
        silent[0].view.online = false;
        silent[1].view.online = false;
        assert_eq!(kept_for("", None, &silent), Some(2));
        assert_eq!(kept_for("", None, &silent[..1]), None);
    }
}
