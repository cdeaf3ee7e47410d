//! The image builder with a real Docker Engine and a real registry.

mod docker;
