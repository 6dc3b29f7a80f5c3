//! The machines of supervision, connected by the test and driven by random events, without and with a planted defect.
//! The checks must find each defect.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lanekeeper::base::{
    ConsumerId, Incarnation, Offset, PartitionId, ProducerId, Random, RunId, Seed, Stamp, Time,
    write_payload,
};
use lanekeeper::logic::{Action, Cause, ConsumerMachine, Slot, SlotEvent, SlotState, WorkSampler};
use lanekeeper::measure::{Applied, LaneShape, Owner, PartitionCell};
use lanekeeper::plan::{RestartPolicy, Work};
use proptest::prelude::*;

/// The reason of a failure that no restart can mend.
const GONE: &str = "gone";
const PARTITIONS: usize = 3;
const RUN: RunId = RunId(42);

/// A planted defect in the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    /// Partitions are not fenced, so records of old threads count.
    NoFence,
    /// The checkpoint moves before the end of the work on a record.
    CheckpointFirst,
    /// A restarted consumer reads the partition of its neighbour.
    WrongPartition,
    /// All partitions share one restart budget.
    SharedBudget,
}

/// A thread with its machine.
struct Host {
    machine: ConsumerMachine,
    /// The partition whose records it gets.
    reads: usize,
    position: i64,
    /// Number of records in its batch.
    pending: usize,
}

/// A supervisor, its hosts, and a log per partition.
struct World {
    defect: Option<Defect>,
    slots: Vec<(Slot, Random)>,
    cells: Vec<PartitionCell>,
    hosts: Vec<Option<Host>>,
    zombies: Vec<(usize, Host)>,
    timers: BTreeMap<usize, u64>,
    ends: [i64; PARTITIONS],
    /// Offsets that were really processed.
    worked: Vec<BTreeSet<i64>>,
    checkpoints: [i64; PARTITIONS],
    failures: [u32; PARTITIONS],
    meltdown: u32,
    now: Time,
    violations: BTreeSet<&'static str>,
}

/// An event of a partition, with its amount.
#[derive(Clone, Copy, Debug)]
struct Happening {
    kind: u8,
    partition: usize,
    amount: i64,
}

fn payload(partition: usize, offset: i64) -> Vec<u8> {
    let mut payload = vec![7; 64];
    let stamp = Stamp {
        run: RUN,
        producer: ProducerId(0),
        partition: PartitionId(partition as u32),
        sequence: offset as u64,
        intended: Time(0),
        sent: Time(0),
    };
    write_payload(&stamp, &mut payload);
    payload
}

impl World {
    fn new(defect: Option<Defect>, seed: u64) -> World {
        let shape = LaneShape { fixed: true, partitions: PARTITIONS as u32, pools: 1 };
        let cell = |p| PartitionCell::new(PartitionId(p as u32), Offset(0), shape);
        let slot = |p| (Slot::new(RestartPolicy::default()), Seed(seed).child("slot", p).random());
        let mut world = World {
            defect,
            slots: (0..PARTITIONS as u64).map(slot).collect(),
            cells: (0..PARTITIONS).map(cell).collect(),
            hosts: (0..PARTITIONS).map(|_| None).collect(),
            zombies: Vec::new(),
            timers: BTreeMap::new(),
            ends: [0; PARTITIONS],
            worked: vec![BTreeSet::new(); PARTITIONS],
            checkpoints: [0; PARTITIONS],
            failures: [0; PARTITIONS],
            meltdown: 0,
            now: Time::ZERO,
            violations: BTreeSet::new(),
        };
        for partition in 0..PARTITIONS {
            let actions = world.slots[partition].0.start();
            world.perform(partition, actions);
        }
        world
    }

    fn checkpoint(&self, partition: usize) -> Offset {
        self.cells[partition].lock().next_offset()
    }

    fn step(&mut self, partition: usize, event: SlotEvent) {
        let was_over = self.slots[partition].0.is_over();
        let (slot, random) = &mut self.slots[partition];
        let actions = slot.step(event, self.now, random);
        if was_over && actions.iter().any(|action| matches!(action, Action::Start(_))) {
            self.violations.insert("restarted after its end");
        }
        self.perform(partition, actions);
    }

    fn perform(&mut self, partition: usize, actions: Vec<Action>) {
        let consumer = ConsumerId(partition as u32);
        for action in actions {
            match action {
                Action::Fence(next) if self.defect != Some(Defect::NoFence) => {
                    self.cells[partition].lock().release(consumer, next);
                }
                Action::Fence(_) | Action::Stop(_) => {}
                Action::Start(incarnation) => self.start(partition, incarnation),
                Action::SetTimer { generation, .. } => {
                    self.timers.insert(partition, generation);
                }
                Action::GiveUp { reason } => {
                    let is_definite = reason == GONE;
                    if !is_definite && self.failures[partition] < RestartPolicy::default().budget {
                        self.violations.insert("given up for the failures of others");
                    }
                }
            }
        }
    }

    fn start(&mut self, partition: usize, incarnation: Incarnation) {
        if self.hosts[partition].is_some() {
            self.violations.insert("two live incarnations");
        }
        let is_astray = self.defect == Some(Defect::WrongPartition) && incarnation > Incarnation(1);
        let owner = Owner { consumer: ConsumerId(partition as u32), incarnation };
        let work = WorkSampler::new(Work::None, Seed(1));
        let id = PartitionId(partition as u32);
        self.hosts[partition] = Some(Host {
            machine: ConsumerMachine::new(id, owner, RUN, work, 256),
            reads: if is_astray { (partition + 1) % PARTITIONS } else { partition },
            position: self.checkpoint(partition).0,
            pending: 0,
        });
        self.step(partition, SlotEvent::Ready(incarnation));
    }

    /// Processes `amount` records. With `dies`, it fails during the work on the last one.
    fn work(&mut self, partition: usize, amount: i64, dies: bool) {
        let Some(host) = &mut self.hosts[partition] else { return };
        for n in 0..amount {
            if host.position >= self.ends[host.reads] {
                return;
            }
            let fails = dies && n + 1 == amount;
            let offset = Offset(host.position);
            host.machine.begin(offset, &payload(host.reads, host.position), self.now);
            if self.defect == Some(Defect::CheckpointFirst) {
                host.machine.done(self.now);
                host.machine.flush(&self.cells[partition]);
            }
            if fails {
                return;
            }
            self.worked[host.reads].insert(host.position);
            host.machine.done(self.now);
            host.position += 1;
            host.pending += 1;
        }
    }

    fn end(&mut self, partition: usize, cause: Cause) {
        let Some(host) = self.hosts[partition].take() else { return };
        self.zombies.push((partition, host));
        let incarnation = self.slots[partition].0.incarnation();
        let checkpoint = self.checkpoint(partition);
        if matches!(cause, Cause::Failed(_)) {
            self.failures[partition] += 1;
            self.meltdown += 1;
        }
        self.step(partition, SlotEvent::Ended { incarnation, cause, checkpoint });
        if self.defect == Some(Defect::SharedBudget) && self.meltdown >= 5 {
            self.meltdown = 0;
            for other in 0..PARTITIONS {
                if let Some(host) = self.hosts[other].take() {
                    self.zombies.push((other, host));
                    let incarnation = self.slots[other].0.incarnation();
                    let cause = Cause::Exhausted("too many failures in all".to_owned());
                    let checkpoint = self.checkpoint(other);
                    self.step(other, SlotEvent::Ended { incarnation, cause, checkpoint });
                }
            }
        }
    }

    fn happen(&mut self, Happening { kind, partition, amount }: Happening) {
        match kind {
            0 => self.ends[partition] += amount,
            1 => self.work(partition, amount, false),
            2 => {
                self.work(partition, amount, true);
                self.end(partition, Cause::Failed("panic".to_owned()));
            }
            3 => self.end(partition, Cause::Injected),
            4 => {
                if let Some((of, mut zombie)) = self.zombies.pop() {
                    let brings = zombie.pending > 0;
                    if brings && zombie.machine.flush(&self.cells[of]) == Applied::Counted {
                        self.violations.insert("a fenced start counts");
                    }
                }
            }
            5 => {
                if let Some(host) = &mut self.hosts[partition] {
                    host.machine.flush(&self.cells[partition]);
                    host.pending = 0;
                }
            }
            6 => {
                if let Some(generation) = self.timers.remove(&partition) {
                    self.step(partition, SlotEvent::Timer(generation));
                }
            }
            7 => self.now = self.now + Duration::from_millis(500 * amount as u64),
            _ if amount == 7 => self.end(partition, Cause::Permanent(GONE.to_owned())),
            _ => {}
        }
        self.check();
    }

    fn check(&mut self) {
        for partition in 0..PARTITIONS {
            let cell = self.cells[partition].lock();
            let next = cell.next_offset().0;
            if next < self.checkpoints[partition] {
                self.violations.insert("a checkpoint went back");
            }
            self.checkpoints[partition] = next;
            if !(0..next).all(|offset| self.worked[partition].contains(&offset)) {
                self.violations.insert("a checkpoint past what was processed");
            }
            // Violations that the ledger finds.
            if cell.wrong_partition > 0 {
                self.violations.insert("ledger: wrong partition");
            }
            if cell.counts().reordered + cell.counts().duplicated > 0 || cell.offset_gaps > 0 {
                self.violations.insert("ledger: reordered, duplicated or left out");
            }
            let slot = &self.slots[partition].0;
            let waits = matches!(slot.state(), SlotState::BackingOff { .. });
            let is_lost = slot.is_live() != self.hosts[partition].is_some()
                || waits && !self.timers.contains_key(&partition);
            if is_lost {
                self.violations.insert("a slot is lost");
            }
        }
    }
}

fn happening() -> impl Strategy<Value = Happening> {
    (0u8..9, 0..PARTITIONS, 1i64..8).prop_map(|(kind, partition, amount)| Happening {
        kind,
        partition,
        amount,
    })
}

proptest! {
    #[test]
    fn whatever_happens_nothing_is_lost_counted_twice_or_charged_to_others(
        happenings in proptest::collection::vec(happening(), 1..200), seed in 0u64..1000,
    ) {
        let mut world = World::new(None, seed);
        happenings.into_iter().for_each(|happening| world.happen(happening));
        prop_assert_eq!(world.violations, BTreeSet::new());
    }
}

/// The violations that a defect causes in a hundred random histories, which are the same each time.
fn noticed(defect: Defect) -> BTreeSet<&'static str> {
    let mut noticed = BTreeSet::new();
    for seed in 0..100 {
        let mut world = World::new(Some(defect), seed);
        let mut random = Seed(seed).child("happenings", 0).random();
        let mut below = |n: u32| (random.unit() * f64::from(n)) as u32;
        for _ in 0..300 {
            let (kind, partition) = (below(8) as u8, below(PARTITIONS as u32) as usize);
            world.happen(Happening { kind, partition, amount: 1 + i64::from(below(7)) });
        }
        noticed.extend(world.violations);
    }
    noticed
}

#[test]
fn every_defect_is_noticed() {
    for (defect, expected) in [
        (Defect::NoFence, "a fenced start counts"),
        (Defect::CheckpointFirst, "a checkpoint past what was processed"),
        (Defect::WrongPartition, "ledger: wrong partition"),
        (Defect::SharedBudget, "given up for the failures of others"),
    ] {
        let noticed = noticed(defect);
        assert!(noticed.contains(expected), "{defect:?}: {noticed:?}");
    }
}
