//! JSON whose values are counted before any of them is kept.
//!
//! A value takes up to a hundred times as much memory as its text. Therefore a text with more values
//! than any client sends is refused, and none of its values is kept.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::body::BodyError;

/// The most values in a body: texts, numbers, booleans, nulls, lists and objects.
pub const MAX_JSON_VALUES: usize = 20_000;

/// Checks that a text has at most [`MAX_JSON_VALUES`] values. Text that is not JSON is no error here: it
/// is one where the text is parsed.
///
/// # Errors
/// [`BodyError::TooManyValues`].
pub fn check_json_values(text: &[u8]) -> Result<(), BodyError> {
    let count = Cell::new(0);
    let mut parser = serde_json::Deserializer::from_slice(text);
    // A syntax error ends the count, and the parser of the text finds it again.
    let _ = Counted(&count).deserialize(&mut parser);
    if count.get() > MAX_JSON_VALUES {
        return Err(BodyError::TooManyValues {
            limit: MAX_JSON_VALUES,
        });
    }
    Ok(())
}

/// The text in a member of an object, in the beginning of a JSON text that may be cut off anywhere.
pub fn find_json_text(beginning: &[u8], member: &str) -> Option<String> {
    let found = RefCell::new(None);
    let mut parser = serde_json::Deserializer::from_slice(beginning);
    let find = Find {
        member,
        found: &found,
    };
    // The text ends in the middle, which is an error after the member was found.
    let _ = parser.deserialize_map(find);
    found.into_inner()
}

/// Counts a value and the values in it.
#[derive(Clone, Copy)]
struct Counted<'a>(&'a Cell<usize>);

impl Counted<'_> {
    fn count<E: Error>(self) -> Result<(), E> {
        self.0.set(self.0.get() + 1);
        if self.0.get() > MAX_JSON_VALUES {
            return Err(E::custom("too many values"));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Counted<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Counted<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.count()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.count()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.count()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.count()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.count()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.count()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.count()?;
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.count()?;
        while members.next_key::<IgnoredAny>()?.is_some() {
            members.next_value_seed(self)?;
        }
        Ok(())
    }
}

struct Find<'a> {
    member: &'a str,
    found: &'a RefCell<Option<String>>,
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            if name == self.member {
                let value = members.next_value::<Option<String>>()?;
                *self.found.borrow_mut() = value;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_at_every_depth() {
        let list = |count: usize| format!("[[{}{{\"a\":0}}]]", "0,".repeat(count)).into_bytes();
        // Two lists, the object and its member.
        assert!(check_json_values(&list(MAX_JSON_VALUES - 4)).is_ok());
        assert!(check_json_values(&list(MAX_JSON_VALUES - 3)).is_err());
        let cut_off = &list(MAX_JSON_VALUES)[..100];
        assert!(check_json_values(cut_off).is_ok());
        assert!(check_json_values(b"not JSON").is_ok());
    }

    #[test]
    fn a_member_is_found_in_the_beginning_of_a_text() {
        let find = |text: &str| find_json_text(text.as_bytes(), "token");
        let some = Some("a\"b".to_owned());
        assert_eq!(
            find(r#"{"info":{"token":"x"},"token":"a\"b","trace":"cut"#),
            some
        );
        assert_eq!(find(r#"{"token":"a\"b"}"#), some);
        for none in [
            "",
            "[",
            r#"{"token":"cut"#,
            r#"{"trace":"cut","tok"#,
            r#"{"token":null}"#,
            r#"{"token":5}"#,
        ] {
            assert_eq!(find(none), None, "{none}");
        }
    }
}
