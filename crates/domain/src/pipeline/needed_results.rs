//! What a job uses of the jobs it needs: their images and their files. A job does not run without
//! them, because it would do something else than its definition says.

use crate::job::spec::JobSpec;
use crate::job::state::{JobState, Outcome};

/// A needed job and what it left.
#[derive(Clone, Copy, Debug)]
pub struct NeededResult<'a> {
    pub name: &'a str,
    pub state: JobState,
    pub spec: &'a JobSpec,
    pub image: LeftImage,
    /// Whether it left an archive that has not expired.
    pub has_files: bool,
}

/// The image that a job left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftImage {
    None,
    /// It is known by its digest alone and cannot be pulled.
    NotPushed,
    Pushed,
}

impl NeededResult<'_> {
    /// Whether the definition says that it leaves files after its result.
    fn promises_files(&self) -> bool {
        let succeeded = match self.state {
            JobState::Done(Outcome::Succeeded) => true,
            JobState::Done(Outcome::Failed(_)) => false,
            _ => return false,
        };
        let JobSpec::Script(script) = self.spec else {
            return false;
        };
        let rules = script.artifacts.as_ref();
        rules.is_some_and(|rules| rules.when.collects(succeeded))
    }
}

/// Explains to people what a job with this spec needs and does not have; `None` if nothing is
/// missing. A missing image that is only a cache does not count.
pub fn missing_result(spec: &JobSpec, needs: &[NeededResult<'_>]) -> Option<String> {
    let is_index = matches!(spec, JobSpec::ImageIndex(_));
    for name in spec.required_images() {
        let image = needs.iter().find(|need| need.name == name.as_str());
        match image.map_or(LeftImage::None, |need| need.image) {
            LeftImage::Pushed => {}
            // An index is created next to its images, whose digests are enough.
            LeftImage::NotPushed if is_index => {}
            LeftImage::NotPushed => {
                return Some(format!(
                    "it needs the image of job {name}, which was not pushed to a registry"
                ));
            }
            LeftImage::None => {
                return Some(format!(
                    "it needs the image of job {name}, which has no image"
                ));
            }
        }
    }
    if is_index {
        return None;
    }
    let mut needs = needs.iter();
    let without = needs.find(|need| need.promises_files() && !need.has_files)?;
    Some(format!(
        "it needs the files of job {}, which left none or whose files were deleted",
        without.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::state::FailureReason;

    fn spec(json: &str) -> JobSpec {
        serde_json::from_str(json).unwrap()
    }

    fn missing(
        of: &str,
        needed: &str,
        outcome: Outcome,
        image: LeftImage,
        has_files: bool,
    ) -> Option<String> {
        let need = NeededResult {
            name: "base",
            state: JobState::Done(outcome),
            spec: &spec(needed),
            image,
            has_files,
        };
        missing_result(&spec(of), &[need])
    }

    #[test]
    fn an_image_that_is_missing_is_named() {
        let build = r#"{"kind":"image_build"}"#;
        for of in [
            r#"{"kind":"image_build","image_args":{"BASE":"base"}}"#,
            r#"{"kind":"script","commands":["a"],"image_of":"base"}"#,
            r#"{"kind":"image_index","images_of":["base"]}"#,
        ] {
            let left = |image| missing(of, build, Outcome::Succeeded, image, false);
            assert_eq!(left(LeftImage::Pushed), None, "{of}");
            assert!(left(LeftImage::None).unwrap().contains("base"), "{of}");
            let is_index = of.contains("image_index");
            assert_eq!(left(LeftImage::NotPushed).is_none(), is_index, "{of}");
        }
        let cached = r#"{"kind":"image_build","cache_of":"base"}"#;
        let left = missing(cached, build, Outcome::Succeeded, LeftImage::None, false);
        assert_eq!(left, None);
    }

    #[test]
    fn files_that_are_missing_are_named() {
        let of = r#"{"kind":"image_build"}"#;
        let failed = Outcome::Failed(FailureReason::JobFailed);
        for (when, outcome, is_missing) in [
            ("on_success", Outcome::Succeeded, true),
            ("on_success", failed, false),
            ("on_failure", Outcome::Succeeded, false),
            ("on_failure", failed, true),
            ("always", failed, true),
            ("always", Outcome::Skipped, false),
        ] {
            let needed = format!(
                r#"{{"kind":"script","commands":["a"],"artifacts":{{"paths":["x"],"when":"{when}"}}}}"#
            );
            let left = |has_files| missing(of, &needed, outcome, LeftImage::None, has_files);
            assert_eq!(left(true), None);
            let found = left(false);
            assert_eq!(found.is_some(), is_missing, "{when} {outcome:?}");
            assert!(found.is_none_or(|text| text.contains("job base")));
        }
        let plain = r#"{"kind":"script","commands":["a"]}"#;
        let left = missing(of, plain, Outcome::Succeeded, LeftImage::None, false);
        assert_eq!(left, None);
    }
}
