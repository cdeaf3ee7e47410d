//! Placeholder.
/// Adds the routes.
pub fn configure(_: &mut actix_web::web::ServiceConfig) {}
