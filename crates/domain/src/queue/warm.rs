//! Which runner a job is reserved for, briefly, when it becomes pending.
//!
//! A runner that built a project recently is warm: its build cache holds the project's layers. A fully
//! cached build takes a fraction of a cold one, so a job waits a moment for such a runner (see
//! `docs/decisions/0020-reserve-jobs-for-warm-runners.md`).

use super::pending::RunnerView;
use super::requirement::{ProjectPolicy, Requirement};
use crate::ids::RunnerId;

/// What a runner is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunnerActivity {
    Idle,
    Busy,
    /// It finished a job just now and is about to claim the next one.
    JustFinished,
}

/// A runner that built images of a project recently.
#[derive(Clone, Debug)]
pub struct WarmRunner {
    pub runner: RunnerId,
    pub view: RunnerView,
    pub activity: RunnerActivity,
}

impl WarmRunner {
    fn can_take(&self, requirement: &Requirement, policy: ProjectPolicy) -> bool {
        // A busy runner reports its job rather than polling, so it may not count as online.
        let is_alive = self.view.online || self.activity != RunnerActivity::Idle;
        let may_claim = !self.view.paused && self.view.unready.is_none();
        is_alive && may_claim && self.view.capabilities.can_serve(requirement, policy)
    }
}

/// Returns the runner to reserve a job for, or `None` if the job needs no reservation.
///
/// `warm` lists the runners that built the job's project recently, the latest first. `avoided` is
/// the runner that lost the previous attempt.
///
/// A runner that just finished a job claims again in a moment, so it gets the reservation. If a
/// warm runner is idle, it is woken anyway and nothing is reserved. If all are busy, the latest one
/// gets the reservation.
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
    let returning = able
        .clone()
        .find(|warm| warm.activity == RunnerActivity::JustFinished);
    let all_busy = able.all(|warm| warm.activity == RunnerActivity::Busy);
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

    fn warm(runner: i64, activity: RunnerActivity) -> WarmRunner {
        WarmRunner {
            runner: RunnerId(runner),
            view: RunnerView {
                capabilities: Capabilities {
                    tags: TagSet::from_list("gpu").unwrap(),
                    run_untagged: true,
                    scope: RunnerScope::Shared,
                    features: FeatureSet::default(),
                },
                paused: false,
                online: true,
                id: RunnerId(runner),
                is_new: false,
                unready: None,
            },
            activity,
        }
    }

    fn reserved_for(tags: &str, avoided: Option<i64>, warm: &[WarmRunner]) -> Option<i64> {
        let requirement = Requirement {
            project: ProjectId(1),
            tags: TagSet::from_list(tags).unwrap(),
            features: FeatureSet::default(),
        };
        let avoided = avoided.map(RunnerId);
        reserve_for(&requirement, POLICY, avoided, warm).map(|runner| runner.0)
    }

    #[test]
    fn the_latest_warm_runner_is_chosen_unless_one_is_idle_or_just_finished() {
        use RunnerActivity::{Busy, Idle, JustFinished};
        let cases: [(&[RunnerActivity], Option<i64>); 7] = [
            (&[], None),
            (&[Busy], Some(1)),
            (&[Busy, Busy], Some(1)),
            (&[Idle, Busy], None),
            (&[Busy, Idle], None),
            (&[Busy, JustFinished], Some(2)),
            (&[Idle, JustFinished], Some(2)),
        ];
        for (works, expected) in cases {
            let all: Vec<WarmRunner> = (1..)
                .zip(works)
                .map(|(runner, work)| warm(runner, *work))
                .collect();
            assert_eq!(reserved_for("", None, &all), expected, "{works:?}");
        }
    }

    #[test]
    fn runners_that_cannot_take_the_job_are_ignored() {
        let busy = [warm(1, RunnerActivity::Busy), warm(2, RunnerActivity::Busy)];
        assert_eq!(reserved_for("gpu", Some(1), &busy), Some(2));
        assert_eq!(reserved_for("arm", None, &busy), None);
        let mut paused = busy.clone();
        paused[0].view.paused = true;
        assert_eq!(reserved_for("", None, &paused), Some(2));
        // An idle runner that is offline is gone; a busy one does not poll.
        let mut offline = [warm(1, RunnerActivity::Idle), warm(2, RunnerActivity::Busy)];
        offline[0].view.online = false;
        offline[1].view.online = false;
        assert_eq!(reserved_for("", None, &offline), Some(2));
        assert_eq!(reserved_for("", None, &offline[..1]), None);
    }
}
