//! Options that concern the API of one dialect alone.

use std::time::Duration;

use crate::durations::seconds;

/// Options of Harmont's API.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Harmont API")]
pub struct Harmont {
    /// Origins, separated by commas, whose pages may call the builds API from a browser.
    #[arg(long, env = "SLIPWAY_BROWSER_ORIGINS", value_delimiter = ',')]
    pub browser_origins: Vec<String>,
    /// Origins, separated by commas, whose pages may follow live logs from a browser.
    #[arg(long, env = "SLIPWAY_LOG_ORIGINS", value_delimiter = ',')]
    pub log_origins: Vec<String>,
    /// The prefix of the links to descriptions of errors.
    #[arg(
        long,
        env = "SLIPWAY_ERRORS_URL",
        default_value = "https://docs.harmont.dev/api/errors/"
    )]
    pub errors_url: String,
    /// The largest JSON body, in bytes. The sources of a submitted build are in it.
    #[arg(long, env = "SLIPWAY_MAX_JSON_BYTES", default_value = "16777216")]
    pub max_json_bytes: usize,
}

/// Options of Quay's API.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Quay API")]
pub struct Quay {
    /// Whether readers of a project may read its logs. If not, only roles that may build can.
    #[arg(long, env = "SLIPWAY_READER_BUILD_LOGS", default_value_t = true,
          action = clap::ArgAction::Set)]
    pub reader_build_logs: bool,
    /// Whether this API is read-only: requests that change something are refused.
    #[arg(long = "quay-read-only", env = "SLIPWAY_QUAY_READ_ONLY", default_value_t = false,
          action = clap::ArgAction::Set)]
    pub read_only: bool,
    /// Seconds after the end of a build until its log is served as a whole.
    #[arg(long, env = "SLIPWAY_LOG_COMPLETE_AFTER_S", default_value = "30", value_parser = seconds)]
    pub log_complete_after_s: Duration,
}

impl Harmont {
    /// The settings of the dialect.
    pub(crate) fn settings(&self) -> slipway_api_harmont::Settings {
        slipway_api_harmont::Settings {
            browser_origins: self.browser_origins.clone(),
            log_origins: self.log_origins.clone(),
            errors_url: self.errors_url.clone(),
            max_json_bytes: self.max_json_bytes,
        }
    }
}

impl Quay {
    /// The settings of the dialect.
    pub(crate) fn settings(self) -> slipway_api_quay::Settings {
        slipway_api_quay::Settings {
            reader_build_logs: self.reader_build_logs,
            read_only: self.read_only,
            log_complete_after: self.log_complete_after_s,
        }
    }
}

impl Default for Harmont {
    fn default() -> Self {
        let settings = slipway_api_harmont::Settings::default();
        Self {
            browser_origins: settings.browser_origins,
            log_origins: settings.log_origins,
            errors_url: settings.errors_url,
            max_json_bytes: settings.max_json_bytes,
        }
    }
}

impl Default for Quay {
    fn default() -> Self {
        let settings = slipway_api_quay::Settings::default();
        Self {
            reader_build_logs: settings.reader_build_logs,
            read_only: settings.read_only,
            log_complete_after_s: settings.log_complete_after,
        }
    }
}
