//! What can be broken on purpose. A kind of fault is one item in a file of this folder, and one line in [`KINDS`].
//!
//! A kind says everything about itself: its keys, what it needs, what it does and how `explore` draws it. What it does is
//! a [`FaultEffect`]: data that the supervisor carries out with what consumers, pools and clusters can be made to do.

pub mod answer_lost;
pub mod broker;
pub mod calls;
pub mod consumer;
mod effect;
pub mod exec;
pub mod group;
mod kind;
pub mod link;
pub mod pool;
pub mod request;
mod targets;
pub mod topic;
mod written;

pub use effect::{
    Api, ApiError, BrokerChange, Call, CallAction, CallError, CallRule, ConsumerFault, Disturbance,
    ExecPlan, FaultEffect, LinkSide, PartitionFault, PoolFault,
};
pub use kind::{
    Ending, FaultDraw, FaultFacts, FaultKind, FaultSchedule, Hits, KindInfo, KindPlan, Lasts,
    Planned, WrittenKind,
};
pub use pool::check_rate;
pub use targets::{Aim, BrokerAim, ConsumerAim, PartitionAim, Pick, RandomPick, Targets, There};
pub use written::Fault;

/// Every kind there is, in the order of the reference.
pub const KINDS: &[KindInfo] = &[
    KindInfo::of::<consumer::Kill>(),
    KindInfo::of::<consumer::Panic>(),
    KindInfo::of::<consumer::Stop>(),
    KindInfo::of::<consumer::Hang>(),
    KindInfo::of::<consumer::Stall>(),
    KindInfo::of::<consumer::Slow>(),
    KindInfo::of::<consumer::LateClose>(),
    KindInfo::of::<consumer::CrashLoop>(),
    KindInfo::of::<consumer::Poison>(),
    KindInfo::of::<pool::Pause>(),
    KindInfo::of::<pool::Burst>(),
    KindInfo::of::<calls::ProduceCall>(),
    KindInfo::of::<calls::FetchCall>(),
    KindInfo::of::<broker::BrokerDown>(),
    KindInfo::of::<broker::BrokerRtt>(),
    KindInfo::of::<broker::BrokerPause>(),
    KindInfo::of::<broker::SlowDisk>(),
    KindInfo::of::<link::Link>(),
    KindInfo::of::<link::LinkCut>(),
    KindInfo::of::<link::LinkReset>(),
    KindInfo::of::<link::HalfOpen>(),
    KindInfo::of::<group::CoordinatorMove>(),
    KindInfo::of::<group::SecondOwner>(),
    KindInfo::of::<request::RequestError>(),
    KindInfo::of::<answer_lost::AnswerLost>(),
    KindInfo::of::<group::Join>(),
    KindInfo::of::<topic::Grow>(),
    KindInfo::of::<topic::DeleteRecords>(),
    KindInfo::of::<exec::Exec>(),
];
