//! Checks 1 to 15: who comes in, and what is told to those who do not.
