//! What strangers, and clients that send too much, can do to the farm: nothing but get a prompt answer.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod connection;
mod existence;
mod lists;
mod memory;
mod quotas;
mod rates;
mod timing;
mod unread_bodies;
