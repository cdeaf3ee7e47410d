//! Variables of one build: passed to its trigger, sealed with the build, passed on to its jobs.

use std::collections::BTreeMap;

use slipway_domain::BuildUuid;
use slipway_store::builds::Build;

use crate::crypto::seal::UnsealError;
use crate::error::FarmError;
use crate::farm::Farm;
use crate::projects::secret_checks::{check_key, check_value};
use crate::projects::secrets::PlainVariable;

/// How many variables a build may have.
const MAX_COUNT: usize = 100;
/// How long all names and values may be together, in bytes.
const MAX_TOTAL: usize = 128 * 1024;
/// The variable that tells a job that a trigger started its build.
const TRIGGERED: &str = "CI_BUILD_TRIGGERED";

/// Checked variables of one build. They have no `Debug`, so that they cannot be logged.
#[derive(Clone, Default)]
pub struct BuildVariables(BTreeMap<String, String>);

impl BuildVariables {
    /// Checks variables by name.
    ///
    /// # Errors
    /// `Invalid` for invalid names, and for too many or too long variables.
    pub fn new(variables: BTreeMap<String, String>) -> Result<Self, FarmError> {
        if variables.len() > MAX_COUNT {
            let why = format!("a build can have at most {MAX_COUNT} variables");
            return Err(FarmError::Invalid(why));
        }
        for (key, value) in &variables {
            check_key(key)?;
            check_value("value", value)?;
        }
        let total: usize = variables.iter().map(|(k, v)| k.len() + v.len()).sum();
        if total > MAX_TOTAL {
            let why =
                format!("the variables of a build can have at most {MAX_TOTAL} bytes in total");
            return Err(FarmError::Invalid(why));
        }
        Ok(Self(variables))
    }

    /// The variables by name.
    pub fn expose(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

fn context(build: BuildUuid) -> String {
    format!("build:{build}")
}

impl Farm {
    /// The variables of a new build in the form in which they are stored.
    pub(crate) fn sealed_variables(
        &self,
        uuid: BuildUuid,
        variables: &BuildVariables,
    ) -> Option<String> {
        if variables.0.is_empty() {
            return None;
        }
        let plain = serde_json::json!(variables.0).to_string();
        let nonce = self.inner.chance.bytes();
        Some(self.inner.seal.seal(&context(uuid), &plain, nonce))
    }

    /// The variables that the jobs of a build get besides those of the project.
    pub(crate) fn variables_of_build(
        &self,
        build: &Build,
    ) -> Result<Vec<PlainVariable>, FarmError> {
        let variable = |key, value, public| PlainVariable {
            key,
            value,
            public,
            file: false,
        };
        let mut list = Vec::new();
        if build.trigger.is_some() {
            list.push(variable(TRIGGERED.to_owned(), "true".to_owned(), true));
        }
        if let Some(sealed) = &build.variables {
            let plain = self.inner.seal.open(&context(build.uuid), sealed)?;
            let own: BTreeMap<String, String> =
                serde_json::from_str(&plain).map_err(|_| UnsealError)?;
            list.extend(
                own.into_iter()
                    .map(|(key, value)| variable(key, value, false)),
            );
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, usize)]) -> Result<BuildVariables, FarmError> {
        let pairs = pairs.iter();
        BuildVariables::new(
            pairs
                .map(|(key, length)| ((*key).to_owned(), "v".repeat(*length)))
                .collect(),
        )
    }

    #[test]
    fn invalid_names_and_exceeded_limits_are_refused() {
        assert!(check(&[]).is_ok());
        assert!(check(&[("A", 0), ("_b1", 65536)]).is_ok());
        for bad in ["", "1A", "A-B", "A B"] {
            assert!(check(&[(bad, 1)]).is_err(), "{bad}");
        }
        assert!(check(&[("A", 65537)]).is_err());
        assert!(check(&[("A", 65536), ("B", 65536)]).is_err());
        let many: Vec<String> = (0..=MAX_COUNT).map(|n| format!("V{n}")).collect();
        let many: Vec<(&str, usize)> = many.iter().map(|key| (key.as_str(), 1)).collect();
        assert!(check(&many).is_err());
        assert!(check(&many[1..]).is_ok());
    }

    #[test]
    fn an_error_does_not_repeat_the_value() {
        let secret = BTreeMap::from([("A".to_owned(), "hunter2\0".to_owned())]);
        let error = BuildVariables::new(secret).err().map(|e| e.to_string());
        assert!(error.is_some_and(|text| !text.contains("hunter2")));
    }
}
