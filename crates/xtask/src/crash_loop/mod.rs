//! `cargo xtask crash-loop`: kills the programs of a farm while it builds, and checks afterwards that
//! nothing is lost that was acknowledged.
//!
//! The farm is a coordinator, a runner process with the scripted executor, and runners that record
//! what they send and what is acknowledged. At the end every trace and archive is compared byte for
//! byte, and the history of claims, reports, cancels and reads is checked (`crates/history`).

mod compare;
mod ledger;
mod load;
mod runner;

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::future::try_join_all;
use slipway_history::{Action, Answer};

use self::compare::{Compared, compare, until_all_ended};
use self::ledger::Ledger;
use self::load::{create_builds, create_projects, watch_builds};
use self::runner::RecordedRunner;
use crate::steps::{cargo, run as run_command};
use crate::trials::farm::{Database, Farm};
use crate::trials::http::Http;
use crate::trials::proxy::Link;
use crate::trials::random::Random;

/// Runners that record. The first half of them is behind the proxy.
const RECORDED: u32 = 4;
/// Variables of the coordinator: silent jobs are lost soon, so that this happens often.
const VARIABLES: &[(&str, &str)] = &[
    ("SLIPWAY_LEASE_S", "3"),
    ("SLIPWAY_STOCK_LEASE_S", "3"),
    ("SLIPWAY_GRACE_S", "1"),
];
/// Rounds of the short form, on each database.
const SHORT_ROUNDS: u32 = 6;

/// Options of the crash loop.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The number of faults on each database.
    #[arg(long, default_value_t = 200)]
    rounds: u32,
    /// The database; both, one after the other, by default.
    #[arg(long)]
    database: Option<Database>,
    /// Determines the faults, and what clients do. The time of the machine by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Uses the programs in the target directory as they are.
    #[arg(long)]
    no_build: bool,
}

/// The faults of a run, by kind.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    coordinator: u32,
    runner: u32,
    postgres: u32,
    partitions: u32,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    if !args.no_build {
        let packages = ["--package=slipway-coordinator", "--package=slipway-runner"];
        let build = [["build", "--bins"], packages].concat();
        run_command(cargo(&build))
            .await
            .context("could not compile the programs")?;
    }
    let seed = args.seed.unwrap_or_else(time);
    let databases = args.database.map_or_else(
        || vec![Database::Sqlite, Database::Postgres],
        |one| vec![one],
    );
    for database in databases {
        on_database(database, args.rounds, seed).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a few rounds on each database with programs that are compiled already; returns the number of
/// databases.
pub(crate) async fn short(with_postgres: bool) -> Result<u64> {
    let seed = time();
    on_database(Database::Sqlite, SHORT_ROUNDS, seed).await?;
    if !with_postgres {
        return Ok(1);
    }
    on_database(Database::Postgres, SHORT_ROUNDS, seed).await?;
    Ok(2)
}

fn time() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// # Errors
/// If something acknowledged is lost, or the farm does not come back.
async fn on_database(database: Database, rounds: u32, seed: u64) -> Result<()> {
    let name = match database {
        Database::Sqlite => "SQLite",
        Database::Postgres => "PostgreSQL",
    };
    println!("{name}: {rounds} rounds with seed {seed}");
    let start = Instant::now();
    let mut farm = Farm::start(database, VARIABLES).await?;
    let ledger = Ledger::default();
    let result = rounds_of(&mut farm, &ledger, database, rounds, seed).await;
    let problems = ledger.problems.borrow().len();
    match result {
        Ok((faults, compared)) if problems == 0 => {
            summarize(name, &ledger, faults, compared, start.elapsed());
            Ok(())
        }
        result => {
            let kept = farm.keep();
            result.with_context(|| format!("{name}, seed {seed}: see {}", kept.display()))?;
            bail!(
                "{name}, seed {seed}: {problems} problems, see above and {}",
                kept.display()
            );
        }
    }
}

async fn rounds_of(
    farm: &mut Farm,
    ledger: &Ledger,
    database: Database,
    rounds: u32,
    seed: u64,
) -> Result<(Faults, Compared)> {
    let token = farm.secret("admin-token")?;
    let direct = Http::new(&farm.url(), &token)?;
    let through_proxy = Http::new(&farm.proxy.url(), &token)?;
    create_projects(&direct).await?;
    farm.start_runner().await?;
    let registration = farm.secret("registration-token")?;
    let mut recorded = Vec::new();
    for number in 1..=RECORDED {
        let http = if number % 2 == 0 {
            &direct
        } else {
            &through_proxy
        };
        let random = Random::new(seed, u64::from(number));
        let runner = RecordedRunner::register(number, &registration, http, ledger, random);
        recorded.push(runner.await?);
    }
    let people = async {
        tokio::try_join!(
            create_builds(&direct, ledger, Random::new(seed, 100)),
            watch_builds(&direct, ledger, Random::new(seed, 101)),
            watch_builds(&through_proxy, ledger, Random::new(seed, 102)),
            try_join_all(recorded.into_iter().map(RecordedRunner::work)),
        )
    };
    let faults = async {
        let faults = inject(farm, database, rounds, seed).await?;
        ledger.draining.set(true);
        until_all_ended(&direct, ledger).await?;
        ledger.ending.set(true);
        Ok(faults)
    };
    let (faults, _) = tokio::try_join!(faults, people)?;
    let compared = compare(&direct, ledger).await?;
    ensure!(compared.traces > 0, "no trace was compared");
    Ok((faults, compared))
}

/// Injects one fault in each round, after a random time.
async fn inject(farm: &mut Farm, database: Database, rounds: u32, seed: u64) -> Result<Faults> {
    let mut random = Random::new(seed, 0);
    let mut faults = Faults::default();
    for round in 1..=rounds {
        tokio::time::sleep(random.pause(200, 800)).await;
        let pause = random.pause(0, 400);
        let kinds = if database == Database::Postgres {
            10
        } else {
            7
        };
        match random.below(kinds) {
            0..=3 => {
                faults.coordinator += 1;
                farm.crash_coordinator().await
            }
            4 => {
                faults.runner += 1;
                farm.crash_runner().await
            }
            5 => {
                faults.partitions += 1;
                farm.partition(Link::Silent, pause).await;
                Ok(())
            }
            6 => {
                faults.partitions += 1;
                farm.partition(Link::Cut, pause).await;
                Ok(())
            }
            _ => {
                faults.postgres += 1;
                farm.crash_postgres(pause).await
            }
        }
        .with_context(|| format!("round {round}"))?;
        farm.check().with_context(|| format!("round {round}"))?;
    }
    Ok(faults)
}

fn summarize(name: &str, ledger: &Ledger, faults: Faults, compared: Compared, took: Duration) {
    let events = ledger.history.events();
    let count = |is_counted: fn(Action) -> bool| {
        let counted = events.iter().filter(|event| is_counted(event.action));
        counted.count()
    };
    let Faults {
        coordinator,
        runner,
        postgres,
        partitions,
    } = faults;
    println!(
        "{name}: killed the coordinator {coordinator}, a runner {runner} and PostgreSQL {postgres} \
         times, {partitions} partitions, in {:.0} s",
        took.as_secs_f64()
    );
    println!(
        "{name}: {} builds, {} claims, {} acknowledged results and {} acknowledged cancels of \
         runners that record",
        ledger.builds.borrow().len(),
        count(|action| action == Action::Claim),
        count(|action| matches!(action, Action::Finish(_, Answer::Accepted))),
        count(|action| action == Action::Cancel(Answer::Accepted)),
    );
    println!(
        "{name}: {} traces ({} bytes) and {} archives are what was sent; {} events have no violation; \
         nothing acknowledged was lost",
        compared.traces, compared.trace_bytes, compared.archives, compared.events
    );
}
