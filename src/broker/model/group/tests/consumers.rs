//! Groups of the consumer protocol: native members and a coordinator, and the coordinator alone.

use super::*;
use crate::broker::native::member_protocol::ConsumerProtocolSettings;
use crate::plan::RemoteAssignor;

/// A member with this id, and with this instance id if it is static.
fn of_the_protocol(id: &str, instance: Option<&str>, assignor: RemoteAssignor) -> MemberSettings {
    let assignor = Some(assignor);
    let (member_id, holds_instance_id) = (id.to_owned(), false);
    let consumer_protocol =
        Some(ConsumerProtocolSettings { member_id, assignor, holds_instance_id });
    MemberSettings { consumer_protocol, ..settings(Assignor::Range, instance) }
}

fn dynamic(id: &str) -> MemberSettings {
    of_the_protocol(id, None, RemoteAssignor::Uniform)
}

fn world(count: usize, assignor: RemoteAssignor) -> World {
    let mut world = World::new();
    for at in 0..count {
        world.arrive(of_the_protocol(&format!("m-{at}"), None, assignor));
    }
    world.run_for(20.0);
    assert!(world.group.is_stable());
    world
}

impl World {
    fn owned(&self, at: usize) -> Vec<u32> {
        self.members[at].owned().iter().map(|partition| partition.0).collect()
    }

    /// The coordinator's immediate response to a request.
    fn says(&mut self, request: GroupRequest) -> GroupResponse {
        self.group.request(Ticket(u64::MAX), request, self.now);
        let mut answers = self.group.take_answers();
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0).1
    }
}

/// A heartbeat of this member in this epoch; with `all`, it has all fields.
fn heartbeat(id: &str, epoch: i32, owned: Option<&[u32]>, all: bool) -> GroupRequest {
    let (member_id, generation) = (id.to_owned(), epoch);
    let wants = HeartbeatSettings { rebalance_timeout: Duration::from_secs(10), assignor: None };
    GroupRequest::ConsumerHeartbeat(ConsumerHeartbeat {
        member: MemberRef { member_id, instance_id: None, generation },
        settings: all.then_some(wants),
        owned: owned.map(|owned| owned.iter().copied().map(PartitionId).collect()),
    })
}

/// The epoch and the assignment of an accepted heartbeat.
fn accepted(response: GroupResponse) -> (i32, Option<Vec<u32>>) {
    let GroupResponse::ConsumerHeartbeat(Ok(accepted)) = response else { panic!("{response:?}") };
    let ids = |assignment| match assignment {
        TargetAssignment::Known(own) => own.iter().map(|partition| partition.0).collect(),
        TargetAssignment::UnknownTopic => panic!("the topic is known"),
    };
    (accepted.epoch, accepted.assignment.map(ids))
}

fn refused(error: GroupError) -> GroupResponse {
    GroupResponse::ConsumerHeartbeat(Err(error))
}

#[test]
fn the_first_member_gets_everything_at_once_and_the_second_its_half_within_two_heartbeats() {
    for (assignor, second) in [
        (RemoteAssignor::Uniform, (9..18).collect::<Vec<u32>>()),
        (RemoteAssignor::Range, (9..18).collect()),
    ] {
        let mut world = World::new();
        world.arrive(of_the_protocol("m-0", None, assignor));
        assert_eq!((world.owned(0).len(), world.group.generation()), (18, 1), "no initial delay");
        world.arrive(of_the_protocol("m-1", None, assignor));
        assert_eq!((world.owned(0).len(), world.owned(1).len()), (18, 0), "not given up yet");
        world.run_for(2.1);
        assert_eq!(world.owned(0).len(), 9, "with its next heartbeat");
        world.run_for(2.0);
        assert_eq!((world.owned(1), world.group.generation()), (second, 2));
        assert!(world.group.is_stable());
    }
}

#[test]
fn a_newcomer_stops_nothing_but_what_moves() {
    let mut world = world(2, RemoteAssignor::Uniform);
    (0..2).for_each(|at| _ = world.was_told(at));
    world.arrive(dynamic("m-2"));
    world.run_for(6.0);
    assert_eq!(world.sizes(), [6, 6, 6]);
    let revoked = |told: Vec<MemberEvent>| match &told[..] {
        [MemberEvent::Revoke(gone)] => gone.iter().map(|partition| partition.0).collect(),
        _ => panic!("{told:?}"),
    };
    let revoked: Vec<Vec<u32>> = (0..2).map(|at| revoked(world.was_told(at))).collect();
    assert_eq!(revoked, [[6, 7, 8], [15, 16, 17]]);
    assert_eq!(world.owned(2), [6, 7, 8, 15, 16, 17]);
}

#[test]
fn a_crash_moves_the_partitions_of_the_dead_member_after_the_session_timeout() {
    let mut world = world(3, RemoteAssignor::Uniform);
    world.dead.push(1);
    (0..3).for_each(|at| _ = world.was_told(at));
    let epoch = world.group.generation();
    world.run_for(3.9);
    assert_eq!(world.group.generation(), epoch, "it has sent a heartbeat within the last 2 s");
    world.run_for(4.2);
    assert_eq!((world.group.generation(), world.sizes()), (epoch + 1, vec![9, 9]));
    for survivor in [0, 2] {
        let told = world.was_told(survivor);
        assert!(matches!(&told[..], [MemberEvent::Assigned(new)] if new.len() == 3), "{told:?}");
    }
}

#[test]
fn a_member_that_leaves_is_replaced_with_the_next_heartbeats_and_keeps_what_it_committed() {
    let mut world = world(2, RemoteAssignor::Uniform);
    world.processed = 42;
    let had = world.owned(0);
    let offsets = had.iter().map(|id| (PartitionId(*id), Offset(42))).collect();
    world.members[0].commit(offsets);
    world.members[0].leave();
    world.run_for(2.1);
    assert_eq!((world.owned(1).len(), world.sizes()), (18, vec![18]));
    assert!(had.iter().all(|id| world.started_at[&PartitionId(*id)] == Some(Offset(42))));
}

#[test]
fn a_static_member_that_left_for_a_while_gets_its_partitions_back_unnoticed() {
    let mut world = World::new();
    for name in ["a", "b"] {
        world.arrive(of_the_protocol(&format!("{name}-1"), Some(name), RemoteAssignor::Uniform));
    }
    world.run_for(10.0);
    let (epoch, had) = (world.group.generation(), world.owned(1));
    world.members[1].leave();
    world.turn();
    world.dead.push(1);
    (0..2).for_each(|at| _ = world.was_told(at));
    world.run_for(4.0);
    world.arrive(of_the_protocol("b-2", Some("b"), RemoteAssignor::Uniform));
    assert_eq!((world.owned(2), world.group.generation()), (had, epoch));
    world.run_for(8.0);
    assert_eq!((world.was_told(0), world.group.is_stable()), (vec![], true));
    // If it does not return, its session ends after the session timeout, which counts from its last heartbeat.
    world.members[2].leave();
    world.turn();
    world.dead.push(2);
    world.run_for(8.2);
    assert_eq!(world.sizes(), [18]);
}

#[test]
fn a_static_member_whose_join_is_not_answered_joins_again() {
    let mut world = World::new();
    let settings = of_the_protocol("a-1", Some("a"), RemoteAssignor::Uniform);
    let mut member = member_of(settings);
    member.tick(world.now);
    for request in member.outbox() {
        world.group.request(Ticket(0), request, world.now);
    }
    assert_eq!(world.group.take_answers().len(), 1);
    member.disconnected();
    world.members.push(member);
    world.told.push(Vec::new());
    world.run_for(3.0);
    assert!(!world.was_told(0).iter().any(|event| matches!(event, MemberEvent::Refused(_))));
    assert_eq!(world.owned(0).len(), 18);
}

#[test]
fn a_place_that_is_not_released_is_refused_and_a_wrong_holder_is_fenced() {
    let mut world = World::new();
    world.arrive(of_the_protocol("a-1", Some("a"), RemoteAssignor::Uniform));
    world.run_for(3.0);
    let join = GroupRequest::ConsumerHeartbeat(ConsumerHeartbeat {
        member: MemberRef {
            member_id: "a-2".to_owned(),
            instance_id: Some("a".to_owned()),
            generation: JOINS,
        },
        settings: Some(HeartbeatSettings { rebalance_timeout: SESSION, assignor: None }),
        owned: Some(Vec::new()),
    });
    let taken = refused(GroupError::Rejected("UnreleasedInstanceId"));
    assert_eq!(world.says(join), taken);
    assert_eq!(world.owned(0).len(), 18);
    let of = |instance: &str, id: &str, generation| MemberRef {
        member_id: id.to_owned(),
        instance_id: Some(instance.to_owned()),
        generation,
    };
    let mut says = |member| {
        let heartbeat = ConsumerHeartbeat { member, settings: None, owned: None };
        world.says(GroupRequest::ConsumerHeartbeat(heartbeat))
    };
    assert_eq!(says(of("a", "a-2", 1)), refused(GroupError::FencedInstanceId));
    assert_eq!(says(of("a", "a-2", LEAVES_FOR_A_WHILE)), refused(GroupError::FencedInstanceId));
    assert_eq!(says(of("b", "b-1", 1)), refused(GroupError::UnknownMemberId));
    assert_eq!(says(of("b", "b-1", LEAVES)), refused(GroupError::UnknownMemberId));
    // After it has left permanently, its instance id is free.
    assert_eq!(accepted(says(of("a", "a-1", LEAVES))), (-1, None));
    world.arrive(of_the_protocol("a-3", Some("a"), RemoteAssignor::Uniform));
    assert_eq!(world.owned(1).len(), 18);
}

#[test]
fn a_static_member_waits_until_the_session_of_its_silent_predecessor_is_over() {
    let mut world = World::new();
    world.arrive(of_the_protocol("a-1", Some("a"), RemoteAssignor::Uniform));
    world.run_for(3.0);
    // It ends without a leave request.
    world.dead.push(0);
    world.arrive(of_the_protocol("a-2", Some("a"), RemoteAssignor::Uniform));
    world.run_for(2.9);
    assert_eq!((world.owned(1).len(), world.was_told(1)), (0, vec![]));
    // Its last heartbeat is at most a second old, and the successor tries once a second.
    world.run_for(SESSION.as_secs_f64());
    assert_eq!(world.owned(1).len(), 18);
}

#[test]
fn heartbeats_are_checked_as_kafkas_coordinator_checks_them() {
    let mut world = World::new();
    let invalid = || refused(GroupError::Rejected("InvalidRequest"));
    assert_eq!(world.says(heartbeat("m", 0, None, true)), invalid());
    assert_eq!(world.says(heartbeat("m", 0, Some(&[1]), true)), invalid());
    assert_eq!(world.says(heartbeat("m", 0, Some(&[]), false)), invalid());
    assert_eq!(world.says(heartbeat("m", -3, None, false)), invalid());
    assert_eq!(world.says(heartbeat("m", LEAVES_FOR_A_WHILE, None, false)), invalid());
    let unknown = || refused(GroupError::UnknownMemberId);
    assert_eq!(world.says(heartbeat("m", 1, None, false)), unknown());
    assert_eq!(world.says(heartbeat("m", LEAVES, None, false)), unknown());
    let all: Vec<u32> = (0..18).collect();
    let join = |world: &mut World, id| world.says(heartbeat(id, JOINS, Some(&[]), true));
    assert_eq!(accepted(join(&mut world, "m")), (1, Some(all.clone())));
    // The response was lost: the same join is accepted again.
    assert_eq!(accepted(join(&mut world, "m")), (1, Some(all.clone())));
    let fenced = || refused(GroupError::FencedMemberEpoch);
    assert_eq!(world.says(heartbeat("m", 2, None, false)), fenced(), "ahead");
    // An unchanged assignment is repeated only in response to a heartbeat with all fields.
    assert_eq!(accepted(world.says(heartbeat("m", 1, Some(&all), false))), (1, None));
    assert_eq!(accepted(world.says(heartbeat("m", 1, Some(&all), true))), (1, Some(all.clone())));

    // Another member raises the epoch. `m` keeps its epoch until it confirms the partitions that it has given up.
    assert_eq!(accepted(join(&mut world, "n")), (2, Some(vec![])));
    let kept: Vec<u32> = (0..9).collect();
    assert_eq!(accepted(world.says(heartbeat("m", 1, None, false))), (1, Some(kept.clone())));
    assert_eq!(accepted(world.says(heartbeat("n", 2, None, false))), (2, None));
    assert_eq!(accepted(world.says(heartbeat("m", 1, Some(&all), false))), (1, None));
    assert_eq!(accepted(world.says(heartbeat("m", 1, Some(&kept), false))), (2, None));
    let moved: Vec<u32> = (9..18).collect();
    assert_eq!(accepted(world.says(heartbeat("n", 2, None, false))), (2, Some(moved)));
    // The previous epoch is accepted only with the right partitions.
    assert_eq!(accepted(world.says(heartbeat("m", 1, Some(&kept), false))), (2, None));
    assert_eq!(world.says(heartbeat("m", 1, None, false)), fenced());
    assert_eq!(world.says(heartbeat("m", 1, Some(&[0, 9]), false)), fenced());
    assert_eq!(join(&mut world, "m"), fenced(), "its last epoch is not that of a newcomer");
}

#[test]
fn who_does_not_give_up_within_its_rebalance_timeout_is_out() {
    let mut world = World::new();
    let all: Vec<u32> = (0..18).collect();
    let join = |id| heartbeat(id, JOINS, Some(&[]), true);
    assert_eq!(accepted(world.says(join("m"))).0, 1);
    assert_eq!(accepted(world.says(join("n"))).0, 2);
    assert_eq!(
        accepted(world.says(heartbeat("m", 1, None, false))).1.map(|own| own.len()),
        Some(9)
    );
    // Both send heartbeats, and `m` reports that it still owns all partitions.
    for _ in 0..9 {
        world.run_for(1.0);
        assert_eq!(accepted(world.says(heartbeat("m", 1, Some(&all), false))), (1, None));
        assert_eq!(accepted(world.says(heartbeat("n", 2, None, false))), (2, None));
    }
    assert_eq!(world.group.next_deadline(), Some(s(10.0)));
    world.run_for(1.0);
    assert_eq!(world.says(heartbeat("m", 1, None, false)), refused(GroupError::UnknownMemberId));
    assert_eq!(accepted(world.says(heartbeat("n", 2, None, false))), (3, Some(all)));
}

#[test]
fn commits_are_accepted_in_the_members_epoch_only() {
    let mut world = World::new();
    let done = |result| GroupResponse::Done(result);
    let commit = |member: Option<(&str, i32)>| GroupRequest::Commit {
        member: member.map(|(id, generation)| MemberRef {
            member_id: id.to_owned(),
            instance_id: None,
            generation,
        }),
        offsets: BTreeMap::from([(PartitionId(3), Offset(9))]),
    };
    assert_eq!(world.says(commit(None)), done(Ok(())), "the group has no members");
    assert_eq!(accepted(world.says(heartbeat("m", JOINS, Some(&[]), true))).0, 1);
    assert_eq!(world.says(commit(None)), done(Err(GroupError::UnknownMemberId)));
    assert_eq!(world.says(commit(Some(("n", 1)))), done(Err(GroupError::UnknownMemberId)));
    for epoch in [0, 2] {
        let stale = done(Err(GroupError::StaleMemberEpoch));
        assert_eq!(world.says(commit(Some(("m", epoch)))), stale);
    }
    assert_eq!(world.says(commit(Some(("m", 1)))), done(Ok(())));
    // A commit is no heartbeat.
    world.run_for(3.0);
    assert_eq!(world.says(commit(Some(("m", 1)))), done(Ok(())));
    world.run_for(3.0);
    assert_eq!(world.says(commit(Some(("m", 1)))), done(Err(GroupError::UnknownMemberId)));
}

#[test]
fn new_partitions_are_assigned_with_the_next_heartbeats() {
    let mut world = world(2, RemoteAssignor::Uniform);
    let epoch = world.group.generation();
    world.group.topic_has(20);
    world.run_for(4.1);
    assert_eq!((world.sizes(), world.group.generation()), (vec![10, 10], epoch + 1));
    assert_eq!((world.started_at.len(), world.group.is_stable()), (20, true));
}

#[test]
fn another_coordinator_knows_the_members_and_every_session_begins_anew() {
    let mut world = world(3, RemoteAssignor::Uniform);
    (0..3).for_each(|at| _ = world.was_told(at));
    world.dead.push(2);
    world.run_for(3.0);
    world.group.interrupted(world.now);
    (0..2).for_each(|at| world.members[at].disconnected());
    let epoch = world.group.generation();
    world.run_for(5.9);
    assert_eq!((world.group.generation(), world.was_told(0)), (epoch, vec![]));
    world.run_for(2.3);
    assert_eq!((world.sizes(), world.group.generation()), (vec![9, 9], epoch + 1));
}

#[test]
fn a_member_of_the_other_protocol_is_refused_while_there_are_members() {
    let mut world = World::of(1, Assignor::Range);
    let refusal = refused(GroupError::Rejected("GroupIdNotFound"));
    assert_eq!(world.says(heartbeat("m", JOINS, Some(&[]), true)), refusal);
    let mut world = self::world(1, RemoteAssignor::Uniform);
    world.arrive(settings(Assignor::Range, None));
    // INCONSISTENT_GROUP_PROTOCOL, after which a classic member does not join again.
    assert_eq!(world.was_told(1), [MemberEvent::Fenced]);
    // Without members, a member of either protocol may join.
    world.members[0].leave();
    world.turn();
    world.dead.push(0);
    world.arrive(settings(Assignor::Range, None));
    world.run_for(10.0);
    assert_eq!(world.sizes(), [18]);
}

/// A group of the property test, with the members that are paused, and since when.
struct Chaos {
    world: World,
    still: BTreeMap<usize, Time>,
}

impl Chaos {
    fn runs(&self, at: usize) -> bool {
        !self.world.dead.contains(&at)
    }

    /// Pauses a member, or lets it continue. Messages to it in between are lost.
    fn stop_or_go(&mut self, at: usize) {
        if self.still.remove(&at).is_some() {
            self.world.dead.retain(|dead| *dead != at);
            self.world.members[at].disconnected();
            self.world.turn();
        } else if self.runs(at) {
            self.still.insert(at, self.world.now);
            self.world.dead.push(at);
        }
    }

    fn happens(&mut self, kind: u8, at: usize) {
        let count = self.world.members.len();
        match kind {
            0 | 1 if count < 12 => _ = self.world.arrive(dynamic(&format!("m-{count}"))),
            2 if self.runs(at) => self.world.dead.push(at),
            3 if self.runs(at) => {
                self.world.members[at].leave();
                self.world.turn();
                self.world.dead.push(at);
            }
            4 => self.stop_or_go(at),
            // The responses to its requests are lost.
            5 if self.runs(at) => {
                self.world.members[at].tick(self.world.now + BEAT);
                for request in self.world.members[at].outbox() {
                    self.world.group.request(Ticket(0), request, self.world.now);
                }
                self.world.group.take_answers();
                self.world.members[at].disconnected();
                self.world.turn();
            }
            6 => self.world.group.interrupted(self.world.now),
            _ => {}
        }
    }

    /// The owners among running members. A paused one does not know of the end of its session.
    fn owners(&self) -> BTreeMap<PartitionId, usize> {
        let mut owners = BTreeMap::new();
        for at in (0..self.world.members.len()).filter(|at| self.runs(*at)) {
            for partition in self.world.members[at].owned() {
                *owners.entry(*partition).or_default() += 1;
            }
        }
        owners
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Members join, leave, crash, pause and lose responses. No partition has two owners, epochs only grow, and a while
    /// after the last event every partition has one.
    #[test]
    fn no_partition_has_two_owners_and_each_has_one_soon(
        events in proptest::collection::vec((0u8..7, 0usize..12, 1u64..80), 1..30),
    ) {
        let mut chaos = Chaos { world: World::new(), still: BTreeMap::new() };
        chaos.world.arrive(dynamic("m-0"));
        let mut epoch = 0;
        for (kind, who, steps) in events {
            chaos.happens(kind, who % chaos.world.members.len());
            for _ in 0..steps {
                chaos.world.run_for(0.1);
                let shared: Vec<_> =
                    chaos.owners().into_iter().filter(|(_, owners)| *owners > 1).collect();
                prop_assert!(shared.is_empty(), "owned twice: {shared:?}");
                let mut held: Vec<_> = chaos.world.group.assignments().flat_map(|(_, own)| own).collect();
                let all = held.len();
                held.sort_unstable();
                held.dedup();
                prop_assert_eq!(held.len(), all, "a partition has two holders");
            }
            prop_assert!(chaos.world.group.generation() >= epoch);
            epoch = chaos.world.group.generation();
        }
        chaos.world.arrive(dynamic("last"));
        // The sum of a session, in which a fenced member cannot join again, its retry, and three heartbeats: to learn
        // the target, to confirm revoked partitions, and to get the others.
        chaos.world.run_for(6.0 + 2.0 + 3.0 * 2.0 + 0.5);
        prop_assert!(chaos.world.group.is_stable());
        let owners = chaos.owners();
        let once: BTreeMap<_, usize> = (0..18).map(|id| (PartitionId(id), 1)).collect();
        prop_assert_eq!(owners, once);
    }
}
