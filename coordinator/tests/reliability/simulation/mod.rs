//! A simulation: runners and a person send requests to a farm through a network that loses, delays and
//! repeats messages and is cut, while the coordinator crashes and the clock moves on.
//!
//! A seed determines every decision. One request is carried out at a time, so that the order of events is
//! the seed's alone. `docs/reliability.md#simulation` says what is simulated, and what is not.

mod network;
mod random;
mod verify;
mod workers;

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use slipway_testkit::{Backend, TestFarm};

use self::network::{Counts, Network};
use self::random::Random;
use self::verify::verify;
use self::workers::{Person, Worker};
use crate::client::register;

/// Runners of a simulation.
const RUNNERS: u32 = 3;
/// Steps with faults. In each, one client sends one request.
const STEPS: usize = 150;
/// Steps without faults, in which all builds must end.
const MAX_CALM_STEPS: usize = 600;
/// Seeds of a normal test run.
const SEEDS: u64 = 2;

/// A seed to run alone.
const SEED_VARIABLE: &str = "SLIPWAY_SIMULATION_SEED";
/// How many seeds are run, from 0 on.
const SEEDS_VARIABLE: &str = "SLIPWAY_SIMULATION_SEEDS";

#[tokio::test]
async fn no_seed_loses_or_repeats_what_was_acknowledged_on_sqlite() {
    run_seeds(Backend::Sqlite, SEEDS).await;
}

mod postgres {
    use super::*;

    #[tokio::test]
    async fn no_seed_loses_or_repeats_what_was_acknowledged() {
        run_seeds(Backend::Postgres, SEEDS / 2).await;
    }
}

fn number_in(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number: {text}")),
    )
}

#[expect(
    clippy::print_stderr,
    reason = "the seed that failed, and what was simulated"
)]
async fn run_seeds(backend: Backend, normally: u64) {
    let single = number_in(SEED_VARIABLE);
    let seeds = match single {
        Some(seed) => seed..seed + 1,
        None => 0..number_in(SEEDS_VARIABLE).unwrap_or(normally),
    };
    let mut total = Counts::default();
    for seed in seeds {
        let run = AssertUnwindSafe(run_seed(backend, seed)).catch_unwind();
        match run.await {
            Ok(counts) => total.add(&counts),
            Err(panic) => {
                eprintln!("The seed that failed: {SEED_VARIABLE}={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    eprintln!("{backend:?}: {total:?}");
    // A simulation in which nothing goes wrong shows nothing.
    let is_enough = total.crashes > 0 && total.lost_answers > 0 && total.delayed > 0;
    assert!(single.is_some() || is_enough, "{total:?}");
}

async fn run_seed(backend: Backend, seed: u64) -> Counts {
    let farm = TestFarm::start(backend).await;
    farm.project("acme/api").await;
    let mut workers = Vec::new();
    for number in 1..=RUNNERS {
        workers.push(Worker::new(number, register(&farm).await));
    }
    let mut person = Person::default();
    let mut network = Network::new(farm, Random::new(seed));
    for _ in 0..STEPS {
        network.next_step().await;
        let chosen = network.random.below(workers.len() + 1);
        match workers.get_mut(chosen) {
            Some(worker) => worker.step(&mut network).await,
            None => person.step(&mut network).await,
        }
    }
    network.calm_down().await;
    for _ in 0..MAX_CALM_STEPS {
        network.next_step().await;
        let chosen = network.random.below(workers.len());
        workers[chosen].step(&mut network).await;
        if workers.iter().all(Worker::is_idle) && person.all_ended(&mut network).await {
            break;
        }
    }
    let sent = workers.into_iter().flat_map(|worker| worker.sent).collect();
    verify(&mut network, &person, sent).await;
    network.counts
}
