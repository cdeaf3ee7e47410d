//! A macro for enums that are written as fixed words, in the database and in the native API.

// Generates the enum with `ALL`, `as_str`, `Display` and `FromStr`. `$what` and `$expected` go into
// the error for an unknown word.

macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// All values, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word that is stored and that the native API uses.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::names::Invalid;

            fn from_str(text: &str) -> Result<Self, $crate::names::Invalid> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err($crate::names::Invalid::new($what, text, $expected)),
                }
            }
        }
    };
}
pub(crate) use text_enum;
