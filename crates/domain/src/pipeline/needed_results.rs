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
    pub files: LeftFiles,
}

/// The files that a job left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftFiles {
    None,
    /// They were erased, or have expired.
    Deleted,
    Stored,
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
    /// Explains to people which files are missing.
    fn missing_files(&self) -> Option<String> {
        let succeeded = match self.state {
            JobState::Done(Outcome::Succeeded) => true,
            JobState::Done(Outcome::Failed(_)) => false,
            _ => return None,
        };
        let JobSpec::Script(script) = self.spec else {
            return None;
        };
        let rules = script.artifacts.as_ref()?;
        if !rules.when.collects(succeeded) {
            return None;
        }
        let name = self.name;
        match self.files {
            LeftFiles::Stored => None,
            LeftFiles::Deleted => Some(format!(
                "it needs the files of job {name}, which were erased or have expired"
            )),
            // Wildcards may match nothing.
            LeftFiles::None if !rules.names_a_file() => None,
            LeftFiles::None => Some(format!("it needs the files of job {name}, which left none")),
        }
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
    needs.iter().find_map(NeededResult::missing_files)
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
        files: LeftFiles,
    ) -> Option<String> {
        let need = NeededResult {
            name: "base",
            state: JobState::Done(outcome),
            spec: &spec(needed),
            image,
            files,
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
            let left = |image| missing(of, build, Outcome::Succeeded, image, LeftFiles::None);
            assert_eq!(left(LeftImage::Pushed), None, "{of}");
            assert!(left(LeftImage::None).unwrap().contains("base"), "{of}");
            let is_index = of.contains("image_index");
            assert_eq!(left(LeftImage::NotPushed).is_none(), is_index, "{of}");
        }
        let cached = r#"{"kind":"image_build","cache_of":"base"}"#;
        let outcome = Outcome::Succeeded;
        let left = missing(cached, build, outcome, LeftImage::None, LeftFiles::None);
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
            let left = |files| missing(of, &needed, outcome, LeftImage::None, files);
            assert_eq!(left(LeftFiles::Stored), None);
            for files in [LeftFiles::None, LeftFiles::Deleted] {
                let found = left(files);
                assert_eq!(found.is_some(), is_missing, "{when} {outcome:?} {files:?}");
                assert!(found.is_none_or(|text| text.contains("job base")));
            }
        }
        let plain = r#"{"kind":"script","commands":["a"]}"#;
        let outcome = Outcome::Succeeded;
        let left = missing(of, plain, outcome, LeftImage::None, LeftFiles::None);
        assert_eq!(left, None);
    }

    #[test]
    fn wildcards_that_matched_nothing_are_not_missing() {
        let of = r#"{"kind":"image_build"}"#;
        for (paths, is_missing) in [
            (r#""report*""#, false),
            (r#""a/**", "b?""#, false),
            (r#""report*", "app""#, true),
        ] {
            let needed = format!(
                r#"{{"kind":"script","commands":["a"],"artifacts":{{"paths":[{paths}]}}}}"#
            );
            let left = |files| missing(of, &needed, Outcome::Succeeded, LeftImage::None, files);
            assert_eq!(left(LeftFiles::None).is_some(), is_missing, "{paths}");
            assert!(left(LeftFiles::Deleted).is_some(), "{paths}");
        }
    }
}
