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
        abilities: FeatureSet::default(),
    }
}

fn requirement(project: i64, list: &str) -> Requirement {
    Requirement {
        project: ProjectId(project),
        tags: tags(list),
        abilities: FeatureSet::default(),
    }
}

fn line(project: i64, list: &str, policy: ProjectPolicy, jobs: &[(i64, i32)]) -> Line {
    Line {
        key: QueueKeyId(project),
        requirement: requirement(project, list),
        policy,
        jobs: jobs
            .iter()
            .map(|(job, priority)| Candidate {
                job: JobId(*job),
                priority: *priority,
                avoid: None,
                kept: None,
            })
            .collect(),
    }
}

fn deal_all(
    lines: &mut [Line],
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
    deal(lines, &mut running, &claimants, DateTime::UNIX_EPOCH)
        .into_iter()
        .map(|job| job.map(|job| job.0))
        .collect()
}

#[test]
fn tags_scope_and_policy_decide_who_can_serve() {
    let untagged = requirement(1, "");
    let gpu = requirement(1, "gpu");
    assert!(shared("gpu,arm").can_serve(&gpu, OPEN));
    assert!(!shared("arm").can_serve(&gpu, OPEN));
    assert!(shared("").can_serve(&untagged, OPEN));
    let picky = Capabilities {
        run_untagged: false,
        ..shared("gpu")
    };
    assert!(picky.can_serve(&gpu, OPEN) && !picky.can_serve(&untagged, OPEN));
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
fn the_project_that_runs_least_goes_first_then_priority_then_age() {
    let any = shared("");
    let mut lines = [
        line(1, "", OPEN, &[(1, 0), (2, 0)]),
        line(2, "", OPEN, &[(9, 5), (3, 0)]),
    ];
    assert_eq!(
        deal_all(&mut lines, &[(1, 1)], &[&any; 5]),
        [Some(9), Some(1), Some(3), Some(2), None]
    );
    let mut level = [
        line(1, "", OPEN, &[(4, 0)]),
        line(2, "", OPEN, &[(7, 1)]),
        line(3, "", OPEN, &[(2, 0)]),
    ];
    assert_eq!(
        deal_all(&mut level, &[], &[&any; 3]),
        [Some(7), Some(2), Some(4)]
    );
}

#[test]
fn a_project_at_its_limit_is_passed_over() {
    let any = shared("");
    let limited = ProjectPolicy {
        max_running: Some(1),
        builds_enabled: true,
        ..OPEN
    };
    let mut lines = [
        line(1, "", limited, &[(1, 0), (2, 0)]),
        line(2, "", OPEN, &[(3, 0)]),
    ];
    assert_eq!(
        deal_all(&mut lines, &[], &[&any; 3]),
        [Some(1), Some(3), None]
    );
}

#[test]
fn the_runner_that_lost_the_last_attempt_is_passed_over_for_a_while() {
    let until = DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(60);
    let mut lost = line(1, "", OPEN, &[(1, 0), (2, 0)]);
    lost.jobs[0].avoid = Some((RunnerId(1), until));
    let any = shared("");
    assert_eq!(
        deal_all(&mut [lost.clone()], &[], &[&any, &any]),
        [Some(2), Some(1)]
    );
    let claimant = [(RunnerId(1), &any)];
    assert_eq!(
        deal(&mut [lost], &mut BTreeMap::new(), &claimant, until),
        [Some(JobId(1))]
    );
}

#[test]
fn a_kept_job_is_for_its_runner_alone_until_its_time_is_over() {
    let until = DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(2);
    let mut kept = line(1, "", OPEN, &[(1, 0), (2, 0)]);
    kept.jobs[0].kept = Some((RunnerId(2), until));
    let any = shared("");
    // Another one gets what stands behind it; its own has it at once.
    assert_eq!(
        deal_all(&mut [kept.clone()], &[], &[&any; 3]),
        [Some(2), Some(1), None]
    );
    kept.jobs.truncate(1);
    let other = [(RunnerId(1), &any)];
    let at = |now| deal(&mut [kept.clone()], &mut BTreeMap::new(), &other, now);
    assert_eq!(at(until - chrono::TimeDelta::milliseconds(1)), [None]);
    assert_eq!(at(until), [Some(JobId(1))]);
}

#[test]
fn a_kept_job_goes_no_sooner_than_it_would_without() {
    let until = DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(2);
    let mut kept = line(1, "", OPEN, &[(1, 5)]);
    kept.jobs[0].kept = Some((RunnerId(1), until));
    let any = shared("");
    let mut lines = [kept, line(2, "", OPEN, &[(2, 0)])];
    // The project that runs less goes first, also with the runner that the job is kept for.
    assert_eq!(deal_all(&mut lines, &[(1, 1)], &[&any; 2]), [Some(2), None]);
}

#[test]
fn each_reason_to_wait_is_told_apart() {
    let view = |capabilities: Capabilities| RunnerView {
        capabilities,
        paused: false,
        online: true,
    };
    let why = |wanted: &str, runners: &[RunnerView]| {
        explain_pending(&requirement(1, wanted), OPEN, 0, None, runners)
    };
    assert_eq!(why("", &[]), PendingReason::NoRunnerForProject);
    let missing = PendingReason::NoRunnerHasTags(vec!["gpu".to_owned()]);
    assert_eq!(
        why("arm,gpu", &[view(shared("")), view(shared("arm"))]),
        missing
    );
    let picky = view(Capabilities {
        run_untagged: false,
        ..shared("x")
    });
    assert_eq!(why("", &[picky]), PendingReason::NoRunnerTakesUntagged);
    let arm = "linux/arm64".parse().unwrap();
    let for_arm = Requirement {
        abilities: FeatureSet::default().with_platform(&arm),
        ..requirement(1, "")
    };
    let capable = Capabilities {
        abilities: for_arm.abilities.clone(),
        ..shared("")
    };
    assert!(capable.can_serve(&for_arm, OPEN) && !shared("").can_serve(&for_arm, OPEN));
    assert_eq!(
        Requirement::from_list(ProjectId(1), &for_arm.to_list()),
        Ok(for_arm.clone())
    );
    let told = |runner| explain_pending(&for_arm, OPEN, 0, None, &[view(runner)]);
    let missing = vec!["images for linux/arm64".to_owned()];
    assert_eq!(
        told(shared("")),
        PendingReason::NoRunnerHasFeatures(missing)
    );
    assert_eq!(told(capable), PendingReason::AllBusy);
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
    assert_eq!(why("", &[paused, offline]), PendingReason::AllOffline);
    assert_eq!(why("", &[view(shared(""))]), PendingReason::AllBusy);
    let limited = ProjectPolicy {
        max_running: Some(2),
        builds_enabled: true,
        ..OPEN
    };
    let runner = RunnerId(7);
    let until = DateTime::UNIX_EPOCH;
    let kept = |running| {
        let runners = [view(shared(""))];
        explain_pending(
            &requirement(1, ""),
            limited,
            running,
            Some((runner, until)),
            &runners,
        )
    };
    assert_eq!(kept(2), PendingReason::ProjectAtLimit(2));
    assert_eq!(kept(1), PendingReason::Kept { runner, until });
}
