//! What kind of thing asked for a build.

use crate::text_enum::text_enum;

text_enum!(
    /// What kind of thing asked for a build, as far as it says so.
    BuildSource, "source of a build", "api, ui, webhook, trigger_job or schedule" {
        /// A program, in somebody's name.
        Api = "api",
        /// Somebody in a browser.
        Ui = "ui",
        /// A push to the repository.
        Webhook = "webhook",
        /// A job of another build.
        TriggerJob = "trigger_job",
        /// A timetable.
        Schedule = "schedule",
    }
);

impl BuildSource {
    /// Whether a person wants the build now, which a pipeline may not allow.
    pub fn is_interactive(self) -> bool {
        matches!(self, Self::Api | Self::Ui)
    }
}
