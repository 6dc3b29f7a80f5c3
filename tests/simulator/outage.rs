//! The real supervisor with its actors and threads, on a cluster that the test can take down, and that returns no
//! records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lanekeeper::actors::{
    Context, Patience, Status, Supervisor, SupervisorArgs, SupervisorMsg, ThreadRuntime,
};
use lanekeeper::base::{
    Clock, Offset, PartitionId, PoolId, ProducerId, RecordView, RunId, Seed, Stamp, Time,
    write_payload,
};
use lanekeeper::broker::{
    BrokerError, ClusterPort, Committer, ConsumerCommand, ConsumerEvents, ConsumerPort,
    ConsumerSpec, EndOffsets, ProducerPort, Watermarks,
};
use lanekeeper::logic::ActiveFaults;
use lanekeeper::measure::{Event, LaneShape, Measurements};
use lanekeeper::plan::{Overrides, Plan, compile};
use lanekeeper::scenario::Source;
use ractor::Actor;
use tokio::sync::watch;

const CONSUMERS: usize = 6;
/// More than all restart budgets together: if failures were charged, consumers would be given up.
const PROBES: usize = 40;
const SCENARIO: &str = "[topic]\npartitions = 6\n\
    [restart]\nbackoff = \"10ms\"\nfactor = 1.0\njitter = 0.0\nbudget = 5\n\
    [watchdog]\npoll = \"200ms\"\nfetch = \"500ms\"\n";
/// Time limit of each wait.
const LIMIT: Duration = Duration::from_secs(60);

/// A cluster that returns no records to assigned consumers, and whose clients fail while it is down.
#[derive(Clone, Default)]
struct Flaky {
    down: Arc<AtomicBool>,
    /// End offset of every partition.
    end: i64,
    /// Number of records that members get, and the offset of the first one.
    holds: u64,
    log: Arc<AtomicU64>,
    /// Number of answers that still lack the end offset of the last partition.
    partial: Arc<AtomicU64>,
}

impl Flaky {
    fn is_down(&self) -> bool {
        self.down.load(Ordering::Acquire)
    }
}

impl ClusterPort for Flaky {
    fn consumer(&self, spec: &ConsumerSpec) -> Result<Box<dyn ConsumerPort>, BrokerError> {
        let member = spec.group.as_ref().map(|group| PartitionId(group.consumer.0));
        Ok(Box::new(Port { cluster: self.clone(), assigned: None, member }))
    }

    fn producer(&self, _pool: PoolId) -> Result<Box<dyn ProducerPort>, BrokerError> {
        Err(BrokerError::fatal("nothing is sent here"))
    }

    fn end_offsets(&self) -> Result<Box<dyn EndOffsets>, BrokerError> {
        Ok(Box::new(Ends(self.clone())))
    }

    fn committer(&self, _group: &str) -> Result<Box<dyn Committer>, BrokerError> {
        Err(BrokerError::fatal("nothing is committed here"))
    }
}

struct Ends(Flaky);

impl EndOffsets for Ends {
    fn fetch(&mut self) -> Result<BTreeMap<PartitionId, Offset>, BrokerError> {
        let Flaky { end, partial, .. } = &self.0;
        let one_less = |left: u64| left.checked_sub(1);
        let is_partial =
            partial.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_ok();
        let told = CONSUMERS as u32 - u32::from(is_partial);
        Ok((0..told).map(|id| (PartitionId(id), Offset(*end))).collect())
    }

    fn watermarks(&mut self) -> Result<Watermarks, BrokerError> {
        Ok(Watermarks::new())
    }
}

struct Port {
    cluster: Flaky,
    assigned: Option<PartitionId>,
    /// The partition that a group member gets; `None` after that, and for other clients.
    member: Option<PartitionId>,
}

/// A record of the test's run.
fn record(partition: PartitionId, sequence: u64) -> Vec<u8> {
    let mut payload = vec![7; 64];
    let (run, producer) = (RunId(1), ProducerId(0));
    let (intended, sent) = (Time(0), Time(0));
    write_payload(&Stamp { run, producer, partition, sequence, intended, sent }, &mut payload);
    payload
}

impl ConsumerPort for Port {
    fn submit(&mut self, _now: Time, command: ConsumerCommand) -> Result<(), BrokerError> {
        if let ConsumerCommand::Assign(partition, _) = command {
            self.assigned = Some(partition);
        }
        Ok(())
    }

    fn poll(&mut self, now: Time, _wait: Duration, events: &mut dyn ConsumerEvents) -> Time {
        if let Some(partition) = self.member.take() {
            events.assigned(now, &[partition]);
            // The member reads from its committed offset 0. If `log` has changed, these are records of a topic that was
            // created again.
            let log = self.cluster.log.load(Ordering::Acquire);
            for offset in 0..self.cluster.holds {
                let payload = record(partition, log + offset);
                events.record(partition, Offset(offset as i64), &RecordView::from(&payload), now);
            }
        }
        if self.cluster.is_down() {
            events.error(now, BrokerError::fatal("there is no broker"));
        } else if let Some(partition) = self.assigned.take() {
            events.end_of_partition(partition);
        }
        std::thread::sleep(Duration::from_millis(1));
        now + Duration::from_millis(1)
    }

    fn close(self: Box<Self>, _limit: Duration) -> bool {
        true
    }
}

fn plan(more: &str) -> Plan {
    let text = format!("{SCENARIO}{more}");
    let source = Source { name: "outage.toml".to_owned(), text };
    let (plan, found) = compile(&source, &[], &Overrides::default());
    plan.unwrap_or_else(|| panic!("{found:?}"))
}

fn context(cluster: &Flaky, more: &str) -> Context {
    let plan = plan(more);
    let shape = LaneShape { fixed: true, partitions: CONSUMERS as u32, pools: 1 };
    let clock = Clock::start();
    Context {
        runtime: Arc::new(ThreadRuntime::new(Arc::new(cluster.clone()), clock)),
        measurements: Arc::new(Measurements::new(shape, &[Offset(0); CONSUMERS])),
        clock,
        run: RunId(1),
        seed: Seed(1),
        handlers: None,
        earlier: Arc::new([]),
        active_faults: Arc::new(ActiveFaults::new(
            CONSUMERS as u32,
            CONSUMERS as u32,
            1,
            plan.seed,
        )),
        plan: Arc::new(plan),
    }
}

fn count(context: &Context, wanted: fn(&Event) -> bool) -> usize {
    context.measurements.journal.since(0).iter().filter(|(_, event)| wanted(event)).count()
}

#[tokio::test]
async fn an_outage_is_no_consumers_fault_and_every_consumer_comes_back() {
    let cluster = Flaky::default();
    let context = context(&cluster, "");
    let (publish, mut status) = watch::channel(Status::default());
    let args =
        SupervisorArgs { context: context.clone(), commands: Arc::default(), status: publish };
    let (supervisor, done) = Actor::spawn(None, Supervisor, args).await.expect("a supervisor");
    supervisor.cast(SupervisorMsg::StartConsumers).expect("a supervisor that listens");
    let outage = async {
        let all_up = |status: &Status| status.consumers_running == CONSUMERS;
        status.wait_for(all_up).await.expect("a status");
        cluster.down.store(true, Ordering::Release);
        while count(&context, |event| matches!(event, Event::GateProbe { .. })) < PROBES {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cluster.down.store(false, Ordering::Release);
        status.wait_for(all_up).await.expect("a status");
        assert_eq!(status.borrow().given_up, BTreeMap::new());
    };
    tokio::time::timeout(LIMIT, outage).await.expect("all are back");
    let shut = count(&context, |event| matches!(event, Event::GateShut { .. }));
    let opened = count(&context, |event| matches!(event, Event::GateOpened { .. }));
    assert_eq!((shut, opened), (1, 1));
    supervisor.stop(None);
    done.await.expect("an end in order");
}

/// A group with one member per partition.
const GROUP: &str = "[consumers]\nmode = \"group\"\ncount = 6\n";

#[tokio::test]
async fn a_client_that_brings_nothing_although_records_wait_is_reassigned_replaced_and_given_up() {
    assert_hung_fetches("").await;
}

#[tokio::test]
async fn so_is_a_group_member() {
    assert_hung_fetches(GROUP).await;
}

async fn assert_hung_fetches(more: &str) {
    let cluster = Flaky { end: 5, ..Flaky::default() };
    let context = context(&cluster, more);
    let (publish, mut status) = watch::channel(Status::default());
    let args =
        SupervisorArgs { context: context.clone(), commands: Arc::default(), status: publish };
    let (supervisor, done) = Actor::spawn(None, Supervisor, args).await.expect("a supervisor");
    supervisor.cast(SupervisorMsg::StartConsumers).expect("a supervisor that listens");
    let all_given_up = status.wait_for(|status| status.given_up.len() == CONSUMERS);
    let waited = tokio::time::timeout(LIMIT, all_given_up).await.expect("an end");
    let reasons = waited.expect("a status").given_up.clone();
    assert!(reasons.values().all(|reason| reason.starts_with("hung fetch: ")), "{reasons:?}");
    let remedies_of = |wanted: u32| -> Vec<String> {
        let of = |(_, event): (Time, Event)| match event {
            Event::ConsumerStuck { consumer, remedy, .. } if consumer.0 == wanted => Some(remedy),
            _ => None,
        };
        context.measurements.journal.since(0).into_iter().filter_map(of).collect()
    };
    let rungs = ["noted", "assigned again", "replaced"];
    for consumer in 0..CONSUMERS as u32 {
        let remedies = remedies_of(consumer);
        assert_eq!(remedies[..3], rungs, "{remedies:?}");
        assert_eq!(remedies.last().map(String::as_str), Some("given up"));
        assert_eq!(remedies.iter().filter(|remedy| *remedy == "replaced").count(), 2);
    }
    supervisor.stop(None);
    done.await.expect("an end in order");
}

#[tokio::test]
async fn members_that_find_another_log_are_stalled_and_not_restarted() {
    let cluster = Flaky { end: 5, holds: 5, ..Flaky::default() };
    let context = context(&cluster, GROUP);
    let (publish, mut status) = watch::channel(Status::default());
    let args =
        SupervisorArgs { context: context.clone(), commands: Arc::default(), status: publish };
    let (supervisor, done) = Actor::spawn(None, Supervisor, args).await.expect("a supervisor");
    supervisor.cast(SupervisorMsg::StartConsumers).expect("a supervisor that listens");
    let story = async {
        while !context.measurements.cells.iter().all(|cell| cell.lock().next_offset() == Offset(5))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The log is the same, so the records that are read again count as redelivered.
        cluster.down.store(true, Ordering::Release);
        status.wait_for(|status| status.consumers_running == 0).await.expect("a status");
        cluster.down.store(false, Ordering::Release);
        while !context.measurements.cells.iter().all(|cell| cell.lock().counts().redelivered >= 5) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(status.borrow().given_up, BTreeMap::new());
        cluster.log.store(100, Ordering::Release);
        cluster.down.store(true, Ordering::Release);
        status.wait_for(|status| status.consumers_running == 0).await.expect("a status");
        cluster.down.store(false, Ordering::Release);
        let all_over = |status: &Status| status.given_up.len() == CONSUMERS;
        status.wait_for(all_over).await.expect("a status").given_up.clone()
    };
    let reasons = tokio::time::timeout(LIMIT, story).await.expect("an end");
    let is_rewritten = |reason: &String| reason.contains("offset 4");
    assert!(reasons.values().all(is_rewritten), "{reasons:?}");
    supervisor.stop(None);
    done.await.expect("an end in order");
}

/// The end offsets that a cluster tells whose first `answers` answers lack one partition.
async fn asked(answers: u64, limit: Duration) -> BTreeMap<PartitionId, Offset> {
    let cluster = Flaky { end: 5, partial: Arc::new(AtomicU64::new(answers)), ..Flaky::default() };
    let runtime = context(&cluster, "").runtime;
    let partitions: Vec<PartitionId> = (0..CONSUMERS as u32).map(PartitionId).collect();
    let (_interrupt, interrupted) = watch::channel(false);
    let patience = Patience { limit, interrupted, once_interrupted: Duration::ZERO };
    runtime.end_offsets(&partitions, patience).await.expect("an answer")
}

#[tokio::test]
async fn end_offsets_are_asked_until_each_partition_has_one_or_the_time_is_over() {
    assert_eq!(asked(2, LIMIT).await.len(), CONSUMERS);
    // What is known is better than nothing.
    assert_eq!(asked(u64::MAX, Duration::ZERO).await.len(), CONSUMERS - 1);
}
