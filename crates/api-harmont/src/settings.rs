//! What the operator configures for this API alone.

/// The settings of Harmont's API.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The origins whose pages may call this API from a browser.
    pub browser_origins: Vec<String>,
    /// The origins whose pages may follow live logs from a browser.
    pub log_origins: Vec<String>,
    /// The prefix of the links to descriptions of errors.
    pub errors_url: String,
    /// The largest JSON body of a new build, pipeline or organization, in bytes.
    pub max_json_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            browser_origins: Vec::new(),
            log_origins: Vec::new(),
            errors_url: "https://docs.harmont.dev/api/errors/".to_owned(),
            max_json_bytes: 16 << 20,
        }
    }
}
