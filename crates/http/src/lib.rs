//! HTTP code that the API dialects share: credentials, bodies, URLs, queries, guards and
//! server-sent events.
//!
//! It reads requests and knows nothing about farms, builds or any dialect. Where a dialect differs
//! on purpose, as its contract demands, the difference stays in the dialect's own `auth` or `wire`.

mod body;
mod credentials;
mod events;
mod query;
mod request;

pub use body::{BodyError, check_declared_length, is_json, media_type, read_body};
pub use credentials::{BasicLogin, authorization, basic_login, bearer, bearer_or_password};
pub use events::{Event, event_stream};
pub use query::Query;
pub use request::{app_data, app_state, base_url, escape_html, get_or_head, header, prefers_html};
