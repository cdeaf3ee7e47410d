//! Proof that the sender of a body is known.

use actix_web::{HttpMessage, HttpRequest};
use slipway_farm::{
    Actor, FileAccess, JobAccess, NamespaceAccess, ProjectAccess, Runner, TriggerAccess,
};

/// What only the checks of the farm make, from a valid token or signature. A body of more than a few
/// kilobytes is read only with one of these, so no route can read the upload of a stranger.
///
/// It is implemented here and nowhere else: a dialect has no proofs of its own.
pub trait KnownSender: sealed::Sealed {
    /// Whether the sender is a runner or a job. What they send is what the farm exists for, and there are
    /// only as many of them as there are slots, so their bodies wait for no turn.
    const IS_RUNNER: bool;
}

/// Notes that the sender of a request is known, if this shows neither in the headers nor when the body is
/// read: its token was inside. The connections of known senders stay open.
pub fn note_known_sender(request: &HttpRequest, _sender: &impl KnownSender) {
    request.extensions_mut().insert(KnownMark);
}

/// In the extensions of requests whose sender is known.
pub(crate) struct KnownMark;

mod sealed {
    /// Keeps other crates from implementing [`super::KnownSender`].
    pub trait Sealed {}
}

macro_rules! known_senders {
    (runners: $is_runner:literal; $($proof:ty),+ $(,)?) => {
        $(
            impl sealed::Sealed for $proof {}
            impl KnownSender for $proof {
                const IS_RUNNER: bool = $is_runner;
            }
        )+
    };
}

known_senders!(runners: true; JobAccess, Runner);
known_senders!(
    runners: false;
    Actor,
    FileAccess,
    NamespaceAccess,
    ProjectAccess,
    TriggerAccess,
);
