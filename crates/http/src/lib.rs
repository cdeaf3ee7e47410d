//! HTTP code that the API dialects share: credentials, bodies, URLs, queries, guards and
//! server-sent events.
//!
//! It reads requests. Of the farm it uses only the proofs of access, because a large body is read only with
//! one. It knows nothing about builds or any dialect. Where a dialect differs on purpose, as its contract
//! demands, the difference stays in the dialect's own `auth` or `wire`.

mod admission;
mod body;
mod credentials;
mod events;
mod query;
mod request;

pub use admission::{
    Admission, AdmissionLimits, RefusedRequests, TrustedProxies, admit, client_address,
};
pub use body::{
    Body, BodyError, BodyMemory, BodyRules, BodyStream, KnownSender, MAX_JSON_VALUES,
    UNKNOWN_SENDER_BYTES, UnreadBody, check_json_values, find_json_text, guard_body, is_json,
    media_type, note_known_sender,
};
pub use credentials::{BasicLogin, authorization, basic_login, bearer, bearer_or_password};
pub use events::{Event, event_stream};
pub use query::{MAX_PAIRS, Query};
pub use request::{app_data, app_state, base_url, escape_html, get_or_head, header, prefers_html};
