//! Completes a definition with what follows from the project and the commit.

use slipway_domain::image::push_targets::PushTargets;
use slipway_domain::image::{Repository, tag_for_ref, tags_for};
use slipway_domain::pipeline::{Definition, JobDefinition};
use slipway_domain::{CommitSha, GitRef, ImageBuild, JobSpec, platforms};
use slipway_store::projects::Project;

use crate::error::FarmError;

/// The commit to build, and the ref that it was requested by.
#[derive(Clone, Copy)]
pub(crate) struct Revision<'a> {
    pub(crate) sha: &'a CommitSha,
    pub(crate) git_ref: Option<&'a GitRef>,
    pub(crate) ref_is_tag: bool,
}

/// The definition with repositories, tags and cache sources filled in, and with one job for each
/// platform.
///
/// # Errors
/// `Invalid` for an invalid definition, and for one that pushes to a repository that is not among the
/// `targets`.
pub(crate) fn completed(
    mut definition: Definition,
    project: &Project,
    repository: Option<&Repository>,
    targets: &PushTargets,
    at: Revision<'_>,
) -> Result<Definition, FarmError> {
    let is_image = |job: &&JobDefinition| matches!(job.spec, JobSpec::ImageBuild(_));
    let single = definition.jobs.iter().filter(is_image).count() == 1;
    for job in &mut definition.jobs {
        let JobSpec::ImageBuild(image) = &mut job.spec else {
            continue;
        };
        if let (None, Some(repository)) = (&image.repository, repository) {
            // Several images of one project need different repositories, below that of the project.
            let own = if single {
                repository.clone()
            } else {
                repository.child(&job.name.as_str().to_ascii_lowercase())?
            };
            image.repository = Some(own);
        }
        if image.tags.is_empty() {
            image.tags = tags_for(at.sha, at.git_ref, at.ref_is_tag, &project.default_branch);
        }
        cache_from_branch(image, &project.default_branch, at);
    }
    definition.check()?;
    targets.check(&definition)?;
    Ok(platforms::expand(definition)?)
}

/// Makes a build of a branch use the last image of the branch as cache or, for the first build, that of
/// the default branch. A definition that names its own cache is left alone.
fn cache_from_branch(image: &mut ImageBuild, default_branch: &GitRef, at: Revision<'_>) {
    let has_own_cache =
        image.cache_tag.is_some() || image.cache_of.is_some() || !image.cache_images.is_empty();
    let branch = at.git_ref.filter(|_| !at.ref_is_tag);
    let (Some(branch), false, Some(_)) =
        (branch, image.no_cache || has_own_cache, &image.repository)
    else {
        return;
    };
    let tag = tag_for_ref(branch);
    // Only a tag that this pipeline pushes can exist as a cache.
    if !image.tags.contains(&tag) {
        return;
    }
    if branch != default_branch && image.fallback_cache_tag.is_none() {
        image.fallback_cache_tag = Some(tag_for_ref(default_branch));
    }
    image.cache_tag = Some(tag);
}
