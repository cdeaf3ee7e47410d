//! Measures the time that the farm adds to `docker build && docker push` of the same files with the
//! same engine and registry: from the `POST` until the build has succeeded, compared with the time of
//! the two commands.

mod fixture;

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use self::fixture::Fixture;
use crate::steps::{cargo, run as run_command};

/// Measurements of each kind. Farm and command line alternate in going first.
const ROUNDS: usize = 3;

/// An image to build.
#[derive(Clone, Copy, Debug)]
struct Shape {
    name: &'static str,
    layers: usize,
    /// The size of each layer that a step fills with random bytes, in MiB.
    layer_mib: usize,
}

const SHAPES: [Shape; 2] = [
    Shape {
        name: "small",
        layers: 3,
        layer_mib: 0,
    },
    Shape {
        name: "large",
        layers: 30,
        layer_mib: 18,
    },
];

impl Shape {
    /// The Dockerfile. The second layer changes in each round, and with it all layers above.
    fn dockerfile(self) -> String {
        let mut text = "FROM scratch\nCOPY busybox /bin/sh\nCOPY round /round\n".to_owned();
        for layer in 3..=self.layers {
            text += &match self.layer_mib {
                0 => format!("RUN echo {layer} >/layer{layer}\n"),
                mib => format!("RUN dd if=/dev/urandom of=/layer{layer} bs=1M count={mib}\n"),
            };
        }
        text
    }
}

/// Measured times of one image, in seconds.
#[derive(Debug, Default)]
struct Times {
    farm: Vec<f64>,
    hand: Vec<f64>,
}

/// Runs the benchmark and prints the results.
pub(super) async fn run() -> Result<()> {
    let programs = ["slipway-coordinator", "slipway-runner"];
    let mut build = vec!["build", "--release", "--bins"];
    build.extend(programs.iter().flat_map(|name| ["--package", name]));
    run_command(cargo(&build))
        .await
        .context("could not compile the programs")?;
    let fixture = Fixture::start().await?;
    println!(
        "{:<7}{:<8}{:>10}{:>10}{:>8}{:>9}",
        "image", "cache", "farm", "hand", "ratio", "more"
    );
    for shape in SHAPES {
        let (mut cold, mut cached) = (Times::default(), Times::default());
        for round in 0..ROUNDS {
            for turn in 0..2 {
                let is_farm = (round + turn) % 2 == 0;
                // New text, so that no cache has this layer.
                let text = format!("{} {round} {turn} {:?}", shape.name, Instant::now());
                let sha = fixture.commit(&shape.dockerfile(), &text).await?;
                for times in [&mut cold, &mut cached] {
                    if is_farm {
                        let took = fixture.build_with_farm(&sha).await?;
                        times.farm.push(took.as_secs_f64());
                    } else {
                        let took = fixture.build_with_docker().await?;
                        times.hand.push(took.as_secs_f64());
                    }
                }
            }
        }
        show(shape, "cold", cold)?;
        show(shape, "cached", cached)?;
    }
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load: Vec<&str> = load.split(' ').take(3).collect();
    println!("medians of {ROUNDS}; load average {}", load.join(" "));
    Ok(())
}

fn show(shape: Shape, cache: &str, times: Times) -> Result<()> {
    let every = format!("farm {:.2?}, hand {:.2?}", times.farm, times.hand);
    let (farm, hand) = (median(times.farm)?, median(times.hand)?);
    println!(
        "{:<7}{cache:<8}{farm:>8.2} s{hand:>8.2} s{:>8.2}{:>7.2} s   {every}",
        shape.name,
        farm / hand,
        farm - hand
    );
    Ok(())
}

fn median(mut times: Vec<f64>) -> Result<f64> {
    ensure!(!times.is_empty(), "there are no measurements");
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
