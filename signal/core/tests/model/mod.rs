//! A hub and its edges in a bad network, and what they are to do in it.

mod chronicle;
mod client;
mod ledger;
mod link;
mod world;

pub(crate) use world::{STRANGERS_FROM, Step, World};
