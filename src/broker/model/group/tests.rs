//! Groups of native members and a coordinator: both sides of the protocol.

use proptest::prelude::*;

use super::*;
use crate::broker::native::member::GroupMember;
use crate::broker::native::member_of;
use crate::broker::native::member_protocol::{MemberEvent, MemberProtocol, MemberSettings};

mod consumers;

const SESSION: Duration = Duration::from_secs(6);
const BEAT: Duration = Duration::from_secs(2);

fn s(seconds: f64) -> Time {
    Time((seconds * 1e9) as i64)
}

fn settings(assignor: Assignor, instance: Option<&str>) -> MemberSettings {
    MemberSettings {
        client_id: "consumer".to_owned(),
        instance_id: instance.map(str::to_owned),
        session_timeout: SESSION,
        heartbeat_interval: BEAT,
        rebalance_timeout: Duration::from_secs(300),
        assignor,
        partitions: 18,
        topic_refresh: None,
        consumer_protocol: None,
    }
}

/// A group with its members. Messages take no time.
struct World {
    group: GroupCoordinator,
    members: Vec<Box<dyn MemberProtocol>>,
    now: Time,
    /// The member that gets the response with a ticket.
    waiting: BTreeMap<Ticket, usize>,
    next: u64,
    /// Members whose process has ended.
    dead: Vec<usize>,
    /// The events of each member, except assignments.
    told: Vec<Vec<MemberEvent>>,
    /// Processed offset of every partition.
    processed: i64,
    started_at: BTreeMap<PartitionId, Option<Offset>>,
    /// Number of partitions of the topic.
    partitions: u32,
}

impl World {
    fn new() -> World {
        World {
            group: World::coordinator(),
            members: Vec::new(),
            now: Time::ZERO,
            waiting: BTreeMap::new(),
            next: 0,
            dead: Vec::new(),
            told: Vec::new(),
            processed: 0,
            started_at: BTreeMap::new(),
            partitions: 18,
        }
    }

    /// A coordinator whose time-outs for the consumer protocol are those of the classic one.
    fn coordinator() -> GroupCoordinator {
        let consumer = ConsumerGroupSettings { session_timeout: SESSION, heartbeat_interval: BEAT };
        let settings = GroupSettings { consumer, ..GroupSettings::default() };
        let mut group = GroupCoordinator::new(settings, Seed(7));
        group.topic_has(18);
        group
    }

    fn of(count: usize, assignor: Assignor) -> World {
        let mut world = World::new();
        (0..count).for_each(|_| _ = world.arrive(settings(assignor, None)));
        world.run_until(s(20.0));
        assert!(world.group.is_stable());
        world
    }

    fn arrive(&mut self, settings: MemberSettings) -> usize {
        self.members.push(member_of(settings));
        self.told.push(Vec::new());
        self.turn();
        self.members.len() - 1
    }

    /// Delivers messages until there are none.
    fn turn(&mut self) {
        for _ in 0..10_000 {
            let mut quiet = true;
            for at in
                (0..self.members.len()).filter(|at| !self.dead.contains(at)).collect::<Vec<_>>()
            {
                self.members[at].tick(self.now);
                self.members[at].topic_is_known(self.partitions);
                self.obey(at);
                for request in self.members[at].outbox() {
                    self.next += 1;
                    self.waiting.insert(Ticket(self.next), at);
                    self.group.request(Ticket(self.next), request, self.now);
                    quiet = false;
                }
            }
            for (ticket, response) in self.group.take_answers() {
                let at = self.waiting.remove(&ticket).expect("each request is answered once");
                if !self.dead.contains(&at) {
                    self.members[at].receive(response, self.now);
                    self.obey(at);
                }
                quiet = false;
            }
            if quiet {
                return;
            }
        }
        panic!("the messages do not end");
    }

    fn obey(&mut self, at: usize) {
        for event in self.members[at].events() {
            match &event {
                MemberEvent::Assigned(starts) => self.started_at.extend(starts.iter().copied()),
                MemberEvent::Revoke(partitions) => {
                    let offset = Offset(self.processed);
                    let offsets = partitions.iter().map(|partition| (*partition, offset));
                    self.members[at].given_up(offsets.collect());
                }
                MemberEvent::Lost(_) | MemberEvent::Fenced | MemberEvent::Refused(_) => {}
            }
            self.told[at].push(event);
        }
    }

    fn run_until(&mut self, until: Time) {
        while self.now < until {
            self.now = self.now + Duration::from_millis(100);
            self.group.tick(self.now);
            self.turn();
        }
    }

    fn run_for(&mut self, seconds: f64) {
        self.run_until(self.now + Duration::from_secs_f64(seconds));
    }

    fn was_told(&mut self, at: usize) -> Vec<MemberEvent> {
        std::mem::take(&mut self.told[at])
    }

    fn sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<_> = self.group.assignments().map(|(_, own)| own.len()).collect();
        sizes.sort_unstable();
        sizes
    }
}

#[test]
fn the_first_generation_waits_for_latecomers() {
    let mut world = World::new();
    world.arrive(settings(Assignor::Range, None));
    world.run_until(s(2.5));
    world.arrive(settings(Assignor::Range, None));
    world.run_until(s(5.9));
    assert_eq!(world.group.generation(), 0, "the second one made it wait 3 s more");
    world.run_until(s(6.1));
    assert!(world.group.is_stable());
    assert_eq!((world.group.generation(), world.sizes()), (1, vec![9, 9]));
}

#[test]
fn eight_members_share_eighteen_partitions() {
    assert_eq!(World::of(8, Assignor::Range).sizes(), [2, 2, 2, 2, 2, 2, 3, 3]);
}

#[test]
fn a_crash_is_found_out_by_the_session_time_out_and_stops_all_members_once() {
    let mut world = World::of(3, Assignor::Range);
    world.dead.push(1);
    let generation = world.group.generation();
    (0..3).for_each(|at| _ = world.was_told(at));
    // Its last heartbeat was within the last 2 s. So its session ends after 4 to 6 s, and the others learn of it within
    // 2 s more.
    world.run_for(4.0);
    assert_eq!(world.group.generation(), generation);
    world.run_for(4.1);
    assert_eq!((world.group.generation(), world.sizes()), (generation + 1, vec![9, 9]));
    for survivor in [0, 2] {
        let told = world.was_told(survivor);
        assert!(
            matches!(&told[..], [MemberEvent::Revoke(had), MemberEvent::Assigned(new)]
            if had.len() == 6 && new.len() == 9),
            "{told:?}"
        );
    }
}

#[test]
fn new_partitions_are_dealt_out_when_a_leader_has_seen_them() {
    for assignor in [Assignor::Range, Assignor::CooperativeSticky] {
        let mut world = World::new();
        let looks = || MemberSettings {
            topic_refresh: Some(Duration::from_secs(1)),
            ..settings(assignor, None)
        };
        (0..3).for_each(|_| _ = world.arrive(looks()));
        world.run_until(s(20.0));
        assert_eq!(world.sizes(), [6, 6, 6]);
        let before = world.group.generation();
        world.partitions = 20;
        world.run_for(10.0);
        assert_eq!(world.group.generation(), before, "not looked at");
        for at in 0..3 {
            world.members[at].topic_has_grown();
            world.run_for(10.0);
        }
        assert_eq!(world.sizes(), [6, 7, 7]);
        // Followers join with nothing new, except cooperative ones, which send the partitions that they own.
        let more = world.group.generation() - before;
        assert!(more == 1 || assignor == Assignor::CooperativeSticky && more < 4, "{more}");
        assert_eq!(world.started_at.len(), 20);
        let owned: usize = world.members.iter().map(|member| member.owned().len()).sum();
        assert_eq!(owned, 20);
    }
}

#[test]
fn a_member_that_leaves_is_replaced_without_a_time_out() {
    let mut world = World::of(3, Assignor::Range);
    world.members[0].leave();
    world.run_for(2.1);
    assert_eq!(world.sizes(), [9, 9]);
}

#[test]
fn what_a_member_gives_up_goes_on_where_it_was_committed() {
    let mut world = World::of(1, Assignor::Range);
    assert!(world.started_at.values().all(Option::is_none));
    world.processed = 42;
    world.arrive(settings(Assignor::Range, None));
    world.run_for(5.0);
    assert_eq!(world.sizes(), [9, 9]);
    assert!(world.started_at.values().all(|start| *start == Some(Offset(42))));
}

#[test]
fn a_cooperative_newcomer_takes_two_generations_and_stops_no_other_member() {
    let mut world = World::of(2, Assignor::CooperativeSticky);
    let before: Vec<_> = world.members.iter().map(|member| member.owned().to_vec()).collect();
    let generation = world.group.generation();
    (0..2).for_each(|at| _ = world.was_told(at));
    world.arrive(settings(Assignor::CooperativeSticky, None));
    world.run_for(5.0);
    assert_eq!((world.group.generation(), world.sizes()), (generation + 2, vec![6, 6, 6]));
    for (at, before) in before.iter().enumerate() {
        let kept = world.members[at].owned().to_vec();
        assert!(kept.iter().all(|partition| before.contains(partition)));
        let gone = before.iter().copied().filter(|had| !kept.contains(had)).collect();
        assert_eq!(world.was_told(at), [MemberEvent::Revoke(gone)]);
    }
}

#[test]
fn a_static_member_comes_back_unnoticed_and_its_predecessor_is_fenced() {
    let mut world = World::new();
    for name in ["a", "b"] {
        world.arrive(settings(Assignor::Range, Some(name)));
    }
    world.run_until(s(10.0));
    let (generation, had) = (world.group.generation(), world.members[1].owned().to_vec());
    (0..2).for_each(|at| _ = world.was_told(at));
    world.arrive(settings(Assignor::Range, Some("b")));
    world.run_for(3.0);
    assert_eq!((world.group.generation(), world.members[2].owned()), (generation, &had[..]));
    assert_eq!(world.was_told(0), []);
    assert_eq!(world.was_told(1), [MemberEvent::Lost(had), MemberEvent::Fenced]);
}

#[test]
fn a_member_that_is_cut_off_gives_up_by_itself_after_the_session_time_out() {
    let mut member = GroupMember::new(settings(Assignor::Range, None));
    let mut group = GroupCoordinator::new(GroupSettings::default(), Seed(1));
    let mut now = Time::ZERO;
    while member.owned().is_empty() && now < s(10.0) {
        now = now + Duration::from_millis(100);
        member.tick(now);
        for request in member.outbox() {
            group.request(Ticket(0), request, now);
        }
        group.tick(now);
        group.take_answers().into_iter().for_each(|(_, answer)| member.receive(answer, now));
    }
    let had = member.owned().to_vec();
    assert_eq!(had.len(), 18);
    let _ = member.events();
    // From here on, the member gets no response.
    let cut_off = now;
    while member.events().is_empty() && now < cut_off + SESSION * 2 {
        now = now + Duration::from_millis(100);
        member.tick(now);
    }
    assert!(
        now >= cut_off + SESSION - BEAT && now <= cut_off + SESSION + Duration::from_millis(200)
    );
    assert!(member.owned().is_empty());
}

#[test]
fn commits_of_an_older_generation_are_refused() {
    let mut world = World::of(2, Assignor::Range);
    let id = world.group.assignments().next().map(|(id, _)| id.to_owned()).unwrap_or_default();
    let member =
        |generation| Some(MemberRef { member_id: id.clone(), instance_id: None, generation });
    let generation = world.group.generation();
    let offsets = BTreeMap::from([(PartitionId(0), Offset(9))]);
    let commit = |member| GroupRequest::Commit { member, offsets: offsets.clone() };
    let requests = [
        commit(member(generation - 1)),
        commit(None),
        commit(member(generation)),
        GroupRequest::FetchOffsets(Vec::new()),
    ];
    for (ticket, request) in (0..).zip(requests) {
        world.group.request(Ticket(ticket), request, world.now);
    }
    let answers: Vec<_> =
        world.group.take_answers().into_iter().map(|(_, answer)| answer).collect();
    let expected = [
        GroupResponse::Done(Err(GroupError::IllegalGeneration)),
        GroupResponse::Done(Err(GroupError::UnknownMemberId)),
        GroupResponse::Done(Ok(())),
        GroupResponse::Offsets(offsets),
    ];
    assert_eq!(answers, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Members join, leave and crash. No partition has two owners, generations only grow, and after the last event the
    /// live members own all partitions.
    #[test]
    fn a_group_always_finds_its_peace(
        cooperative in any::<bool>(),
        events in proptest::collection::vec((0u8..4, 0usize..8, 1u64..80), 1..25),
    ) {
        let assignor = if cooperative { Assignor::CooperativeSticky } else { Assignor::Range };
        let mut world = World::new();
        world.arrive(settings(assignor, None));
        let mut generation = 0;
        for (kind, who, steps) in events {
            let at = who % world.members.len();
            match kind {
                0 | 1 if world.members.len() < 12 => _ = world.arrive(settings(assignor, None)),
                2 if !world.dead.contains(&at) => world.dead.push(at),
                3 if !world.dead.contains(&at) => {
                    world.members[at].leave();
                    world.turn();
                    world.dead.push(at);
                }
                _ => {}
            }
            world.run_for(0.1 * steps as f64);
            prop_assert!(world.group.generation() >= generation);
            generation = world.group.generation();
            let mut owned: Vec<_> = world.group.assignments().flat_map(|(_, own)| own).collect();
            let all = owned.len();
            owned.sort_unstable();
            owned.dedup();
            prop_assert_eq!(owned.len(), all, "a partition has two owners");
        }
        world.arrive(settings(assignor, None));
        // The session time-outs, and the 5 minutes for which the group waits for a new member that crashed while it
        // joined.
        world.run_for(640.0);
        prop_assert!(world.group.is_stable());
        let alive: Vec<usize> =
            (0..world.members.len()).filter(|at| !world.dead.contains(at)).collect();
        prop_assert_eq!(world.group.assignments().count(), alive.len());
        let mut owned: Vec<_> =
            alive.iter().flat_map(|at| world.members[*at].owned().to_vec()).collect();
        owned.sort_unstable();
        prop_assert_eq!(owned, (0..18).map(PartitionId).collect::<Vec<_>>());
    }
}
