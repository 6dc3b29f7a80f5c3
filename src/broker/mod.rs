//! Ports to a cluster, and their adapters.
//!
//! A port accepts commands and returns events on the thread that hosts it. `broker::rdkafka` is one implementation, and
//! no code outside of it names the library. `broker::tcp` is another one. The registry has those of this
//! build ([`client_library`]), and all other code uses the trait ([`ClientLibrary`]).

#![cfg_attr(
    not(feature = "rdkafka"),
    allow(
        dead_code,
        unused_imports,
        reason = "some of what client libraries share is for librdkafka"
    )
)]

pub mod calls;
mod embedded;
mod library;
mod listener;
pub mod model;
pub mod native;
mod instance_ids;
mod port;
mod positions;
mod producer_port;
pub mod protocol;
#[cfg(feature = "rdkafka")]
mod rdkafka;
mod refusal;
mod registry;
mod secure;
pub mod settings;
pub mod setup;
pub mod sim;
mod tcp;
#[cfg_attr(not(test), expect(dead_code, reason = "tests read every field"))]
mod wire;

#[cfg(fuzzing)]
pub use wire::decode;

pub use embedded::{Embedded, EmbeddedControl};
pub(crate) use instance_ids::{InstanceIdClaim, InstanceIds};
pub use library::{ClientLibrary, ClusterPlace, RefusedValue};
pub use port::{
    BrokerError, ClusterPort, Committer, ConsumerCommand, ConsumerEvents, ConsumerLoop,
    ConsumerPort, ConsumerSpec, EndOffsets, ErrorClass, Flow, GroupSpec, TopicPort, TopicSize,
    Watermarks, run_group,
};
pub use positions::{Position, Positions};
pub use producer_port::{Answers, ProducerPort, SendError, SendRecord, StampedRecord};
pub use refusal::{from_outside, needs_consent, not_built_in, refusals};
pub use registry::{client_libraries, client_library};
