//! What a build's jobs have besides what a definition says: it follows from the project and the commit.

use slipway_domain::image::{Repository, tag_for_ref, tags_for};
use slipway_domain::pipeline::{Definition, JobDefinition};
use slipway_domain::{CommitSha, GitRef, ImageBuild, JobSpec, platforms};
use slipway_store::projects::Project;

use crate::error::FarmError;

/// What is built of a project: a commit, and what it was asked for by.
#[derive(Clone, Copy)]
pub(crate) struct Revision<'a> {
    /// The commit.
    pub(crate) sha: &'a CommitSha,
    /// The branch or tag.
    pub(crate) git_ref: Option<&'a GitRef>,
    /// Whether that is a tag.
    pub(crate) ref_is_tag: bool,
}

/// A definition with everything filled in that follows from the project and the commit, and with a
/// job for each platform.
pub(crate) fn completed(
    mut definition: Definition,
    project: &Project,
    repository: Option<&Repository>,
    at: Revision<'_>,
) -> Result<Definition, FarmError> {
    let is_image = |job: &&JobDefinition| matches!(job.spec, JobSpec::ImageBuild(_));
    let single = definition.jobs.iter().filter(is_image).count() == 1;
    for job in &mut definition.jobs {
        let JobSpec::ImageBuild(image) = &mut job.spec else {
            continue;
        };
        if let (None, Some(repository)) = (&image.repository, repository) {
            // Several images of one project go to repositories of their own below the project's.
            let own = match single {
                true => repository.clone(),
                false => repository.child(&job.name.as_str().to_ascii_lowercase())?,
            };
            image.repository = Some(own);
        }
        if image.tags.is_empty() {
            image.tags = tags_for(at.sha, at.git_ref, &project.default_branch);
        }
        take_from_branch(image, &project.default_branch, at);
    }
    definition.check()?;
    Ok(platforms::expand(definition)?)
}

/// Has a build of a branch take layers from the image that was built of it before, and the first one
/// from that of the default branch. A definition that says itself where layers come from has its way.
fn take_from_branch(image: &mut ImageBuild, default_branch: &GitRef, at: Revision<'_>) {
    let says_itself =
        image.cache_tag.is_some() || image.cache_of.is_some() || !image.cache_images.is_empty();
    let branch = at.git_ref.filter(|_| !at.ref_is_tag);
    let (Some(branch), false, Some(_)) = (branch, image.no_cache || says_itself, &image.repository)
    else {
        return;
    };
    let tag = tag_for_ref(branch);
    // Only what this pipeline pushes can be there to take layers from.
    if !image.tags.contains(&tag) {
        return;
    }
    if branch != default_branch && image.fallback_cache_tag.is_none() {
        image.fallback_cache_tag = Some(tag_for_ref(default_branch));
    }
    image.cache_tag = Some(tag);
}
