//! The `matrix` of a job: one job for each combination of values.

use slipway_domain::names::check_line;
use slipway_domain::pipeline::MAX_JOBS;
use slipway_domain::spec::is_variable_name;

use crate::error::ParseError;
use crate::yaml::Node;

/// The names of a matrix with their values; empty for a job without a matrix.
#[derive(Default)]
pub(crate) struct Matrix(Vec<(String, Vec<String>)>);

/// One value for each name of a matrix.
pub(crate) type Combination = Vec<(String, String)>;

pub(crate) fn read(node: &Node) -> Result<Matrix, ParseError> {
    let mut axes = Vec::new();
    let mut jobs: usize = 1;
    for (key, values) in node.entries("`matrix`")? {
        let name = &key.text;
        if !is_variable_name(name) {
            return Err(key.position.error(format!(
                "invalid matrix name {name:?}; expected a name of A-Z a-z 0-9 _ that does not start \
                 with a digit"
            )));
        }
        let values = values.texts(&format!("`matrix.{name}`"), |item, text| {
            item.position.check(check_line("matrix value", text))?;
            Ok(text.to_owned())
        })?;
        // Checked while reading, before the combinations are built: their number is a product.
        jobs = jobs.saturating_mul(values.len());
        if jobs == 0 {
            let message = format!("`matrix.{name}` is empty; list at least one value");
            return Err(key.position.error(message));
        }
        if jobs > MAX_JOBS {
            return Err(key.position.error(format!(
                "too many jobs; a pipeline can have at most {MAX_JOBS}, and this matrix creates more"
            )));
        }
        axes.push((name.clone(), values));
    }
    if axes.is_empty() {
        let message = "`matrix` is empty; list at least one name with its values";
        return Err(node.position.error(message));
    }
    Ok(Matrix(axes))
}

impl Matrix {
    /// All combinations, where the values of the last name change fastest. Without a matrix there is
    /// a single empty combination.
    pub(crate) fn combinations(&self) -> Vec<Combination> {
        let start = vec![Combination::new()];
        self.0.iter().fold(start, |combinations, (name, values)| {
            let extend = |combination: Combination| {
                values.iter().map(move |value| {
                    let mut next = combination.clone();
                    next.push((name.clone(), value.clone()));
                    next
                })
            };
            combinations.into_iter().flat_map(extend).collect()
        })
    }
}

/// The name of the job for a combination: the job's name and the values, joined with dashes. A dash
/// also replaces each character that is not allowed in names.
pub(crate) fn name_of(job: &str, values: &Combination) -> String {
    let mut name = job.to_owned();
    for (_, value) in values {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        name.push('-');
        name.extend(value.chars().map(|c| if is_allowed(c) { c } else { '-' }));
    }
    name
}

/// The label of the job for a combination, which shows the values unchanged.
pub(crate) fn label_of(job: &str, values: &Combination) -> String {
    let pairs = values.iter().map(|(name, value)| format!("{name}={value}"));
    format!("{job} ({})", pairs.collect::<Vec<_>>().join(", "))
}
