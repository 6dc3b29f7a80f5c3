//! Putting faults in, and noting when they are over.

use std::collections::BTreeSet;
use std::time::Duration;

use std::sync::Arc;

use super::child_exit::{CATCH_UP, partitions_of_pool};
use super::state::SupervisorState;
use crate::actors::messages::SlotId;
use crate::base::{ConsumerId, PartitionId, PoolId, Time};
use crate::broker::Disturbance;
use crate::measure::Event;
use crate::plan::{Call, CallAction, CallError, FaultKind, FaultPlan, Targets};

/// How a fault hits a consumer's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConsumerFault {
    /// Its actor is killed.
    Kill,
    /// It is asked to stop, and comes back.
    Stop,
    /// The fault is armed: the host triggers it.
    Armed,
}

impl SupervisorState {
    /// Puts occurrence `number` in.
    pub(super) fn inject(&mut self, number: usize) {
        let plan = self.context.plan.clone();
        let Some(fault) = plan.faults.get(number).filter(|_| !self.load_is_over) else {
            return;
        };
        let now = self.context.clock.now();
        let description = fault.to_string();
        self.context.note(Event::FaultInjected { fault: number, description });
        self.context.measurements.fault(number, |times| times.injected = Some(now));
        match &fault.targets {
            _ if matches!(fault.kind, FaultKind::Calls(_)) => self.hit_calls(number, fault, now),
            // Who joins is not there yet: see `join`.
            _ if fault.kind == FaultKind::Join => self.hit_all(number, now),
            Targets::Consumers(consumers) => {
                for consumer in consumers {
                    self.hit_consumer(number, fault, *consumer, now);
                }
            }
            Targets::Partitions(partitions) => {
                self.begin_recovery(number, None, partitions, now);
                match fault.kind {
                    FaultKind::SecondOwner => {
                        let until = now + fault.lasts.unwrap_or_default();
                        for partition in partitions {
                            let runtime = &self.context.runtime;
                            let spawned =
                                runtime.spawn_rogue_consumer(&self.context, *partition, until);
                            if let Err(error) = spawned {
                                self.context.note_missed(number, error.to_string());
                            }
                        }
                    }
                    FaultKind::DeleteRecords => {
                        self.disturb(number, Disturbance::DeleteRecords(partitions.clone()));
                    }
                    _ => {
                        for partition in partitions {
                            self.context.active_faults.arm_poison(*partition, number);
                        }
                    }
                }
            }
            Targets::Brokers(_) | Targets::Cluster => {
                self.hit_all(number, now);
                self.hit_cluster(number, fault);
            }
            Targets::Pools(pools) => {
                for pool in pools {
                    self.hit_pool(number, fault, *pool, now);
                }
            }
        }
    }

    /// Notes that occurrence `number` is over by itself.
    pub(super) fn heal(&mut self, number: usize) {
        let plan = self.context.plan.clone();
        let Some(fault) = plan.faults.get(number) else {
            return;
        };
        self.heal_cluster(number, fault);
        if matches!(fault.kind, FaultKind::Exec(_)) {
            // It is over when its commands have ended, which their thread notes.
            return self.poll_end_offsets_now();
        }
        let now = self.context.clock.now();
        self.context.fault_ended(number, now, |mark| mark.healed = Some(now));
        self.context.active_faults.calls().disarm(number);
        for consumer in fault.targets.consumers() {
            self.context.active_faults.disarm(*consumer, number);
        }
        self.poll_end_offsets_now();
    }

    fn hit_consumer(&mut self, number: usize, fault: &FaultPlan, consumer: ConsumerId, now: Time) {
        let id = SlotId::Consumer(consumer);
        if !self.children.get(&id).is_some_and(|child| child.slot.is_live()) {
            self.context.note_missed(number, format!("consumer {consumer} was not running"));
            return;
        }
        let is_ended = fault.kind.ends_consumer();
        if let Some(other) = self.children[&id].fault.filter(|_| is_ended) {
            self.context.note_missed(
                number,
                format!("consumer {consumer} was just being killed by [{other}]"),
            );
            return;
        }
        let partitions = self.partitions_of(consumer);
        self.begin_recovery(number, Some(consumer), &partitions, now);
        let active_faults = &self.context.active_faults;
        let end = fault.lasts.map(|lasts| now + lasts);
        let consumer_fault = match fault.kind {
            FaultKind::Kill => ConsumerFault::Kill,
            FaultKind::Stop => ConsumerFault::Stop,
            FaultKind::LateClose => {
                active_faults.arm_late_close(consumer, fault.lasts.unwrap_or_default());
                ConsumerFault::Kill
            }
            FaultKind::Panic => {
                active_faults.arm_panic(consumer, number);
                ConsumerFault::Armed
            }
            FaultKind::Hang => {
                active_faults.arm_hang(consumer, number, end);
                ConsumerFault::Armed
            }
            FaultKind::Stall => {
                active_faults.arm_stall(consumer, number, fault.lasts.unwrap_or_default());
                ConsumerFault::Armed
            }
            FaultKind::Slow { factor, add } => {
                active_faults.arm_slow(consumer, factor, add, end.unwrap_or(Time::NEVER));
                ConsumerFault::Armed
            }
            FaultKind::CrashLoop { times } => {
                active_faults.arm_crash_loop(consumer, number, times, end);
                ConsumerFault::Armed
            }
            // These have other targets.
            _ => ConsumerFault::Armed,
        };
        if let Some(child) = self.children.get_mut(&id) {
            match consumer_fault {
                ConsumerFault::Kill => child.kill(number),
                ConsumerFault::Stop => child.stop_for(number),
                ConsumerFault::Armed => {}
            }
        }
    }

    fn hit_pool(&mut self, number: usize, fault: &FaultPlan, pool: PoolId, now: Time) {
        let partitions = partitions_of_pool(&self.context, pool);
        let Some(child) = self.children.get_mut(&SlotId::Pool(pool)) else {
            return;
        };
        if !child.slot.is_live() {
            self.context.note_missed(number, format!("pool {pool} was not running"));
            return;
        }
        if matches!(fault.kind, FaultKind::Burst { .. }) {
            // It is part of the schedule from the beginning.
        } else if let Some(lasts) = fault.lasts {
            self.context.active_faults.pause(pool, now + lasts);
            self.context.measurements.pools[pool.0 as usize]
                .lock()
                .excuse(now, now + lasts + CATCH_UP);
        } else {
            self.context.measurements.pools[pool.0 as usize].lock().excuse(now, Time::NEVER);
            child.kill(number);
        }
        self.begin_recovery(number, None, &partitions, now);
    }

    /// Every partition may feel it.
    fn hit_all(&self, number: usize, now: Time) {
        let all: Vec<PartitionId> =
            (0..self.context.measurements.cells.len() as u32).map(PartitionId).collect();
        self.begin_recovery(number, None, &all, now);
    }

    /// Has a rule hold for the calls of clients from now on.
    fn hit_calls(&mut self, number: usize, fault: &FaultPlan, now: Time) {
        let FaultKind::Calls(rule) = fault.kind else { return };
        let partitions: BTreeSet<PartitionId> = match &fault.targets {
            Targets::Partitions(partitions) => partitions.iter().copied().collect(),
            Targets::Consumers(consumers) => {
                consumers.iter().flat_map(|consumer| self.partitions_of(*consumer)).collect()
            }
            Targets::Pools(pools) => {
                let of_pool = |pool: &PoolId| partitions_of_pool(&self.context, *pool);
                pools.iter().flat_map(of_pool).collect()
            }
            Targets::Brokers(_) | Targets::Cluster => BTreeSet::new(),
        };
        let partitions: Vec<PartitionId> = partitions.into_iter().collect();
        self.begin_recovery(number, None, &partitions, now);
        if (rule.call, rule.action) == (Call::Produce, CallAction::Error(CallError::Retriable)) {
            // A producer that has to try again sends late, and it is not the tester's doing.
            let end = now + fault.lasts.unwrap_or_default() + CATCH_UP;
            self.context.measurements.pools.iter().for_each(|pool| pool.lock().excuse(now, end));
        }
        self.context.active_faults.calls().arm(fault.entry, number, rule, fault.targets.clone());
    }

    fn hit_cluster(&self, number: usize, fault: &FaultPlan) {
        match (&fault.kind, &fault.targets) {
            (FaultKind::BrokerDown, Targets::Brokers(ids)) => {
                self.disturb(number, Disturbance::Down(ids.clone()));
            }
            (FaultKind::BrokerRtt { delay }, Targets::Brokers(ids)) => {
                self.disturb(number, Disturbance::Rtt(ids.clone(), *delay));
            }
            (FaultKind::BrokerPause, Targets::Brokers(ids)) => {
                self.disturb(number, Disturbance::Pause(ids.clone()));
            }
            (FaultKind::SlowDisk { add }, Targets::Brokers(ids)) => {
                self.disturb(number, Disturbance::SlowDisk(ids.clone(), *add));
            }
            (FaultKind::Link { delay, loss, duplicate }, Targets::Brokers(ids)) => {
                let (brokers, delay, loss, duplicate) = (ids.clone(), *delay, *loss, *duplicate);
                self.disturb(number, Disturbance::Link { brokers, delay, loss, duplicate });
            }
            (FaultKind::LinkCut { side }, Targets::Brokers(ids)) => {
                self.disturb(number, Disturbance::Cut(ids.clone(), *side));
            }
            (FaultKind::LinkReset, Targets::Brokers(ids)) => {
                self.disturb(number, Disturbance::Reset(ids.clone()));
            }
            (FaultKind::HalfOpen, Targets::Brokers(ids)) => {
                self.disturb(number, Disturbance::HalfOpen(ids.clone()));
            }
            (FaultKind::CoordinatorMove { to }, _) => {
                self.disturb(number, Disturbance::MoveCoordinator(*to));
            }
            (FaultKind::RequestError { api, code, count }, _) => {
                let (api, code, count) = (*api, *code, *count);
                self.disturb(number, Disturbance::Refuse { api, code, count });
            }
            (FaultKind::Grow { partitions }, _) => {
                self.disturb(number, Disturbance::Grow(*partitions));
            }
            (FaultKind::Exec(exec), _) => self.commands.start(&self.context, number, exec),
            _ => {}
        }
    }

    fn heal_cluster(&self, number: usize, fault: &FaultPlan) {
        match (&fault.kind, &fault.targets) {
            (FaultKind::BrokerDown, Targets::Brokers(ids)) => {
                self.disturb(number, Disturbance::Up(ids.clone()));
            }
            (FaultKind::BrokerRtt { .. }, Targets::Brokers(ids)) => {
                self.disturb(number, Disturbance::Rtt(ids.clone(), Duration::ZERO));
            }
            (FaultKind::BrokerPause, Targets::Brokers(ids)) => {
                self.disturb(number, Disturbance::GoOn(ids.clone()));
            }
            (FaultKind::SlowDisk { .. }, Targets::Brokers(ids)) => {
                self.disturb(number, Disturbance::SlowDisk(ids.clone(), Duration::ZERO));
            }
            (FaultKind::Link { .. }, Targets::Brokers(ids)) => {
                let (brokers, delay) = (ids.clone(), Duration::ZERO);
                let (loss, duplicate) = (0.0, 0.0);
                self.disturb(number, Disturbance::Link { brokers, delay, loss, duplicate });
            }
            (FaultKind::LinkCut { side }, Targets::Brokers(ids)) => {
                self.disturb(number, Disturbance::Join(ids.clone(), *side));
            }
            (FaultKind::Exec(_), _) => self.commands.undo(number),
            _ => {}
        }
    }

    fn disturb(&self, number: usize, disturbance: Disturbance) {
        let context = self.context.clone();
        let missed = Arc::new(move |reason| context.note_missed(number, reason));
        self.context.runtime.inject(number, disturbance, missed);
    }

    fn begin_recovery(
        &self,
        number: usize,
        consumer: Option<ConsumerId>,
        partitions: &[PartitionId],
        now: Time,
    ) {
        let fault = &self.context.plan.faults[number];
        let is_over = fault.kind.is_over_at_once();
        let lasts = !is_over && (fault.lasts.is_some() || matches!(fault.kind, FaultKind::Exec(_)));
        for partition in partitions {
            let mut cell = self.context.measurements.cell(*partition).lock();
            cell.begin_recovery(number, consumer, now, |mark| {
                mark.healed = is_over.then_some(now);
                mark.lasts = lasts;
            });
        }
    }
}
