//! A model with all machines of supervision: slots, gate, watchdogs and poison watch, connected as in the supervisor.
//! Its hosts work, fail, hang and return late, in random histories in virtual time.

mod partition;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;
use std::time::Duration;

use lanekeeper::base::{ConsumerId, Incarnation, Offset, PartitionId, Random, RunId, Seed, Time};
use lanekeeper::logic::{
    Action, Cause, ConsumerMachine, Death, GATE_WINDOW, Gate, GateEffect, PoisonWatch, Remedy,
    SlotEvent, SlotState, WatchdogInput, WorkSampler,
};
use lanekeeper::measure::{Applied, Owner};
use lanekeeper::plan::{PoisonPolicy, RestartPolicy, Work};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use partition::{Hang, Host, Partition};

const PARTITIONS: usize = 4;
const RUN: RunId = RunId(42);
/// A step of the model: hosts poll in each step, and watchdogs are checked in every fifth, 250 ms apart as in the
/// supervisor.
const TICK: Duration = Duration::from_millis(50);
const LOOK_EVERY: u32 = 5;
/// Longer than all delays together, so every consumer that may be restarted has been.
const LONG: Duration = Duration::from_secs(180);

/// An event of a history, with its partition and amount.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Append(usize, i64),
    Work(usize, i64),
    /// The handler panics. The earlier records of its batch count if the flag is set, or are lost with it.
    Panic(usize, bool),
    Kill(usize),
    ClientBreaks(usize),
    DataLoss(usize),
    ClusterDown(bool),
    HungFetch(usize),
    HungPoll(usize),
    Poison(usize),
    LateFlush,
    Pass(u32),
}

use Happening::{
    Append, ClientBreaks, ClusterDown, DataLoss, HungFetch, HungPoll, Kill, LateFlush, Panic, Pass,
    Work as Works,
};

/// A planted defect in the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    /// The gate gets no notice of slots that wait when it closes.
    ForgottenHold,
    /// The watchdog's remedy is applied to the neighbour.
    WrongNeighbour,
}

/// The reason why a host ended.
enum Failure {
    Killed,
    Own(Option<i64>),
    Broker,
    Stuck(String),
    Hopeless(String),
    Definite,
}

struct World {
    defect: Option<Defect>,
    partitions: Vec<Partition>,
    gate: Gate<usize>,
    gate_random: Random,
    gate_timer: Option<(u64, Time)>,
    /// Slots that the gate releases, and the times.
    releases: BTreeMap<usize, Time>,
    poison: PoisonWatch,
    zombies: Vec<(usize, Host)>,
    is_down: bool,
    now: Time,
    ticks: u32,
}

impl World {
    fn new(policy: PoisonPolicy, seed: u64, defect: Option<Defect>) -> World {
        let mut world = World {
            defect,
            partitions: (0..PARTITIONS).map(|id| Partition::new(id, seed)).collect(),
            gate: Gate::new(PARTITIONS, RestartPolicy::default()),
            gate_random: Seed(seed).child("gate", 0).random(),
            gate_timer: None,
            releases: BTreeMap::new(),
            poison: PoisonWatch::new(policy),
            zombies: Vec::new(),
            is_down: false,
            now: Time::ZERO,
            ticks: 0,
        };
        for id in 0..PARTITIONS {
            let actions = world.partitions[id].slot.start();
            world.perform(id, actions);
        }
        world
    }

    fn step(&mut self, id: usize, event: SlotEvent) {
        let partition = &mut self.partitions[id];
        let actions = partition.slot.step(event, self.now, &mut partition.random);
        self.perform(id, actions);
    }

    fn perform(&mut self, id: usize, actions: Vec<Action>) {
        for action in actions {
            let partition = &mut self.partitions[id];
            match action {
                Action::Fence(next) => {
                    assert!(next > partition.fenced, "fenced twice");
                    partition.fenced = next;
                    partition.cell.lock().release(ConsumerId(id as u32), next);
                }
                Action::Start(incarnation) => self.start(id, incarnation),
                Action::SetTimer { generation, delay } => {
                    assert!(delay <= Duration::from_secs(36), "{delay:?}");
                    partition.timer = Some((generation, self.now + delay));
                }
                Action::Stop(_) => panic!("not asked for"),
                Action::GiveUp { reason } => {
                    let budget = RestartPolicy::default().budget as usize;
                    let is_own = partition.charged.len() >= budget || partition.may_be_given_up;
                    assert!(is_own, "given up for what others did: {reason}");
                }
            }
        }
    }

    fn start(&mut self, id: usize, incarnation: Incarnation) {
        let partition = &mut self.partitions[id];
        assert!(partition.host.is_none(), "two live incarnations");
        assert!(!partition.was_over, "started after its end");
        assert_eq!(incarnation.0, partition.started.0 + 1, "an incarnation twice or left out");
        assert!(partition.fenced >= incarnation, "started before the old one was fenced");
        partition.started = incarnation;
        partition.watchdog.started(self.now);
        let owner = Owner { consumer: ConsumerId(id as u32), incarnation };
        let work = WorkSampler::new(Work::None, Seed(1));
        let (position, skips) = (partition.next(), partition.cell.lock().skips());
        let machine = ConsumerMachine::new(PartitionId(id as u32), owner, RUN, work, 256);
        partition.host = Some(Host { machine, position, pending: 0, skips, hang: None });
    }

    /// As in `actors/supervisor/child_exit.rs`.
    fn end(&mut self, id: usize, failure: Failure) {
        let partition = &mut self.partitions[id];
        let Some(host) = partition.host.take() else { return };
        self.zombies.push((id, host));
        let incarnation = partition.slot.incarnation();
        if matches!(failure, Failure::Broker) {
            let effects = self.gate.failed(id, self.now, &mut self.gate_random);
            if effects.contains(&GateEffect::Hold(id)) {
                self.step(id, SlotEvent::Held(incarnation));
                return self.gate_effects(effects);
            }
        }
        let cause = match failure {
            Failure::Killed => Cause::Injected,
            Failure::Broker => Cause::Failed("the client".to_owned()),
            Failure::Stuck(said) => Cause::Failed(said),
            Failure::Hopeless(said) => Cause::Exhausted(said),
            Failure::Definite => Cause::Permanent("data loss".to_owned()),
            Failure::Own(None) => Cause::Failed("panic".to_owned()),
            Failure::Own(Some(offset)) => self.died_on(id, offset),
        };
        let partition = &mut self.partitions[id];
        let next = partition.next();
        if next > partition.progress {
            partition.charged.clear();
        }
        partition.progress = next;
        match cause {
            Cause::Failed(_) => partition.charge(self.now),
            Cause::Exhausted(_) | Cause::Permanent(_) => partition.may_be_given_up = true,
            Cause::Injected | Cause::Skipped | Cause::Unreleased => {}
        }
        self.step(id, SlotEvent::Ended { incarnation, cause, checkpoint: Offset(next) });
    }

    fn died_on(&mut self, id: usize, offset: i64) -> Cause {
        let (at, offset) = (PartitionId(id as u32), Offset(offset));
        match self.poison.died(at, offset) {
            Death::Common => Cause::Failed("panic".to_owned()),
            Death::Stop => Cause::Permanent("poison".to_owned()),
            Death::Skip => {
                assert!(self.partitions[id].poison.contains(&offset.0), "skipped without a reason");
                self.partitions[id].cell.lock().skip(offset);
                Cause::Skipped
            }
        }
    }

    fn gate_effects(&mut self, effects: Vec<GateEffect<usize>>) {
        for effect in effects {
            match effect {
                GateEffect::Hold(_) | GateEffect::Shut | GateEffect::Opened => {}
                GateEffect::Forgive(id) => {
                    let since = self.now - GATE_WINDOW;
                    self.partitions[id].charged.retain(|at| *at < since);
                    self.step(id, SlotEvent::Forgive { since });
                    let state = self.partitions[id].slot.state();
                    let is_forgotten = self.defect == Some(Defect::ForgottenHold);
                    if matches!(state, SlotState::BackingOff { .. }) && !is_forgotten {
                        self.gate.hold(id);
                    }
                }
                GateEffect::SetTimer { generation, delay } => {
                    self.gate_timer = Some((generation, self.now + delay));
                }
                GateEffect::Probe(id) => self.step(id, SlotEvent::Resume),
                GateEffect::Release(id, delay) => {
                    self.releases.insert(id, self.now + delay);
                }
            }
        }
    }

    /// Hosts poll. While the cluster is down their clients fail, and otherwise they become ready.
    fn poll(&mut self) {
        for id in 0..PARTITIONS {
            let Some(host) = &self.partitions[id].host else { continue };
            if matches!(host.hang, Some(Hang::Poll(_))) {
                continue;
            }
            if self.is_down {
                self.end(id, Failure::Broker);
                continue;
            }
            let slot = &self.partitions[id].slot;
            if slot.state() == SlotState::Starting {
                let incarnation = slot.incarnation();
                self.step(id, SlotEvent::Ready(incarnation));
                let effects = self.gate.ready(id);
                self.gate_effects(effects);
            }
        }
    }

    /// As in `actors/supervisor/watchdogs.rs`.
    fn check_watchdogs(&mut self) {
        for id in 0..PARTITIONS {
            let (now, is_down) = (self.now, self.is_down);
            let partition = &mut self.partitions[id];
            let next = partition.next();
            let Some(host) = &mut partition.host else { continue };
            let beat = if let Some(Hang::Poll(since)) = host.hang { since } else { now };
            let input = WatchdogInput {
                beat,
                in_flight: None,
                checkpoint: Offset(next),
                is_waited_for: partition.end > next && host.hang.is_some(),
                last_error: is_down.then_some(now),
            };
            let is_hung = host.hang.is_some();
            let (_, remedy) = partition.watchdog.check(&input, now);
            assert!(is_hung || remedy.is_none(), "a remedy for a healthy consumer");
            match remedy {
                None | Some(Remedy::Note) => {}
                // A reassignment helps in half of the cases.
                Some(Remedy::Reassign) if next % 2 == 0 => host.hang = None,
                Some(Remedy::Reassign) => {}
                Some(Remedy::Replace | Remedy::GiveUp)
                    if self.defect == Some(Defect::WrongNeighbour) =>
                {
                    let cause = Cause::Exhausted("hung".to_owned());
                    let neighbour = (id + 1) % PARTITIONS;
                    let incarnation = self.partitions[neighbour].slot.incarnation();
                    let checkpoint = Offset(self.partitions[neighbour].next());
                    self.partitions[neighbour].host = None;
                    self.step(neighbour, SlotEvent::Ended { incarnation, cause, checkpoint });
                }
                Some(Remedy::Replace) => self.end(id, Failure::Stuck("hung".to_owned())),
                Some(Remedy::GiveUp) => self.end(id, Failure::Hopeless("hung".to_owned())),
            }
        }
    }

    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while self.now < until {
            self.now = self.now + TICK;
            self.ticks += 1;
            for id in 0..PARTITIONS {
                if let Some((generation, _)) =
                    self.partitions[id].timer.take_if(|(_, at)| *at <= self.now)
                {
                    self.step(id, SlotEvent::Timer(generation));
                }
                if self.releases.get(&id).is_some_and(|at| *at <= self.now) {
                    self.releases.remove(&id);
                    self.step(id, SlotEvent::Resume);
                }
            }
            if let Some((generation, _)) = self.gate_timer.take_if(|(_, at)| *at <= self.now) {
                let effects = self.gate.timer(generation, &mut self.gate_random);
                self.gate_effects(effects);
            }
            self.poll();
            if self.ticks.is_multiple_of(LOOK_EVERY) {
                self.check_watchdogs();
            }
            self.check();
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Append(id, records) => self.partitions[id].end += records,
            Works(id, amount) => {
                if let Some(at) = self.partitions[id].work(id, amount, self.now) {
                    self.partitions[id].flush();
                    self.end(id, Failure::Own(Some(at)));
                } else if amount % 2 == 0 {
                    self.partitions[id].flush();
                }
            }
            Panic(id, flushes) => {
                if flushes {
                    self.partitions[id].flush();
                }
                self.end(id, Failure::Own(None));
            }
            Kill(id) => self.end(id, Failure::Killed),
            ClientBreaks(id) => self.end(id, Failure::Broker),
            DataLoss(id) => self.end(id, Failure::Definite),
            ClusterDown(is_down) => self.is_down = is_down,
            HungFetch(id) | HungPoll(id) => {
                let hang = if matches!(happening, HungPoll(_)) {
                    Hang::Poll(self.now)
                } else {
                    Hang::Fetch
                };
                if let Some(host) = &mut self.partitions[id].host {
                    host.hang = Some(hang);
                }
            }
            Happening::Poison(id) => {
                let partition = &mut self.partitions[id];
                partition.poison.insert(partition.end);
                partition.end += 1;
            }
            LateFlush => {
                if let Some((id, mut zombie)) = self.zombies.pop() {
                    let applied = zombie.machine.flush(&self.partitions[id].cell);
                    assert!(zombie.pending == 0 || applied == Applied::Fenced, "a dead one counts");
                }
            }
            Pass(ticks) => self.pass(TICK * ticks),
        }
        self.check();
    }

    fn check(&mut self) {
        for id in 0..PARTITIONS {
            let held_by_gate = self.gate.is_shut() && self.gate_timer.is_some();
            let has_release = self.releases.contains_key(&id);
            let partition = &mut self.partitions[id];
            let next = partition.next();
            assert!(next >= partition.checkpoint, "a checkpoint went back");
            partition.checkpoint = next;
            let is_worked = |offset| partition.worked.contains(&offset);
            assert!((0..next).all(is_worked), "a checkpoint past what was processed");
            let state = partition.slot.state();
            assert_eq!(partition.slot.is_live(), partition.host.is_some(), "{id}: {state:?}");
            if let SlotState::BackingOff { generation } = state {
                let has_timer = partition.timer.is_some_and(|(of, _)| of == generation);
                assert!(has_timer || has_release || held_by_gate, "{id} waits for nothing");
            }
            assert!(!partition.was_over || partition.slot.is_over(), "back from the dead");
            partition.was_over = partition.slot.is_over();
            assert!(partition.slot.restarts() < partition.started.0, "more restarts than starts");
        }
    }

    /// Ends all faults. Every consumer that was not given up is restarted and reads to the end.
    fn heal(&mut self) {
        self.is_down = false;
        for partition in &mut self.partitions {
            partition.poison.clear();
            if let Some(host) = &mut partition.host {
                host.hang = None;
            }
        }
        self.pass(LONG);
        assert!(!self.gate.is_shut(), "the gate stays shut");
        for id in 0..PARTITIONS {
            let now = self.now;
            let partition = &mut self.partitions[id];
            if !partition.slot.is_over() {
                assert_eq!(partition.slot.state(), SlotState::Running, "{id} is lost");
                partition.work(id, i64::MAX, now);
                partition.flush();
                assert_eq!(partition.next(), partition.end);
            }
        }
        self.check();
    }
}

fn happening() -> impl Strategy<Value = Happening> {
    let id = || 0..PARTITIONS;
    prop_oneof![
        4 => (id(), 1i64..8).prop_map(|(id, records)| Append(id, records)),
        8 => (id(), 1i64..8).prop_map(|(id, amount)| Works(id, amount)),
        3 => (id(), any::<bool>()).prop_map(|(id, flushes)| Panic(id, flushes)),
        2 => id().prop_map(Kill),
        2 => id().prop_map(ClientBreaks),
        1 => id().prop_map(DataLoss),
        2 => any::<bool>().prop_map(ClusterDown),
        2 => id().prop_map(HungFetch),
        1 => id().prop_map(HungPoll),
        1 => id().prop_map(Happening::Poison),
        2 => Just(LateFlush),
        6 => (1u32..40).prop_map(Pass),
        1 => (100u32..1_000).prop_map(Pass),
    ]
}

fn histories() -> impl Strategy<Value = (Vec<Happening>, bool, u64)> {
    (proptest::collection::vec(happening(), 1..120), any::<bool>(), 0u64..1000)
}

fn live(happenings: Vec<Happening>, skips: bool, seed: u64, defect: Option<Defect>) {
    let policy = if skips { PoisonPolicy::Skip } else { PoisonPolicy::Stop };
    let mut world = World::new(policy, seed, defect);
    happenings.into_iter().for_each(|happening| world.happen(happening));
    world.heal();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn together_they_lose_no_slot_count_nothing_twice_and_blame_nobody_for_others(
        (happenings, skips, seed) in histories(),
    ) {
        live(happenings, skips, seed, None);
    }
}

/// The checks find planted defects.
#[test]
fn what_is_wired_wrongly_is_noticed() {
    for (defect, said) in [
        (Defect::ForgottenHold, "waits for nothing"),
        (Defect::WrongNeighbour, "given up for what others did"),
    ] {
        let mut runner = TestRunner::deterministic();
        let mut noticed = BTreeSet::new();
        for _ in 0..400 {
            let (happenings, skips, seed) =
                histories().new_tree(&mut runner).expect("a history").current();
            let lived = catch_unwind(|| live(happenings, skips, seed, Some(defect)));
            noticed.extend(lived.err().and_then(|why| why.downcast_ref::<String>().cloned()));
        }
        assert!(noticed.iter().any(|why| why.contains(said)), "{defect:?}: {noticed:?}");
    }
}
