//! Names of other jobs.

use crate::fault::Place;

/// Another job, by the name that the file has for it.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) place: Place,
    pub(crate) name: String,
}

impl Reference {
    /// The job that is called so at this place.
    pub(crate) fn new(place: Place, name: &str) -> Self {
        Self {
            place,
            name: name.to_owned(),
        }
    }
}
