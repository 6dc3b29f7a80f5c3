//! The native client: requests out, responses in, no socket and no clock inside.

pub mod member;
