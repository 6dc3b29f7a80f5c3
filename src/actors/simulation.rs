//! The runtime of a simulation: virtual time, hosts as processes of the kernel, and native clients of modelled brokers.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

#[cfg(test)]
use super::defective_client::consumer_client;
use super::host::{ConsumerHost, PoolHost, RogueConsumer, SimulatedConsumer, SimulatedPool};
use super::lease::Wake;
use super::record_work::{Completion, RecordWork};
use super::runtime::{
    Answer, ConsumerStart, Context, EndOffsetAnswer, Inquiry, Missed, Patience, ProducerStart,
    Query, Repetition, Round, Runtime, TopicAnswer,
};
use crate::base::{Clock, Offset, PartitionId, Time};
use crate::broker::native::member_protocol::MemberSettings;
use crate::broker::native::{NativeConsumer, NativeProducer, NativeSettings};
use crate::broker::sim::{KernelHandle, TraceWriter};
use crate::broker::{BrokerError, ConsumerSpec, GroupSpec, InstanceIds, TopicSize, Watermarks};
use crate::fault::ClusterFault;
use crate::logic::HandlerError;
use crate::measure::Measurements;
use crate::plan::{Plan, SimPlan};
use crate::summary::Simulation;

/// Nothing is compressed in a simulation, so one filler is enough for all payloads.
const FILLER_BYTES: usize = 1;

/// Hosts as processes of the kernel of a simulation.
pub struct SimRuntime {
    kernel: KernelHandle,
    clock: Clock,
    plan: Arc<Plan>,
    settings: SimPlan,
    /// The instance ids of static members, if only one client at a time may hold each.
    instance_ids: Option<InstanceIds>,
}

impl SimRuntime {
    /// Hosts in the kernel behind this handle, whose time is `clock`.
    pub fn new(
        kernel: KernelHandle,
        clock: Clock,
        plan: Arc<Plan>,
        settings: SimPlan,
    ) -> SimRuntime {
        let instance_ids = InstanceIds::of(plan.group());
        SimRuntime { kernel, clock, plan, settings, instance_ids }
    }

    /// The time limits and backoffs of the native client.
    fn client_settings(&self) -> NativeSettings {
        let client = &self.settings.client;
        NativeSettings {
            brokers: self.settings.brokers,
            request_timeout: client.request_timeout,
            message_timeout: client.message_timeout,
            retry_backoff: client.retry_backoff,
            retry_backoff_max: 10 * client.retry_backoff,
            ..NativeSettings::default()
        }
    }

    fn consumer(&self, context: &Context, spec: &ConsumerSpec) -> NativeConsumer {
        match &spec.group {
            None => NativeConsumer::new(self.client_settings()),
            Some(group) => {
                let member = MemberSettings::of(&context.plan, context.run, spec, group);
                NativeConsumer::member(member, self.client_settings(), group)
            }
        }
    }

    /// An answer of the kernel. A fault may keep a simulated cluster out of reach, so the wait is as long as that for
    /// the last records.
    fn answered<T: Send + 'static>(
        &self,
        answer: oneshot::Receiver<T>,
        patience: Patience,
    ) -> Answer<T> {
        let Patience { limit, mut interrupted, once_interrupted } = patience;
        let limit = limit + self.plan.times.drain;
        let (kernel, clock) = (self.kernel.clone(), self.clock);
        Box::pin(async move {
            let interruption = async {
                if interrupted.wait_for(|interrupted| *interrupted).await.is_err() {
                    // The sender is dropped, so there will be no interruption.
                    std::future::pending::<()>().await;
                }
                sleep(&kernel, clock.now() + once_interrupted.min(limit)).await;
            };
            tokio::select! {
                biased;
                answer = answer => answer.map_err(|error| error.to_string()),
                () = sleep(&kernel, clock.now() + limit) => {
                    Err(format!("no broker answered within {} s", limit.as_secs()))
                }
                () = interruption => Err("interrupted".to_owned()),
            }
        })
    }
}

impl Runtime for SimRuntime {
    fn spawn_consumer(&self, start: ConsumerStart) -> io::Result<Wake> {
        let client = consumer_client(self.consumer(&start.context, &start.spec), &start);
        let member = start.spec.group.as_ref().map(|group| group.consumer);
        let name = start.spec.name.clone();
        let claim = |ids: &InstanceIds, group: &GroupSpec| {
            let limit = self.plan.watch.close;
            ids.claim(group.consumer, group.incarnation, self.clock, limit)
        };
        let held = self.instance_ids.as_ref().zip(start.spec.group.as_ref());
        let held = held.map(|(ids, group)| claim(ids, group));
        let host = ConsumerHost::new(start);
        let process = SimulatedConsumer::new(host, client, name, member).with_claim(held);
        let client = self.kernel.host(Box::new(process), self.settings.client.start);
        let kernel = self.kernel.clone();
        Ok(Arc::new(move || kernel.wake(client)))
    }

    fn spawn_producer(&self, start: ProducerStart) -> io::Result<()> {
        let ProducerStart { context, shared, incarnation, mode, report } = start;
        let (partitions, load) = (shared.partitions() as u32, &self.plan.load);
        let port = NativeProducer::new(load, partitions, self.client_settings());
        let host = PoolHost::new(context, shared, incarnation, mode, port, FILLER_BYTES);
        // The load begins when its clients exist, so their start takes no time.
        self.kernel.host(Box::new(SimulatedPool::new(host, report)), Duration::ZERO);
        Ok(())
    }

    fn spawn_rogue_consumer(
        &self,
        context: &Context,
        partition: PartitionId,
        until: Time,
    ) -> Result<(), BrokerError> {
        let client = NativeConsumer::new(self.client_settings());
        let process = RogueConsumer::new(context, client, partition, (self.clock.now(), until));
        self.kernel.host(Box::new(process), Duration::ZERO);
        Ok(())
    }

    /// Calls the handler at once. The time of the work is charged to the host in virtual time.
    fn work(
        &self,
        _context: &Context,
        work: &RecordWork,
        handle: Option<&mut dyn FnMut() -> Result<(), HandlerError>>,
    ) -> Result<Completion, HandlerError> {
        let completion = work.charged();
        if let Some(handle) = handle {
            handle()?;
        }
        Ok(completion)
    }

    fn at(&self, at: Time, act: Box<dyn FnOnce() + Send>) {
        at_time(&self.kernel, at, act);
    }

    fn repeat(
        &self,
        _name: &str,
        first: Time,
        interval: Duration,
        mut round: Round,
    ) -> io::Result<Repetition> {
        let job = move |now| round(now).is_continue().then_some(now + interval);
        self.kernel.at(first, Box::new(job));
        Ok(Box::new(()))
    }

    /// Leaves out checks that cannot find anything. The others are at the times that checks have in real time.
    fn check_pause(&self, interval: Duration, due: Duration, longest: Duration) -> Duration {
        let steps = |wait: Duration| wait.as_nanos().div_ceil(interval.as_nanos()) as u32;
        interval * steps(due).clamp(1, steps(longest).max(1))
    }

    fn mark_actors_busy(&self) {
        self.kernel.mark_actors_busy();
    }

    fn end_offset_query(&self, answer: EndOffsetAnswer) -> Result<Query, BrokerError> {
        let (kernel, clock) = (self.kernel.clone(), self.clock);
        Ok(Box::new(move || {
            let (asked, answer) = (clock.now(), answer.clone());
            kernel.ask_ends(move |ends| answer(Ok((asked, ends))));
            true
        }))
    }

    fn topic_query(&self, answer: TopicAnswer) -> Result<Option<Query>, BrokerError> {
        // Only faults change a simulated topic.
        if !self.plan.grows() {
            return Ok(None);
        }
        let kernel = self.kernel.clone();
        Ok(Some(Box::new(move || {
            let answer = answer.clone();
            kernel.ask_watermarks(move |watermarks| {
                let partitions = watermarks.len() as u32;
                answer(Ok(TopicSize { partitions, led: partitions, ..TopicSize::default() }));
            });
            true
        })))
    }

    fn knows_leaders(&self) -> bool {
        true
    }

    fn note_leaders(&self, measurements: &Measurements) {
        for (at, partition, brokers) in self.kernel.take_leader_changes() {
            measurements.note_brokers(at, partition, brokers);
        }
    }

    fn inquire(&self, inquiry: Inquiry) {
        self.kernel.ask_watermarks(move |watermarks| (inquiry.answer)(Ok(watermarks)));
    }

    fn end_offsets(
        &self,
        _partitions: &[PartitionId],
        patience: Patience,
    ) -> Answer<BTreeMap<PartitionId, Offset>> {
        let (answer, ends) = oneshot::channel();
        self.kernel.ask_ends(move |ends| drop(answer.send(ends)));
        self.answered(ends, patience)
    }

    fn watermarks(&self, patience: Patience) -> Answer<Watermarks> {
        let (answer, both) = oneshot::channel();
        self.kernel.ask_watermarks(move |both| drop(answer.send(both)));
        self.answered(both, patience)
    }

    fn logs_have_gaps(&self) -> bool {
        false
    }

    fn grown(&self, partitions: u32) {
        self.kernel.set_known_partitions(partitions);
    }

    fn inject(&self, _fault: usize, cluster_fault: ClusterFault, _missed: Missed) {
        self.kernel.inject(cluster_fault);
    }

    fn trace(&self) -> Option<&TraceWriter> {
        self.kernel.trace_writer()
    }

    fn simulation(&self) -> Option<Simulation> {
        Some(self.kernel.simulation())
    }

    fn measures_the_host(&self) -> bool {
        false
    }

    fn is_reproducible(&self) -> bool {
        true
    }

    fn end_early(&self, why: String) {
        self.kernel.fail(why);
    }
}

/// The client of the host that begins with `start`. Tests replace it by one with planted defects.
#[cfg(not(test))]
fn consumer_client(client: NativeConsumer, _start: &ConsumerStart) -> NativeConsumer {
    client
}

/// Runs `act` at `at`, when no actor is busy.
fn at_time(kernel: &KernelHandle, at: Time, act: impl FnOnce() + Send + 'static) {
    let (busy, mut act) = (kernel.clone(), Some(act));
    let job = move |_| {
        busy.mark_actors_busy();
        act.take()?();
        None
    };
    kernel.at(at, Box::new(job));
}

/// Waits until virtual time is `at`.
async fn sleep(kernel: &KernelHandle, at: Time) {
    let (over, waits) = oneshot::channel();
    // The receiver is gone if the caller has stopped waiting.
    at_time(kernel, at, move || {
        let _ = over.send(());
    });
    let _ = waits.await;
}
