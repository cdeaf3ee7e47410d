//! What created a build.

use crate::text_enum::text_enum;

text_enum!(
    /// What created a build.
    BuildSource, "source of a build", "api, ui, webhook, trigger_job or schedule" {
        /// An API client.
        Api = "api",
        /// A person in the web pages.
        Ui = "ui",
        /// A webhook for a push.
        Webhook = "webhook",
        /// A job of another build.
        TriggerJob = "trigger_job",
        /// A schedule.
        Schedule = "schedule",
    }
);

impl BuildSource {
    /// Returns true if a person or an API client asked for the build, rather than a push or a
    /// schedule. A pipeline can disallow such builds.
    pub fn is_interactive(self) -> bool {
        matches!(self, Self::Api | Self::Ui)
    }
}
