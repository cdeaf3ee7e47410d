//! Stories with the real engine.
