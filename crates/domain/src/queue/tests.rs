use std::collections::BTreeMap;

use chrono::DateTime;

use super::features::FeatureSet;
use super::*;
use crate::ids::{JobId, ProjectId, QueueKeyId, RunnerId};
use crate::names::TagSet;

const OPEN: ProjectPolicy = ProjectPolicy {
    shared_runners: true,
    max_running: None,
    builds_enabled: true,
};

fn tags(list: &str) -> TagSet {
    TagSet::from_list(list).unwrap()
}

fn shared(list: &str) -> Capabilities {
    Capabilities {
        tags: tags(list),
        run_untagged: true,
        scope: RunnerScope::Shared,
        features: FeatureSet::default(),
    }
}

fn requirement(project: i64, list: &str) -> Requirement {
    Requirement {
        project: ProjectId(project),
        tags: tags(list),
        features: FeatureSet::default(),
    }
}

fn key_queue(project: i64, list: &str, policy: ProjectPolicy, jobs: &[(i64, i32)]) -> KeyQueue {
    KeyQueue {
        key: QueueKeyId(project),
        requirement: requirement(project, list),
        policy,
        jobs: jobs
            .iter()
            .map(|(job, priority)| Candidate {
                job: JobId(*job),
                priority: *priority,
                avoid: None,
                reserved: None,
            })
            .collect(),
    }
}

fn assign_all(
    queues: &mut [KeyQueue],
    running: &[(i64, u32)],
    runners: &[&Capabilities],
) -> Vec<Option<i64>> {
    let mut running = running
        .iter()
        .map(|(project, count)| (ProjectId(*project), *count))
        .collect();
    let claimants: Vec<(RunnerId, &Capabilities)> = runners
        .iter()
        .zip(1..)
        .map(|(runner, id)| (RunnerId(id), *runner))
        .collect();
    assign_jobs(queues, &mut running, &claimants, DateTime::UNIX_EPOCH)
        .into_iter()
        .map(|job| job.map(|job| job.0))
        .collect()
}

#[test]
fn tags_scope_and_policy_decide_which_runner_can_serve() {
    let untagged = requirement(1, "");
    let gpu = requirement(1, "gpu");
    assert!(shared("gpu,arm").can_serve(&gpu, OPEN));
    assert!(!shared("arm").can_serve(&gpu, OPEN));
    assert!(shared("").can_serve(&untagged, OPEN));
    let tagged_only = Capabilities {
        run_untagged: false,
        ..shared("gpu")
    };
    assert!(tagged_only.can_serve(&gpu, OPEN) && !tagged_only.can_serve(&untagged, OPEN));
    let closed = ProjectPolicy {
        shared_runners: false,
        ..OPEN
    };
    assert!(!shared("gpu").can_serve(&gpu, closed));
    let own = Capabilities {
        scope: RunnerScope::Projects([ProjectId(1)].into()),
        ..shared("gpu")
    };
    assert!(own.can_serve(&gpu, closed) && !own.can_serve(&requirement(2, "gpu"), OPEN));
}

#[test]
fn jobs_are_assigned_by_project_load_then_priority_then_age() {
    let any = shared("");
    let mut queues = [
        key_queue(1, "", OPEN, &[(1, 0), (2, 0)]),
        key_queue(2, "", OPEN, &[(9, 5), (3, 0)]),
    ];
    assert_eq!(
        assign_all(&mut queues, &[(1, 1)], &[&any; 5]),
        [Some(9), Some(1), Some(3), Some(2), None]
    );
    let mut level = [
        key_queue(1, "", OPEN, &[(4, 0)]),
        key_queue(2, "", OPEN, &[(7, 1)]),
        key_queue(3, "", OPEN, &[(2, 0)]),
    ];
    assert_eq!(
        assign_all(&mut level, &[], &[&any; 3]),
        [Some(7), Some(2), Some(4)]
    );
}

#[test]
fn a_project_at_its_limit_gets_no_further_job() {
    let any = shared("");
    let limited = ProjectPolicy {
        max_running: Some(1),
        builds_enabled: true,
        ..OPEN
    };
    let mut queues = [
        key_queue(1, "", limited, &[(1, 0), (2, 0)]),
        key_queue(2, "", OPEN, &[(3, 0)]),
    ];
    assert_eq!(
        assign_all(&mut queues, &[], &[&any; 3]),
        [Some(1), Some(3), None]
    );
}

#[test]
fn a_runner_does_not_get_the_job_it_lost_until_the_avoidance_ends() {
    let until = DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(60);
    let mut lost = key_queue(1, "", OPEN, &[(1, 0), (2, 0)]);
    lost.jobs[0].avoid = Some((RunnerId(1), until));
    let any = shared("");
    assert_eq!(
        assign_all(&mut [lost.clone()], &[], &[&any, &any]),
        [Some(2), Some(1)]
    );
    let claimant = [(RunnerId(1), &any)];
    assert_eq!(
        assign_jobs(&mut [lost], &mut BTreeMap::new(), &claimant, until),
        [Some(JobId(1))]
    );
}

#[test]
fn a_reserved_job_goes_only_to_its_runner_until_the_reservation_ends() {
    let until = DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(2);
    let mut reserved = key_queue(1, "", OPEN, &[(1, 0), (2, 0)]);
    reserved.jobs[0].reserved = Some((RunnerId(2), until));
    let any = shared("");
    // Another runner gets the job behind it; the runner it is reserved for gets it first.
    assert_eq!(
        assign_all(&mut [reserved.clone()], &[], &[&any; 3]),
        [Some(2), Some(1), None]
    );
    reserved.jobs.truncate(1);
    let other = [(RunnerId(1), &any)];
    let at = |now| assign_jobs(&mut [reserved.clone()], &mut BTreeMap::new(), &other, now);
    assert_eq!(at(until - chrono::TimeDelta::milliseconds(1)), [None]);
    assert_eq!(at(until), [Some(JobId(1))]);
}

#[test]
fn a_reservation_does_not_move_a_job_forward() {
    let until = DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(2);
    let mut reserved = key_queue(1, "", OPEN, &[(1, 5)]);
    reserved.jobs[0].reserved = Some((RunnerId(1), until));
    let any = shared("");
    let mut queues = [reserved, key_queue(2, "", OPEN, &[(2, 0)])];
    // The project with the lower load goes first, even for the runner with the reservation.
    assert_eq!(
        assign_all(&mut queues, &[(1, 1)], &[&any; 2]),
        [Some(2), None]
    );
}

fn available(capabilities: Capabilities) -> RunnerView {
    RunnerView {
        id: RunnerId(1),
        capabilities,
        paused: false,
        online: true,
        is_new: false,
        unready: None,
    }
}

#[test]
fn a_runner_that_failed_is_avoided_only_if_another_one_could_take_the_job() {
    let failed = available(shared("gpu"));
    let other = RunnerView {
        id: RunnerId(2),
        ..failed.clone()
    };
    let wanted = requirement(1, "gpu");
    let has_alternative = |other: RunnerView| {
        let runners = [failed.clone(), other];
        has_alternative(&wanted, OPEN, failed.id, &runners)
    };
    assert!(has_alternative(other.clone()));
    assert!(has_alternative(RunnerView {
        online: false,
        is_new: true,
        ..other.clone()
    }));
    assert!(!has_alternative(failed.clone()));
    for useless in [
        RunnerView {
            paused: true,
            ..other.clone()
        },
        RunnerView {
            online: false,
            ..other.clone()
        },
        RunnerView {
            unready: Some("no engine".to_owned()),
            ..other.clone()
        },
        RunnerView {
            capabilities: shared("arm"),
            ..other.clone()
        },
    ] {
        assert!(!has_alternative(useless.clone()), "{useless:?}");
    }
}

#[test]
fn each_pending_reason_has_its_own_case() {
    let view = available;
    let why = |wanted: &str, runners: &[RunnerView]| {
        explain_pending(&requirement(1, wanted), OPEN, 0, None, runners)
    };
    assert_eq!(why("", &[]), PendingReason::NoRunnerForProject);
    let missing = PendingReason::NoRunnerHasTags(vec!["gpu".to_owned()]);
    assert_eq!(
        why("arm,gpu", &[view(shared("")), view(shared("arm"))]),
        missing
    );
    let tagged_only = view(Capabilities {
        run_untagged: false,
        ..shared("x")
    });
    assert_eq!(
        why("", &[tagged_only]),
        PendingReason::NoRunnerTakesUntagged
    );
    let arm = "linux/arm64".parse().unwrap();
    let for_arm = Requirement {
        features: FeatureSet::default().with_platform(&arm),
        ..requirement(1, "")
    };
    let capable = Capabilities {
        features: for_arm.features.clone(),
        ..shared("")
    };
    assert!(capable.can_serve(&for_arm, OPEN) && !shared("").can_serve(&for_arm, OPEN));
    assert_eq!(
        Requirement::from_list(ProjectId(1), &for_arm.to_list()),
        Ok(for_arm.clone())
    );
    let reason = |runner| explain_pending(&for_arm, OPEN, 0, None, &[view(runner)]);
    let missing = vec!["images for linux/arm64".to_owned()];
    assert_eq!(
        reason(shared("")),
        PendingReason::NoRunnerHasFeatures(missing)
    );
    assert_eq!(reason(capable), PendingReason::AllBusy);
    let paused = RunnerView {
        paused: true,
        ..view(shared(""))
    };
    assert_eq!(
        why("", std::slice::from_ref(&paused)),
        PendingReason::AllPaused
    );
    let offline = RunnerView {
        online: false,
        ..view(shared(""))
    };
    let unready = RunnerView {
        id: RunnerId(3),
        unready: Some("no engine".to_owned()),
        ..view(shared(""))
    };
    let none_ready = PendingReason::NoneReady {
        runner: RunnerId(3),
        why: "no engine".to_owned(),
    };
    let runners = [paused.clone(), offline.clone(), unready.clone()];
    assert_eq!(why("", &runners), none_ready);
    assert_eq!(
        why("", &[unready, view(shared(""))]),
        PendingReason::AllBusy
    );
    assert_eq!(why("", &[paused, offline]), PendingReason::AllOffline);
    assert_eq!(why("", &[view(shared(""))]), PendingReason::AllBusy);
    let limited = ProjectPolicy {
        max_running: Some(2),
        builds_enabled: true,
        ..OPEN
    };
    let runner = RunnerId(7);
    let until = DateTime::UNIX_EPOCH;
    let reason_at = |running| {
        let runners = [view(shared(""))];
        explain_pending(
            &requirement(1, ""),
            limited,
            running,
            Some((runner, until)),
            &runners,
        )
    };
    assert_eq!(reason_at(2), PendingReason::ProjectAtLimit(2));
    assert_eq!(reason_at(1), PendingReason::Reserved { runner, until });
}
