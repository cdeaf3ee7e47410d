//! The image builder with a real Docker Engine and a real registry.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod docker;
mod docker_archive;
mod docker_base;
mod docker_cache;
mod docker_called_off;
mod docker_classic;
mod docker_context;
mod docker_limits;
mod docker_platform;
mod docker_push;
mod docker_secrets;
mod docker_steps;
