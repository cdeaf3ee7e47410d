//! The image builder with a real Docker Engine and a real registry.
#![expect(clippy::unwrap_used, reason = "a test stops at an unexpected error")]

mod buildx_ignore;
mod docker;
mod docker_archive;
mod docker_base_image;
mod docker_cache;
mod docker_cancel;
mod docker_classic;
mod docker_context;
mod docker_failures;
mod docker_leftovers;
mod docker_limits;
mod docker_neighbours;
mod docker_platform;
mod docker_push;
mod docker_secrets;
mod docker_steps;
