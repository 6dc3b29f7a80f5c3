//! Faults. A kind of fault is one item in a file of this folder, and one entry in [`KINDS`].
//!
//! A kind defines its keys, its requirements, its effect and its draws for `explore`. The effect is a [`FaultEffect`]:
//! data that the supervisor carries out through the interfaces of consumers, pools and clusters.

pub mod broker;
pub mod calls;
pub mod consumer;
mod effect;
mod kind;
mod targets;
mod written;

pub use consumer::check_rate;
pub use effect::{
    Api, ApiError, BrokerChange, Call, CallAction, CallError, CallRule, ClusterFault,
    ConsumerFault, ExecPlan, FaultEffect, LinkSide, PartitionFault, PoolFault,
};
pub use kind::{
    Ending, FaultDraw, FaultFacts, FaultKind, FaultSchedule, Hits, KindInfo, KindPlan, Lasts,
    Planned, WrittenKind,
};
pub use targets::{
    Aim, BrokerAim, ConsumerAim, PartitionAim, Pick, RandomPick, TargetCounts, Targets,
};
pub use written::Fault;

/// All kinds of faults, in the order of the reference.
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
    KindInfo::of::<consumer::Pause>(),
    KindInfo::of::<consumer::Burst>(),
    KindInfo::of::<calls::ProduceCall>(),
    KindInfo::of::<calls::FetchCall>(),
    KindInfo::of::<broker::BrokerDown>(),
    KindInfo::of::<broker::BrokerRtt>(),
    KindInfo::of::<broker::BrokerPause>(),
    KindInfo::of::<broker::SlowDisk>(),
    KindInfo::of::<broker::Link>(),
    KindInfo::of::<broker::LinkCut>(),
    KindInfo::of::<broker::LinkReset>(),
    KindInfo::of::<broker::HalfOpen>(),
    KindInfo::of::<consumer::CoordinatorMove>(),
    KindInfo::of::<consumer::SecondOwner>(),
    KindInfo::of::<calls::RequestError>(),
    KindInfo::of::<calls::AnswerLost>(),
    KindInfo::of::<consumer::Join>(),
    KindInfo::of::<broker::Grow>(),
    KindInfo::of::<broker::DeleteRecords>(),
    KindInfo::of::<broker::Exec>(),
];
