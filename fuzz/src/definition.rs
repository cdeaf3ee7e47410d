//! Parses arbitrary text as `.slipway.yml`.

/// A definition is accepted, or refused with a position in the text.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match slipway_definition::parse(text) {
        Ok(definition) => assert!(!definition.jobs.is_empty(), "a definition has jobs"),
        Err(error) => {
            let line = error.position.line;
            // An error at the end may be on the line after the last one.
            assert!(line <= text.lines().count() + 1, "{error}");
            assert!(error.to_string().contains(slipway_definition::FILE));
        }
    }
}
