//! What a listener of a broker is, and what it lets a user do: asked on a socket of its own, because librdkafka says
//! neither.
//!
//! Everything here asks and nothing writes.

mod dialogue;
mod kind;
mod rights;

pub(crate) use dialogue::{Dialogue, DialogueError};
pub(crate) use kind::{ListenerKind, kind_of};
pub(crate) use rights::{Operation, Rights, TopicRights};
