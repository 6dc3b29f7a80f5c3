//! Injecting faults, and noting their ends.

use std::collections::BTreeSet;

use std::sync::Arc;

use super::child_exit::{CATCH_UP, partitions_of_pool};
use super::state::SupervisorState;
use crate::actors::messages::SlotId;
use crate::base::{ConsumerId, PartitionId, PoolId, Time};
use crate::fault::{
    BrokerChange, Call, CallAction, CallError, CallRule, ClusterFault, ConsumerFault, FaultEffect,
    PartitionFault, PoolFault, Targets,
};
use crate::measure::Event;
use crate::plan::FaultPlan;

impl SupervisorState {
    /// Injects occurrence `number`.
    pub(super) fn inject(&mut self, number: usize) {
        let plan = self.context.plan.clone();
        let Some(fault) = plan.faults.get(number).filter(|_| !self.load_is_over) else {
            return;
        };
        let now = self.context.clock.now();
        let description = fault.to_string();
        self.context.note_at(now, Event::FaultInjected { fault: number, description });
        self.context.measurements.fault(number, |times| times.injected = Some(now));
        match &fault.kind.effect {
            FaultEffect::Consumers(effect) => {
                for consumer in fault.targets.consumers() {
                    self.hit_consumer(number, fault, *effect, *consumer, now);
                }
            }
            FaultEffect::Pools(effect) => {
                for pool in fault.targets.pools() {
                    self.hit_pool(number, fault, *effect, *pool, now);
                }
            }
            FaultEffect::Partitions(effect) => self.hit_partitions(number, fault, *effect, now),
            FaultEffect::Calls(rule) => self.hit_calls(number, fault, *rule, now),
            effect => {
                self.hit_all(number, now);
                self.hit_cluster(number, effect, &fault.targets);
            }
        }
    }

    /// Notes the end of occurrence `number`, whose duration is over.
    pub(super) fn heal(&mut self, number: usize) {
        let plan = self.context.plan.clone();
        let Some(fault) = plan.faults.get(number) else {
            return;
        };
        match &fault.kind.effect {
            FaultEffect::Exec(_) => {
                self.commands.undo(number);
                // The thread of its commands notes the end, after they have ended.
                return self.poll_end_offsets_now();
            }
            FaultEffect::Brokers { end: Some(end), .. } => {
                self.change_brokers(number, &fault.targets, *end);
            }
            _ => {}
        }
        let now = self.context.clock.now();
        self.context.fault_ended(number, now, |mark| mark.ended = Some(now));
        self.context.active_faults.calls().disarm(number);
        for consumer in fault.targets.consumers() {
            self.context.active_faults.disarm(*consumer, number);
        }
        self.poll_end_offsets_now();
    }

    fn hit_consumer(
        &mut self,
        number: usize,
        fault: &FaultPlan,
        effect: ConsumerFault,
        consumer: ConsumerId,
        now: Time,
    ) {
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
        let lasts = fault.lasts.unwrap_or_default();
        let end = fault.lasts.map(|lasts| now + lasts);
        match effect {
            ConsumerFault::Kill | ConsumerFault::Stop => {}
            ConsumerFault::LateClose => active_faults.arm_late_close(consumer, lasts),
            ConsumerFault::Panic => active_faults.arm_panic(consumer, number),
            ConsumerFault::Hang => active_faults.arm_hang(consumer, number, end),
            ConsumerFault::Stall => active_faults.arm_stall(consumer, number, lasts),
            ConsumerFault::Slow { factor, add } => {
                active_faults.arm_slow(consumer, factor, add, end.unwrap_or(Time::NEVER));
            }
            ConsumerFault::CrashLoop { times } => {
                active_faults.arm_crash_loop(consumer, number, times, end);
            }
        }
        if let Some(child) = self.children.get_mut(&id) {
            match effect {
                ConsumerFault::Kill | ConsumerFault::LateClose => child.kill(number),
                ConsumerFault::Stop => child.stop_for(number),
                // The host triggers it.
                _ => {}
            }
        }
    }

    fn hit_pool(
        &mut self,
        number: usize,
        fault: &FaultPlan,
        effect: PoolFault,
        pool: PoolId,
        now: Time,
    ) {
        let partitions = partitions_of_pool(&self.context, pool);
        let Some(child) = self.children.get_mut(&SlotId::Pool(pool)) else {
            return;
        };
        if !child.slot.is_live() {
            self.context.note_missed(number, format!("pool {pool} was not running"));
            return;
        }
        let measured = &self.context.measurements.pools[pool.0 as usize];
        match effect {
            // The burst is part of the schedules from the beginning.
            PoolFault::Burst { .. } => {}
            PoolFault::Pause => {
                let end = now + fault.lasts.unwrap_or_default();
                self.context.active_faults.pause(pool, end);
                measured.lock().exclude_lateness(now, end + CATCH_UP);
            }
            PoolFault::Kill => {
                measured.lock().exclude_lateness(now, Time::NEVER);
                child.kill(number);
            }
        }
        self.begin_recovery(number, None, &partitions, now);
    }

    fn hit_partitions(&self, number: usize, fault: &FaultPlan, effect: PartitionFault, now: Time) {
        let Targets::Partitions(partitions) = &fault.targets else { return };
        self.begin_recovery(number, None, partitions, now);
        match effect {
            PartitionFault::Poison => partitions.iter().for_each(|partition| {
                self.context.active_faults.arm_poison(*partition, number);
            }),
            PartitionFault::SecondOwner => {
                let until = now + fault.lasts.unwrap_or_default();
                partitions.iter().for_each(|partition| {
                    let runtime = &self.context.runtime;
                    let spawned = runtime.spawn_rogue_consumer(&self.context, *partition, until);
                    if let Err(error) = spawned {
                        self.context.note_missed(number, error.to_string());
                    }
                });
            }
            PartitionFault::DeleteRecords => {
                self.inject_into_cluster(number, ClusterFault::DeleteRecords(partitions.clone()));
            }
        }
    }

    /// Begins a recovery of every partition, because the fault may affect each of them.
    fn hit_all(&self, number: usize, now: Time) {
        let all: Vec<PartitionId> =
            (0..self.context.measurements.cells.len() as u32).map(PartitionId).collect();
        self.begin_recovery(number, None, &all, now);
    }

    /// Applies a rule to the calls of clients from now on.
    fn hit_calls(&self, number: usize, fault: &FaultPlan, rule: CallRule, now: Time) {
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
            // The lateness of a producer that has to retry is due to the fault, and not to the load generator.
            let end = now + fault.lasts.unwrap_or_default() + CATCH_UP;
            let pools = &self.context.measurements.pools;
            pools.iter().for_each(|pool| pool.lock().exclude_lateness(now, end));
        }
        self.context.active_faults.calls().arm(fault.entry, number, rule, fault.targets.clone());
    }

    fn hit_cluster(&self, number: usize, effect: &FaultEffect, targets: &Targets) {
        match effect {
            FaultEffect::Brokers { begin, .. } => self.change_brokers(number, targets, *begin),
            FaultEffect::Cluster(its) => self.inject_into_cluster(number, its.clone()),
            FaultEffect::Exec(exec) => self.commands.start(&self.context, number, exec),
            // Members that join do not exist yet: see `join`. The other effects hit no cluster.
            FaultEffect::Join
            | FaultEffect::Consumers(_)
            | FaultEffect::Pools(_)
            | FaultEffect::Partitions(_)
            | FaultEffect::Calls(_) => {}
        }
    }

    fn change_brokers(&self, number: usize, targets: &Targets, change: BrokerChange) {
        if let Targets::Brokers(brokers) = targets {
            self.inject_into_cluster(number, ClusterFault::Brokers(brokers.clone(), change));
        }
    }

    fn inject_into_cluster(&self, number: usize, cluster_fault: ClusterFault) {
        let context = self.context.clone();
        let missed = Arc::new(move |reason| context.note_missed(number, reason));
        self.context.runtime.inject(number, cluster_fault, missed);
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
        let lasts = !is_over
            && (fault.lasts.is_some() || matches!(fault.kind.effect, FaultEffect::Exec(_)));
        for partition in partitions {
            let mut cell = self.context.measurements.cell(*partition).lock();
            cell.begin_recovery(number, consumer, now, |mark| {
                mark.ended = is_over.then_some(now);
                mark.lasts = lasts;
            });
        }
    }
}
