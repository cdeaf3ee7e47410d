//! Who is woken, and who is not.

use super::*;
use futures_util::FutureExt;
use slipway_domain::queue::RunnerScope;
use slipway_domain::{FeatureSet, ProjectId, TagSet};

fn runner(tags: &str) -> Capabilities {
    Capabilities {
        tags: TagSet::from_list(tags).unwrap(),
        run_untagged: true,
        scope: RunnerScope::Shared,
        features: FeatureSet::default(),
    }
}

fn pending(tags: &str) -> Pending {
    Pending {
        key: QueueKeyId(1),
        passed_on: false,
        warm: Vec::new(),
        only_warm: false,
        requirement: Requirement {
            project: ProjectId(1),
            tags: TagSet::from_list(tags).unwrap(),
            features: FeatureSet::default(),
        },
        policy: ProjectPolicy {
            builds_enabled: true,
            shared_runners: true,
            max_running: None,
        },
    }
}

fn is_woken(ticket: &mut Ticket) -> bool {
    ticket.woken().now_or_never().is_some()
}

#[tokio::test]
async fn one_job_wakes_the_one_runner_that_waited_longest_and_can_take_it() {
    let wakeups = Wakeups::default();
    let mut plain = wakeups.park(RunnerId(1), &runner(""));
    let mut first = wakeups.park(RunnerId(2), &runner("gpu"));
    let mut second = wakeups.park(RunnerId(3), &runner("gpu"));
    wakeups.wake(&pending("gpu"));
    assert!(!is_woken(&mut plain));
    assert!(is_woken(&mut first));
    assert!(!is_woken(&mut second));
    assert_eq!(wakeups.parked(), 2);
}

#[tokio::test]
async fn one_that_built_the_project_lately_is_woken_before_one_that_waited_longer() {
    let wakeups = Wakeups::default();
    let mut cold = wakeups.park(RunnerId(1), &runner(""));
    let mut warm = wakeups.park(RunnerId(2), &runner(""));
    let mut warmer = wakeups.park(RunnerId(3), &runner("gpu"));
    let mut unfit = wakeups.park(
        RunnerId(4),
        &Capabilities {
            run_untagged: false,
            ..runner("gpu")
        },
    );
    let job = Pending {
        warm: [5, 4, 3, 2].map(RunnerId).to_vec(),
        ..pending("")
    };
    for next in [&mut warmer, &mut warm, &mut cold] {
        assert!(!is_woken(next));
        wakeups.wake(&job);
        assert!(is_woken(next));
    }
    assert!(!is_woken(&mut unfit));
}

#[tokio::test]
async fn for_a_job_that_is_kept_its_runner_is_woken_or_nobody() {
    let wakeups = Wakeups::default();
    let mut other = wakeups.park(RunnerId(1), &runner(""));
    let mut own = wakeups.park(RunnerId(2), &runner(""));
    let job = Pending {
        warm: vec![RunnerId(2)],
        only_warm: true,
        ..pending("")
    };
    for _ in 0..2 {
        wakeups.wake(&job);
    }
    assert!(is_woken(&mut own));
    // Nor does it go to another when its runner is gone.
    drop(own);
    assert!(!is_woken(&mut other));
    assert_eq!(wakeups.parked(), 1);
}

#[tokio::test]
async fn a_runner_that_goes_away_passes_its_wake_up_on() {
    let wakeups = Wakeups::default();
    // Before it noticed, or between its waking and its look.
    for noticed in [false, true] {
        let mut gone = wakeups.park(RunnerId(1), &runner(""));
        let mut next = wakeups.park(RunnerId(2), &runner(""));
        wakeups.wake(&pending(""));
        assert!(!noticed || is_woken(&mut gone));
        drop(gone);
        assert!(is_woken(&mut next));
        next.looked();
        assert_eq!(wakeups.parked(), 0);
    }
}

#[tokio::test]
async fn a_runner_that_looked_passes_nothing_on() {
    let wakeups = Wakeups::default();
    let mut first = wakeups.park(RunnerId(1), &runner(""));
    let mut second = wakeups.park(RunnerId(2), &runner(""));
    wakeups.wake(&pending(""));
    assert!(is_woken(&mut first));
    first.looked();
    assert!(!is_woken(&mut second));
}

#[tokio::test]
async fn a_call_that_the_first_may_not_take_goes_to_one_more() {
    let wakeups = Wakeups::default();
    let mut first = wakeups.park(RunnerId(1), &runner(""));
    let mut second = wakeups.park(RunnerId(2), &runner(""));
    let mut third = wakeups.park(RunnerId(3), &runner(""));
    wakeups.wake(&pending(""));
    assert!(is_woken(&mut first));
    assert_eq!(first.called_for(), Some(QueueKeyId(1)));
    first.pass_on();
    assert!(is_woken(&mut second));
    second.pass_on();
    assert!(!is_woken(&mut third));
}

#[tokio::test]
async fn one_runner_can_be_woken_wherever_it_waits() {
    let wakeups = Wakeups::default();
    let mut here = wakeups.park(RunnerId(1), &runner("gpu"));
    let mut there = wakeups.park(RunnerId(1), &runner(""));
    let mut other = wakeups.park(RunnerId(2), &runner(""));
    wakeups.wake_runner(RunnerId(1));
    assert!(is_woken(&mut here) && is_woken(&mut there));
    drop((here, there));
    assert!(!is_woken(&mut other));
    assert_eq!(wakeups.parked(), 1);
}

#[tokio::test]
async fn whoever_watches_a_job_hears_of_it_and_leaves_nothing_behind() {
    let wakeups = Wakeups::default();
    let mut watch = wakeups.watch(JobId(1));
    wakeups.touch(JobId(2));
    wakeups.touch(JobId(1));
    watch.changed().await;
    drop(watch);
    assert!(lock(&wakeups.inner.watched).is_empty());
}
