//! Which parked polls are woken.

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

fn pending(tags: &str) -> PendingKey {
    PendingKey {
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

fn is_woken(ticket: &mut ParkedPoll) -> bool {
    ticket.woken().now_or_never().is_some()
}

#[tokio::test]
async fn one_job_wakes_the_capable_runner_that_waited_longest() {
    let wakeups = Wakeups::default();
    let mut plain = wakeups.park(RunnerId(1), 0, &runner(""));
    let mut first = wakeups.park(RunnerId(2), 0, &runner("gpu"));
    let mut second = wakeups.park(RunnerId(3), 0, &runner("gpu"));
    wakeups.wake(&pending("gpu"));
    assert!(!is_woken(&mut plain));
    assert!(is_woken(&mut first));
    assert!(!is_woken(&mut second));
    assert_eq!(wakeups.parked(), 2);
}

#[tokio::test]
async fn a_warm_runner_is_woken_before_one_that_waited_longer() {
    let wakeups = Wakeups::default();
    let mut cold = wakeups.park(RunnerId(1), 0, &runner(""));
    let mut warm = wakeups.park(RunnerId(2), 0, &runner(""));
    let mut warmer = wakeups.park(RunnerId(3), 0, &runner("gpu"));
    let mut unfit = wakeups.park(
        RunnerId(4),
        0,
        &Capabilities {
            run_untagged: false,
            ..runner("gpu")
        },
    );
    let job = PendingKey {
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
async fn a_reserved_job_wakes_only_its_runner() {
    let wakeups = Wakeups::default();
    let mut other = wakeups.park(RunnerId(1), 0, &runner(""));
    let mut own = wakeups.park(RunnerId(2), 0, &runner(""));
    let job = PendingKey {
        warm: vec![RunnerId(2)],
        only_warm: true,
        ..pending("")
    };
    for _ in 0..2 {
        wakeups.wake(&job);
    }
    assert!(is_woken(&mut own));
    // Nor is another runner woken when that one is gone.
    drop(own);
    assert!(!is_woken(&mut other));
    assert_eq!(wakeups.parked(), 1);
}

#[tokio::test]
async fn a_dropped_poll_passes_its_wake_up_on() {
    let wakeups = Wakeups::default();
    // Before the poll noticed the wake-up, or before its runner looked.
    for noticed in [false, true] {
        let mut gone = wakeups.park(RunnerId(1), 0, &runner(""));
        let mut next = wakeups.park(RunnerId(2), 0, &runner(""));
        wakeups.wake(&pending(""));
        assert!(!noticed || is_woken(&mut gone));
        drop(gone);
        assert!(is_woken(&mut next));
        next.looked();
        assert_eq!(wakeups.parked(), 0);
    }
}

#[tokio::test]
async fn a_runner_that_looked_passes_no_wake_up_on() {
    let wakeups = Wakeups::default();
    let mut first = wakeups.park(RunnerId(1), 0, &runner(""));
    let mut second = wakeups.park(RunnerId(2), 0, &runner(""));
    wakeups.wake(&pending(""));
    assert!(is_woken(&mut first));
    first.looked();
    assert!(!is_woken(&mut second));
}

#[tokio::test]
async fn a_wake_up_is_passed_on_once() {
    let wakeups = Wakeups::default();
    let mut first = wakeups.park(RunnerId(1), 0, &runner(""));
    let mut second = wakeups.park(RunnerId(2), 0, &runner(""));
    let mut third = wakeups.park(RunnerId(3), 0, &runner(""));
    wakeups.wake(&pending(""));
    assert!(is_woken(&mut first));
    assert_eq!(first.woken_for(), Some(QueueKeyId(1)));
    first.pass_on();
    assert!(is_woken(&mut second));
    second.pass_on();
    assert!(!is_woken(&mut third));
}

#[tokio::test]
async fn all_polls_of_one_runner_can_be_woken() {
    let wakeups = Wakeups::default();
    let mut here = wakeups.park(RunnerId(1), 0, &runner("gpu"));
    let mut there = wakeups.park(RunnerId(1), 0, &runner(""));
    let mut other = wakeups.park(RunnerId(2), 0, &runner(""));
    wakeups.wake_runner(RunnerId(1));
    assert!(is_woken(&mut here) && is_woken(&mut there));
    drop((here, there));
    assert!(!is_woken(&mut other));
    assert_eq!(wakeups.parked(), 1);
}

#[tokio::test]
async fn polls_of_an_older_revision_of_their_runner_can_be_woken() {
    let wakeups = Wakeups::default();
    let mut older = wakeups.park(RunnerId(1), 1, &runner(""));
    let mut current = wakeups.park(RunnerId(2), 5, &runner(""));
    wakeups.wake_outdated(|runner, rev| runner == RunnerId(1) && rev < 2);
    assert!(is_woken(&mut older));
    assert!(!is_woken(&mut current));
}

#[tokio::test]
async fn a_watch_is_woken_by_its_job_and_leaves_no_entry_behind() {
    let wakeups = Wakeups::default();
    let mut watch = wakeups.watch(JobId(1));
    wakeups.touch(JobId(2));
    wakeups.touch(JobId(1));
    watch.changed().await;
    drop(watch);
    assert!(lock(&wakeups.inner.watched).is_empty());
}
