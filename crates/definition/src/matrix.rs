//! A matrix: one job for each combination of values.

use slipway_domain::names::check_line;
use slipway_domain::pipeline::MAX_JOBS;
use slipway_domain::spec::is_variable_name;

use crate::fault::Fault;
use crate::node::Node;

/// The names of a matrix with their values; none for a job that is a single one.
#[derive(Default)]
pub(crate) struct Matrix(Vec<(String, Vec<String>)>);

/// One value for each name.
pub(crate) type Combination = Vec<(String, String)>;

/// Reads a matrix.
pub(crate) fn read(node: &Node) -> Result<Matrix, Fault> {
    let mut axes = Vec::new();
    let mut jobs: usize = 1;
    for (key, values) in node.entries("`matrix`")? {
        if !is_variable_name(&key.text) {
            let why = format!(
                "the matrix name {:?} is not valid: expected a name of A-Z a-z 0-9 _ that does not begin with a digit",
                key.text
            );
            return Err(key.place.fault(why));
        }
        let what = "each name of a matrix";
        let values = values.texts(what, |item, text| {
            item.place.check(check_line("matrix value", text))?;
            Ok(text.to_owned())
        })?;
        jobs = jobs.saturating_mul(values.len());
        if jobs == 0 {
            return Err(key.place.fault("a matrix has a value for each name"));
        }
        if jobs > MAX_JOBS {
            let why = format!("a pipeline has at most {MAX_JOBS} jobs, and this matrix makes more");
            return Err(key.place.fault(why));
        }
        axes.push((key.text.clone(), values));
    }
    match axes.is_empty() {
        true => Err(node.place.fault("a matrix has at least one name")),
        false => Ok(Matrix(axes)),
    }
}

impl Matrix {
    /// Every combination, the last name's values changing first; a single empty one when there is
    /// no matrix.
    pub(crate) fn combinations(&self) -> Vec<Combination> {
        let start = vec![Combination::new()];
        self.0.iter().fold(start, |made, (name, values)| {
            let with = |before: Combination| {
                values.iter().map(move |value| {
                    let mut next = before.clone();
                    next.push((name.clone(), value.clone()));
                    next
                })
            };
            made.into_iter().flat_map(with).collect()
        })
    }
}

/// What the job of a combination is called: the job's name and the values, with a dash for what a
/// name cannot have.
pub(crate) fn name_of(job: &str, values: &Combination) -> String {
    let mut name = job.to_owned();
    for (_, value) in values {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        name.push('-');
        name.extend(value.chars().map(|c| if fits(c) { c } else { '-' }));
    }
    name
}

/// What people are shown for it.
pub(crate) fn label_of(job: &str, values: &Combination) -> String {
    let told = values.iter().map(|(name, value)| format!("{name}={value}"));
    format!("{job} ({})", told.collect::<Vec<_>>().join(", "))
}
