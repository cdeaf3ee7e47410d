//! Expanding image builds for several platforms: one job per platform and one for the image index.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::image::platform::Platform;
use crate::image::{MAX_TAG, Repository};
use crate::job::spec::{ImageBuild, ImageIndex, JobSpec};
use crate::names::Name;
use crate::pipeline::definition::{Definition, DefinitionError, JobDefinition};
use crate::pipeline::needs::When;

/// The maximum length of a job name, and of the platform suffix in it, in bytes.
const MAX_NAME: usize = 100;
const MAX_SUFFIX: usize = 60;

/// Replaces each image build for several platforms with one job per platform, followed by a job with
/// the original name that pushes an index of their images.
///
/// Because the index job has the original name, jobs that need it or use its image need no change.
///
/// # Errors
/// `IndexWithoutRepository` if such a job has no repository. An index can only refer to pushed images.
pub fn expand(definition: Definition) -> Result<Definition, DefinitionError> {
    // New names must not collide with names that come later in the definition.
    let mut names: BTreeSet<Name> = definition.jobs.iter().map(|job| job.name.clone()).collect();
    let mut jobs = Vec::with_capacity(definition.jobs.len());
    for job in definition.jobs {
        let Some(image) = job.spec.multi_platform_build() else {
            jobs.push(job);
            continue;
        };
        let Some(repository) = &image.repository else {
            return Err(DefinitionError::IndexWithoutRepository(
                job.name.to_string(),
            ));
        };
        let parts: Vec<JobDefinition> = image
            .platforms
            .iter()
            .map(|platform| part(&job, image, platform, &mut names))
            .collect();
        let index = index(&job, image, repository, &parts);
        jobs.extend(parts);
        jobs.push(index);
    }
    Ok(Definition { jobs })
}

/// The job that builds `image` for one of its platforms.
fn part(
    job: &JobDefinition,
    image: &ImageBuild,
    platform: &Platform,
    names: &mut BTreeSet<Name>,
) -> JobDefinition {
    let label = job.label.as_ref();
    JobDefinition {
        name: name_of_part(&job.name, platform, names),
        label: label.map(|label| format!("{label} ({platform})")),
        // Step keys are unique, so only the index job keeps the key.
        step_key: None,
        spec: JobSpec::ImageBuild(Box::new(image_of_part(image, platform))),
        ..job.clone()
    }
}

/// The image build for one platform. Tags and caches get a platform suffix, so that the platforms do
/// not overwrite each other.
fn image_of_part(image: &ImageBuild, platform: &Platform) -> ImageBuild {
    let own = |tag: &String| tag_of_part(tag, platform);
    let cached = image.cache_tag.iter();
    // The index refers to images by digest, so one tag is enough to push the image. The cache tag is
    // pushed as well, because the next build looks for it.
    let mut tags: Vec<String> = image
        .tags
        .iter()
        .take(1)
        .chain(cached.filter(|tag| image.tags.contains(tag)))
        .map(own)
        .collect();
    tags.dedup();
    let shared_cache = image.cache_to.as_ref();
    let own_cache = shared_cache.map(|cache| match Repository::split_tagged(cache) {
        Some((repository, tag)) => repository.tagged(&tag_of_part(tag, platform)),
        None => cache.clone(),
    });
    // A shared cache would be overwritten by each platform in turn, so each uses its own.
    let sources = image.cache_images.iter().map(|source| match &own_cache {
        Some(own) if shared_cache == Some(source) => own.clone(),
        _ => source.clone(),
    });
    ImageBuild {
        tags,
        cache_tag: image.cache_tag.as_ref().map(own),
        fallback_cache_tag: image.fallback_cache_tag.as_ref().map(own),
        cache_images: sources.collect(),
        cache_to: own_cache,
        platforms: vec![platform.clone()],
        ..image.clone()
    }
}

/// The job that pushes the index. It always runs when its parts succeeded: the original job's `when`
/// applies to the parts.
fn index(
    job: &JobDefinition,
    image: &ImageBuild,
    repository: &Repository,
    parts: &[JobDefinition],
) -> JobDefinition {
    let names: Vec<Name> = parts.iter().map(|part| part.name.clone()).collect();
    JobDefinition {
        needs: names.clone(),
        when: When::OnSuccess,
        spec: JobSpec::ImageIndex(ImageIndex {
            images_of: names,
            repository: Some(repository.clone()),
            tags: image.tags.clone(),
            images: Vec::new(),
        }),
        ..job.clone()
    }
}

/// `JOB-linux-arm64`, with a number if that name is taken. A long job name is cut.
fn name_of_part(job: &Name, platform: &Platform, taken: &mut BTreeSet<Name>) -> Name {
    // Platform names from a definition can be long; the job name must stay within its limit.
    let mut suffix = platform.as_suffix();
    suffix.truncate(MAX_SUFFIX);
    let numbered = (2..).map(|number: u32| format!("{suffix}-{number}"));
    let names = std::iter::once(suffix.clone()).chain(numbered);
    let mut free = names.filter_map(|suffix| {
        let mut name = job.as_str().to_owned();
        name.truncate(MAX_NAME - 1 - suffix.len());
        let name: Name = format!("{name}-{suffix}").parse().ok()?;
        taken.insert(name.clone()).then_some(name)
    });
    match free.next() {
        Some(name) => name,
        None => unreachable!("there are more numbers than jobs"),
    }
}

/// `TAG-linux-arm64`. If that is too long for a tag, a hash replaces the end, so that tags stay
/// distinct.
fn tag_of_part(tag: &str, platform: &Platform) -> String {
    let whole = format!("{tag}-{}", platform.as_suffix());
    if whole.len() <= MAX_TAG {
        return whole;
    }
    // The hash covers the full tag, so that tags that only differ at the end stay distinct.
    let hash = hex::encode(Sha256::digest(&whole));
    let mut cut = tag.to_owned();
    cut.truncate(MAX_TAG - 17);
    format!("{cut}-{}", &hash[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLATFORMS: [&str; 4] = [
        "linux/amd64",
        "linux/arm64",
        "linux/arm/v7",
        "windows/amd64",
    ];

    fn image(platforms: &[&str]) -> ImageBuild {
        ImageBuild {
            platforms: platforms.iter().map(|text| text.parse().unwrap()).collect(),
            repository: Some("r.example/acme/api".parse().unwrap()),
            tags: vec!["v1".to_owned(), "latest".to_owned()],
            ..ImageBuild::default()
        }
    }

    fn job(name: &str, needs: &[&str], image: ImageBuild) -> JobDefinition {
        JobDefinition {
            name: name.parse().unwrap(),
            needs: needs.iter().map(|need| need.parse().unwrap()).collect(),
            spec: JobSpec::ImageBuild(Box::new(image)),
            ..Definition::single_image().jobs[0].clone()
        }
    }

    fn build_of(job: &JobDefinition) -> &ImageBuild {
        match &job.spec {
            JobSpec::ImageBuild(image) => image,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_build_for_two_platforms_expands_to_two_jobs_and_an_index() {
        let mut multi = job("app", &["base"], image(&["linux/amd64", "linux/arm/v7"]));
        (multi.allow_failure, multi.timeout_s) = (true, 77);
        multi.when = When::Always;
        multi.label = Some("The app".to_owned());
        multi.step_key = Some("key".to_owned());
        let base = job("base", &[], image(&["linux/arm64"]));
        let after = job("after", &["app"], image(&[]));
        let definition = Definition {
            jobs: vec![base.clone(), multi.clone(), after.clone()],
        };
        let expanded = expand(definition).unwrap().jobs;
        let names: Vec<&str> = expanded.iter().map(|job| job.name.as_str()).collect();
        let parts = ["app-linux-amd64", "app-linux-arm-v7"];
        assert_eq!(names, ["base", parts[0], parts[1], "app", "after"]);
        assert_eq!((&expanded[0], &expanded[4]), (&base, &after));
        for (part, platform) in expanded[1..3].iter().zip(["linux/amd64", "linux/arm/v7"]) {
            assert_eq!(part.needs, multi.needs);
            assert_eq!((part.allow_failure, part.timeout_s), (true, 77));
            assert_eq!((part.when, &part.step_key), (When::Always, &None));
            assert_eq!(part.label, Some(format!("The app ({platform})")));
            assert_eq!(build_of(part).platforms, [platform.parse().unwrap()]);
        }
        assert_eq!(build_of(&expanded[2]).tags, ["v1-linux-arm-v7"]);
        let index = JobSpec::ImageIndex(ImageIndex {
            images_of: parts.map(|name| name.parse().unwrap()).to_vec(),
            repository: build_of(&multi).repository.clone(),
            tags: vec!["v1".to_owned(), "latest".to_owned()],
            images: Vec::new(),
        });
        assert_eq!(
            (&expanded[3].spec, expanded[3].when),
            (&index, When::OnSuccess)
        );
        assert_eq!(
            expanded[3].needs,
            expanded[1..3]
                .iter()
                .map(|job| job.name.clone())
                .collect::<Vec<_>>()
        );
        assert_eq!(
            (&expanded[3].step_key, &expanded[3].label),
            (&multi.step_key, &multi.label)
        );
    }

    #[test]
    fn each_platform_has_its_own_caches() {
        let mut multi = image(&["linux/amd64", "linux/arm64"]);
        multi.cache_tag = Some("latest".to_owned());
        multi.fallback_cache_tag = Some("main".to_owned());
        multi.cache_to = Some("r.example/cache:c".to_owned());
        multi.cache_images = ["r.example/cache:c", "r.example/other:c"]
            .map(str::to_owned)
            .to_vec();
        let expanded = expand(Definition {
            jobs: vec![job("a", &[], multi)],
        })
        .unwrap();
        let part = build_of(&expanded.jobs[1]);
        assert_eq!(part.tags, ["v1-linux-arm64", "latest-linux-arm64"]);
        assert_eq!(part.cache_tag.as_deref(), Some("latest-linux-arm64"));
        assert_eq!(part.fallback_cache_tag.as_deref(), Some("main-linux-arm64"));
        assert_eq!(
            part.cache_to.as_deref(),
            Some("r.example/cache:c-linux-arm64")
        );
        assert_eq!(
            part.cache_images,
            ["r.example/cache:c-linux-arm64", "r.example/other:c"]
        );
    }

    #[test]
    fn an_index_requires_a_repository() {
        let mut multi = image(&["linux/amd64", "linux/arm64"]);
        multi.repository = None;
        let error = expand(Definition {
            jobs: vec![job("a", &[], multi.clone())],
        });
        assert_eq!(
            error,
            Err(DefinitionError::IndexWithoutRepository("a".to_owned()))
        );
        multi.platforms.pop();
        assert!(
            expand(Definition {
                jobs: vec![job("a", &[], multi)]
            })
            .is_ok()
        );
    }

    /// Names that collide with each other after expansion, and names of maximum length.
    fn names() -> impl Strategy<Value = Vec<String>> {
        let all = vec![
            "a".to_owned(),
            "a-linux-amd64".to_owned(),
            "a-linux-amd64-linux-amd64".to_owned(),
            "a-linux-amd64-2".to_owned(),
            "b".to_owned(),
            "x".repeat(MAX_NAME),
            format!("{}y", "x".repeat(MAX_NAME - 1)),
        ];
        let count = all.len();
        prop::sample::subsequence(all, 1..=count).prop_shuffle()
    }

    fn definitions() -> impl Strategy<Value = Definition> {
        let platforms = prop::sample::subsequence(PLATFORMS.to_vec(), 0..=PLATFORMS.len());
        let shapes = prop::collection::vec((platforms, any::<u8>(), 1..=MAX_TAG), 7);
        (names(), shapes).prop_map(|(names, shapes)| {
            let jobs = names.iter().zip(shapes).enumerate();
            let jobs = jobs.map(|(place, (name, (platforms, needs, tag)))| {
                // Each job needs some of those before it.
                let before = names[..place].iter().enumerate();
                let needs: Vec<&str> = before
                    .filter(|(bit, _)| needs & (1 << bit) != 0)
                    .map(|(_, name)| name.as_str())
                    .collect();
                let mut image = image(&platforms);
                image.tags = vec!["t".repeat(tag)];
                image.cache_of = needs.first().map(|name| name.parse().unwrap());
                job(name, &needs, image)
            });
            Definition {
                jobs: jobs.collect(),
            }
        })
    }

    proptest! {
        #[test]
        fn a_valid_definition_stays_valid_when_it_is_expanded(definition in definitions()) {
            prop_assert_eq!(definition.check(), Ok(()));
            let count: usize = definition.jobs.iter().map(JobDefinition::expanded_count).sum();
            let expanded = expand(definition.clone()).unwrap();
            prop_assert_eq!(expanded.jobs.len(), count);
            // The result is a valid graph, and expanding it again changes nothing.
            prop_assert_eq!(expanded.check_graph(), Ok(()));
            prop_assert_eq!(expand(expanded.clone()).unwrap(), expanded.clone());
            for job in &definition.jobs {
                let again = expanded.jobs.iter().find(|expanded| expanded.name == job.name).unwrap();
                let original = build_of(job);
                let JobSpec::ImageIndex(index) = &again.spec else {
                    prop_assert_eq!(again, job);
                    continue;
                };
                let parts = expanded.jobs.iter().filter(|expanded| index.images_of.contains(&expanded.name));
                let built: Vec<_> = parts.clone().flat_map(|part| build_of(part).platforms.clone()).collect();
                prop_assert_eq!(&built, &original.platforms);
                for part in parts {
                    prop_assert_eq!(build_of(part).check(), Ok(()));
                    prop_assert_eq!(&part.needs, &job.needs);
                }
            }
        }
    }
}
