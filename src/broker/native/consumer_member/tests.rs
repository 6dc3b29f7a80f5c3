//! A member with the responses that a test gives.

use super::*;

const INTERVAL: Duration = Duration::from_secs(5);

fn at(milliseconds: i64) -> Time {
    Time(milliseconds * 1_000_000)
}

fn ids(numbers: &[u32]) -> Vec<PartitionId> {
    numbers.iter().copied().map(PartitionId).collect()
}

fn offsets(pairs: &[(u32, i64)]) -> BTreeMap<PartitionId, Offset> {
    pairs.iter().map(|(id, next)| (PartitionId(*id), Offset(*next))).collect()
}

fn member(instance_id: Option<&str>) -> ConsumerMember {
    let settings = ConsumerProtocolSettings {
        member_id: "run-3-1".to_owned(),
        assignor: Some(crate::plan::RemoteAssignor::Range),
        holds_instance_id: false,
    };
    ConsumerMember::new(settings, instance_id.map(str::to_owned), Duration::from_secs(300))
}

/// An accepted heartbeat.
fn accepted(epoch: i32, assigned: Option<&[u32]>) -> GroupResponse {
    let assignment = assigned.map(|numbers| TargetAssignment::Known(ids(numbers)));
    let member_id = None;
    let accepted = HeartbeatAccepted { member_id, epoch, interval: INTERVAL, assignment };
    GroupResponse::ConsumerHeartbeat(Ok(accepted))
}

fn refused(error: GroupError) -> GroupResponse {
    GroupResponse::ConsumerHeartbeat(Err(error))
}

/// The requests of a member as short texts. A heartbeat has the epoch, `all` if it has the member's settings, and the
/// partitions that it reports.
fn requests(member: &mut ConsumerMember) -> Vec<String> {
    let one = |request| match request {
        GroupRequest::ConsumerHeartbeat(ConsumerHeartbeat { member, settings, owned }) => {
            let all = settings.map_or("", |_| " all");
            let owned = owned.map_or(String::new(), |owned| {
                let owned: Vec<u32> = owned.iter().map(|id| id.0).collect();
                format!(" has {owned:?}")
            });
            format!("epoch {}{all}{owned}", member.generation)
        }
        GroupRequest::Commit { member, offsets } => {
            let epoch = member.expect("a member").generation;
            let offsets: Vec<_> = offsets.iter().map(|(id, next)| (id.0, next.0)).collect();
            format!("commit {epoch} {offsets:?}")
        }
        GroupRequest::FetchOffsets(partitions) => {
            format!("offsets {:?}", partitions.iter().map(|id| id.0).collect::<Vec<_>>())
        }
        other => panic!("{other:?}"),
    };
    member.outbox().into_iter().map(one).collect()
}

/// A member in epoch 1 that has confirmed these partitions, without a request in flight.
fn up(instance_id: Option<&str>, owned: &[u32]) -> ConsumerMember {
    let mut member = member(instance_id);
    member.tick(at(0));
    member.receive(accepted(1, Some(owned)), at(0));
    member.tick(at(0));
    if !owned.is_empty() {
        member.receive(GroupResponse::Offsets(BTreeMap::new()), at(0));
        member.receive(accepted(1, None), at(0));
    }
    assert_eq!(member.owned(), ids(owned));
    member.outbox();
    member.events();
    assert!(!member.is_asking());
    member
}

#[test]
fn it_joins_takes_what_it_is_given_and_says_so_at_once() {
    let mut member = member(None);
    assert_eq!(member.tick(at(0)), Time::NEVER);
    assert_eq!(requests(&mut member), ["epoch 0 all has []"]);
    member.receive(accepted(4, Some(&[1, 2])), at(3));
    assert_eq!(member.tick(at(3)), Time::NEVER);
    assert_eq!(requests(&mut member), ["offsets [1, 2]", "epoch 4 has [1, 2]"]);
    member.receive(GroupResponse::Offsets(offsets(&[(2, 30)])), at(4));
    let starts = vec![(PartitionId(1), None), (PartitionId(2), Some(Offset(30)))];
    assert_eq!(member.events(), [MemberEvent::Assigned(starts)]);
    member.receive(accepted(4, None), at(5));
    assert_eq!(member.tick(at(5)), at(5_005));
    assert_eq!(requests(&mut member), [""; 0]);
    // Nothing has changed, so the heartbeat has only the epoch.
    member.tick(at(5_005));
    assert_eq!(requests(&mut member), ["epoch 4"]);
    // No other is sent before its response.
    assert_eq!(member.tick(at(20_000)), Time::NEVER);
    assert_eq!(requests(&mut member), [""; 0]);
}

#[test]
fn it_gives_up_with_a_last_commit_before_it_takes_what_is_new() {
    let mut member = up(None, &[1, 2]);
    member.tick(at(5_000));
    member.receive(accepted(2, Some(&[2, 3])), at(5_001));
    assert_eq!(member.events(), [MemberEvent::Revoke(ids(&[1]))]);
    assert_eq!(requests(&mut member), ["epoch 1"]);
    // While the consumer gives up partitions, heartbeats report no change.
    member.tick(at(10_001));
    assert_eq!(requests(&mut member), ["epoch 2"]);
    member.receive(accepted(2, None), at(10_002));
    member.given_up(offsets(&[(1, 17)]));
    assert_eq!(requests(&mut member), ["commit 2 [(1, 17)]"]);
    member.tick(at(10_003));
    assert_eq!(requests(&mut member), [""; 0], "the commit comes first");
    member.receive(GroupResponse::Done(Ok(())), at(10_004));
    member.tick(at(10_004));
    assert_eq!(requests(&mut member), ["offsets [3]", "epoch 2 has [2, 3]"]);
    assert_eq!(member.owned(), ids(&[2, 3]));
}

#[test]
fn an_assignment_that_changes_while_it_gives_up_is_followed_afterwards() {
    let mut member = up(None, &[1, 2]);
    member.tick(at(5_000));
    member.receive(accepted(2, Some(&[2])), at(5_001));
    member.tick(at(10_001));
    member.receive(accepted(3, Some(&[1])), at(10_002));
    assert_eq!(member.events(), [MemberEvent::Revoke(ids(&[1]))]);
    member.outbox();
    member.given_up(BTreeMap::new());
    assert_eq!(member.events(), [MemberEvent::Revoke(ids(&[2]))]);
    member.given_up(BTreeMap::new());
    member.tick(at(10_003));
    assert_eq!(requests(&mut member), ["offsets [1]", "epoch 3 has [1]"]);
}

#[test]
fn a_partition_that_is_lost_before_its_start_is_known_is_never_assigned() {
    let mut member = up(None, &[1]);
    member.tick(at(5_000));
    member.receive(accepted(2, Some(&[1, 2])), at(5_001));
    member.tick(at(5_001));
    assert_eq!(requests(&mut member), ["epoch 1", "offsets [2]", "epoch 2 has [1, 2]"]);
    member.disconnected();
    member.tick(at(5_002));
    assert_eq!(requests(&mut member), ["offsets [2]", "epoch 2 all has [1, 2]"]);
    member.refused(GroupError::FencedMemberEpoch, false);
    member.receive(GroupResponse::Offsets(offsets(&[(2, 9)])), at(5_003));
    assert_eq!(member.events(), [MemberEvent::Lost(ids(&[1, 2]))]);
}

#[test]
fn a_member_that_is_fenced_or_unknown_loses_everything_and_joins_again() {
    for error in [GroupError::FencedMemberEpoch, GroupError::UnknownMemberId] {
        let mut member = up(None, &[1, 2]);
        member.tick(at(5_000));
        member.receive(refused(error), at(5_001));
        assert_eq!(member.events(), [MemberEvent::Lost(ids(&[1, 2]))], "{error:?}");
        // Another member may have committed later offsets, so these are dropped.
        member.commit(offsets(&[(1, 5)]));
        member.tick(at(5_001));
        assert_eq!(requests(&mut member), ["epoch 1", "epoch 0 all has []"]);
        // After a rejected join, the next attempt is later.
        member.receive(refused(error), at(5_002));
        assert_eq!(member.tick(at(5_002)), at(10_002));
        assert_eq!(requests(&mut member), [""; 0]);
        member.tick(at(10_002));
        assert_eq!(requests(&mut member), ["epoch 0 all has []"]);
    }
}

#[test]
fn what_it_gave_up_when_it_was_fenced_is_not_committed() {
    let mut member = up(None, &[1, 2]);
    member.tick(at(5_000));
    member.receive(accepted(2, Some(&[2])), at(5_001));
    member.tick(at(10_001));
    member.receive(refused(GroupError::FencedMemberEpoch), at(10_002));
    let lost = MemberEvent::Lost(ids(&[1, 2]));
    assert_eq!(member.events(), [MemberEvent::Revoke(ids(&[1])), lost]);
    member.outbox();
    member.given_up(offsets(&[(1, 5)]));
    assert_eq!(requests(&mut member), [""; 0]);
}

#[test]
fn errors_that_do_not_pass_end_it() {
    let refusal = MemberEvent::Refused;
    let ends = [
        (GroupError::FencedInstanceId, MemberEvent::Fenced),
        (GroupError::Rejected("InvalidRegularExpression"), refusal("InvalidRegularExpression")),
        (GroupError::Rejected("UnsupportedAssignor"), refusal("UnsupportedAssignor")),
        (GroupError::RebalanceInProgress, refusal("InvalidRequest")),
    ];
    for (error, event) in ends {
        let mut member = member(Some("static"));
        member.tick(at(0));
        member.receive(refused(error), at(1));
        assert_eq!(member.events(), [event]);
        member.outbox();
        assert_eq!(member.tick(at(60_000)), Time::NEVER);
        assert_eq!(requests(&mut member), [""; 0]);
    }
}

#[test]
fn after_a_lost_heartbeat_or_with_a_new_coordinator_everything_is_said_again() {
    let mut member = up(None, &[1, 2]);
    member.tick(at(5_000));
    assert_eq!(member.overdue(Duration::from_secs(30)), Some(at(35_000)));
    member.commit(offsets(&[(1, 5)]));
    member.outbox();
    // The response is lost, or the coordinator has moved. The member's epoch may be the previous one, which the
    // coordinator accepts with the right partitions.
    member.disconnected();
    assert!(!member.is_asking() && member.events().is_empty(), "it reads on");
    assert_eq!(member.owned(), ids(&[1, 2]));
    member.tick(at(35_100));
    assert_eq!(requests(&mut member), ["epoch 1 all has [1, 2]"]);
    member.receive(accepted(2, Some(&[1, 2])), at(35_101));
    assert_eq!(member.tick(at(35_101)), at(40_101));
    assert_eq!(requests(&mut member), [""; 0]);
}

#[test]
fn a_coordinator_that_is_loading_is_asked_again_and_nothing_is_lost() {
    let mut member = up(None, &[1]);
    member.tick(at(5_000));
    member.receive(refused(GroupError::Unavailable), at(5_001));
    assert_eq!((member.events(), member.owned()), (Vec::new(), &ids(&[1])[..]));
    member.outbox();
    member.tick(at(5_101));
    assert_eq!(requests(&mut member), ["epoch 1 all has [1]"]);
}

#[test]
fn a_join_that_is_not_answered_is_sent_again() {
    let mut member = member(None);
    member.tick(at(0));
    member.outbox();
    member.disconnected();
    member.tick(at(100));
    assert_eq!(requests(&mut member), ["epoch 0 all has []"]);
}

/// Kafka's coordinator rejects a join with a known instance id, unless its member has left temporarily.
#[test]
fn a_static_member_that_may_be_known_leaves_before_it_joins_again() {
    let again = ["epoch -2", "epoch 0 all has []"];
    let mut member = member(Some("static"));
    member.tick(at(0));
    assert_eq!(requests(&mut member), ["epoch 0 all has []"]);
    member.disconnected();
    member.tick(at(100));
    assert_eq!(requests(&mut member), again);
    // The join had not reached the coordinator.
    member.receive(refused(GroupError::UnknownMemberId), at(101));
    member.receive(accepted(1, Some(&[])), at(101));
    assert!(member.is_up() && member.events().is_empty());
    // A fenced member is still in the group.
    member.tick(at(6_000));
    assert_eq!(requests(&mut member), ["epoch 1"]);
    member.receive(refused(GroupError::FencedMemberEpoch), at(6_001));
    member.tick(at(6_001));
    assert_eq!(requests(&mut member), again);
    member.receive(accepted(-2, None), at(6_002));
    member.receive(accepted(2, Some(&[])), at(6_002));
    // A leave request without a response is repeated, and one with a response is not.
    member.poll_timed_out();
    assert_eq!(requests(&mut member), ["epoch -2"]);
    member.disconnected();
    member.asked_for_records();
    member.tick(at(6_100));
    assert_eq!(requests(&mut member), again);
    member.receive(accepted(-2, None), at(6_101));
    member.receive(accepted(2, Some(&[])), at(6_101));
    member.poll_timed_out();
    assert_eq!(requests(&mut member), ["epoch -2"]);
    member.receive(accepted(-2, None), at(6_102));
    member.asked_for_records();
    member.tick(at(6_200));
    assert_eq!(requests(&mut member), ["epoch 0 all has []"]);
}

/// Its predecessor sent no leave request, and holds the instance id until the end of its session.
#[test]
fn a_static_member_waits_for_its_place_as_long_as_a_session_may_last() {
    let taken = || refused(GroupError::Rejected("UnreleasedInstanceId"));
    let mut member = member(Some("static"));
    for second in 0..60 {
        assert_eq!(member.tick(at(1_000 * second)), Time::NEVER);
        assert_eq!(requests(&mut member), ["epoch 0 all has []"]);
        member.receive(taken(), at(1_000 * second));
        assert_eq!((member.events(), member.is_asking()), (Vec::new(), false));
        assert_eq!(member.tick(at(1_000 * second + 999)), at(1_000 * (second + 1)));
    }
    member.tick(at(60_000));
    member.receive(taken(), at(60_000));
    assert_eq!(member.events(), [MemberEvent::Refused("UnreleasedInstanceId")]);
    // After it has held the instance id, the time of a wait begins again.
    let mut member = up(Some("static"), &[]);
    member.tick(at(70_000));
    member.receive(refused(GroupError::UnknownMemberId), at(70_001));
    member.tick(at(70_001));
    member.outbox();
    member.receive(accepted(-2, None), at(70_002));
    member.receive(taken(), at(70_002));
    assert_eq!(member.events(), []);
    member.leave();
    member.outbox();
    assert!(!member.is_asking(), "it is not known there");
}

#[test]
fn one_that_leaves_while_it_waits_to_join_again_says_so() {
    for (instance, epoch) in [(None, "epoch -1"), (Some("static"), "epoch -2")] {
        let mut member = member(instance);
        member.tick(at(0));
        member.outbox();
        // The join may have reached the coordinator.
        member.disconnected();
        member.leave();
        assert_eq!(requests(&mut member), [epoch]);
    }
}

#[test]
fn a_last_commit_that_is_not_answered_is_sent_again() {
    let mut member = up(None, &[1, 2]);
    member.tick(at(5_000));
    member.receive(accepted(2, Some(&[2])), at(5_001));
    member.given_up(offsets(&[(1, 17)]));
    member.outbox();
    member.disconnected();
    member.tick(at(5_100));
    // It still reports the partitions that it gives up, because their commit is not confirmed.
    assert_eq!(requests(&mut member), ["commit 2 [(1, 17)]", "epoch 2 all has [1, 2]"]);
    member.receive(GroupResponse::Done(Ok(())), at(5_101));
    member.receive(accepted(2, Some(&[2])), at(5_102));
    member.tick(at(5_102));
    assert_eq!(requests(&mut member), ["epoch 2 has [2]"]);
}

#[test]
fn a_commit_whose_epoch_is_out_of_date_is_sent_again_a_few_times() {
    let stale = || GroupResponse::Done(Err(GroupError::StaleMemberEpoch));
    let mut member = up(None, &[1, 2]);
    member.tick(at(5_000));
    member.commit(offsets(&[(1, 5), (2, 6)]));
    assert_eq!(requests(&mut member), ["epoch 1", "commit 1 [(1, 5), (2, 6)]"]);
    member.receive(accepted(2, None), at(5_001));
    member.receive(stale(), at(5_001));
    assert_eq!(requests(&mut member), ["commit 2 [(1, 5), (2, 6)]"]);
    // The commit had the member's epoch, so it is repeated after the next heartbeat with a new one.
    member.receive(stale(), at(5_002));
    assert_eq!(requests(&mut member), [""; 0]);
    member.tick(at(5_002));
    assert_eq!(requests(&mut member), ["epoch 2"]);
    // A commit is sent a few times at most, even if the epoch changes each time.
    member.receive(accepted(3, None), at(5_003));
    member.commit(offsets(&[(1, 7)]));
    let mut sent = requests(&mut member);
    for epoch in 4..10 {
        member.me.generation = epoch;
        member.receive(stale(), at(5_004));
        sent.extend(requests(&mut member));
    }
    let expected = ["commit 3 [(1, 7)]", "commit 4 [(1, 7)]", "commit 5 [(1, 7)]"];
    assert_eq!(sent, expected);
}

#[test]
fn a_commit_that_is_repeated_takes_no_later_one_back() {
    let stale = || GroupResponse::Done(Err(GroupError::StaleMemberEpoch));
    let mut member = up(None, &[1, 2]);
    member.commit(offsets(&[(1, 5), (2, 6)]));
    member.tick(at(5_000));
    member.commit(offsets(&[(1, 7)]));
    let sent = ["commit 1 [(1, 5), (2, 6)]", "epoch 1", "commit 1 [(1, 7)]"];
    assert_eq!(requests(&mut member), sent);
    member.me.generation = 2;
    member.receive(stale(), at(5_001));
    assert_eq!(requests(&mut member), ["commit 2 [(2, 6)]"]);
    member.receive(accepted(2, None), at(5_001));
    member.receive(stale(), at(5_002));
    assert_eq!(requests(&mut member), ["commit 2 [(1, 7)]"]);
}

#[test]
fn it_leaves_and_a_static_member_says_that_it_comes_back() {
    for (instance_id, epoch) in [(None, "epoch -1"), (Some("static"), "epoch -2")] {
        let mut member = up(instance_id, &[1]);
        member.commit(offsets(&[(1, 5)]));
        member.leave();
        assert_eq!(requests(&mut member), ["commit 1 [(1, 5)]", epoch]);
        assert!(member.is_asking());
        member.receive(GroupResponse::Done(Ok(())), at(1));
        member.receive(accepted(-1, None), at(2));
        assert!(!member.is_asking());
        assert_eq!(member.tick(at(60_000)), Time::NEVER);
        assert_eq!(requests(&mut member), [""; 0]);
    }
    // Its join may have reached the coordinator, which knows it by the id that the member has generated.
    let mut joining = member(None);
    joining.tick(at(0));
    joining.leave();
    assert_eq!(requests(&mut joining), ["epoch 0 all has []", "epoch -1"]);
    let mut outside = member(None);
    outside.leave();
    assert_eq!(requests(&mut outside), [""; 0]);
}

#[test]
fn one_that_crashes_says_nothing_unless_its_place_would_be_lost() {
    let mut member = up(None, &[1]);
    member.crash();
    assert_eq!((member.tick(at(60_000)), requests(&mut member)), (Time::NEVER, vec![]));
    let mut member = up(Some("static"), &[1]);
    member.holds_instance_id = true;
    member.crash();
    assert_eq!(requests(&mut member), ["epoch -2"]);
}

#[test]
fn without_polls_it_leaves_and_with_the_next_one_it_is_back() {
    let mut member = up(None, &[1]);
    member.tick(at(5_000));
    member.poll_timed_out();
    assert_eq!(member.events(), [MemberEvent::Lost(ids(&[1]))]);
    assert_eq!(requests(&mut member), ["epoch 1", "epoch -1"]);
    // A response to a request before it left is ignored.
    member.receive(accepted(2, Some(&[1, 2])), at(5_001));
    assert_eq!(member.tick(at(5_001)), Time::NEVER);
    member.asked_for_records();
    member.tick(at(6_000));
    assert_eq!(requests(&mut member), ["epoch 0 all has []"]);
    member.receive(accepted(-1, None), at(6_001));
    member.receive(accepted(3, Some(&[])), at(6_002));
    assert!(member.is_up() && member.owned().is_empty());
}

#[test]
fn partitions_of_a_topic_that_is_not_known_yet_are_taken_when_it_is() {
    let mut member = up(None, &[]);
    let assignment = Some(TargetAssignment::UnknownTopic);
    let (member_id, epoch) = (None, 2);
    let unknown = HeartbeatAccepted { member_id, epoch, interval: INTERVAL, assignment };
    member.tick(at(5_000));
    member.outbox();
    member.receive(GroupResponse::ConsumerHeartbeat(Ok(unknown)), at(5_001));
    assert!(member.waits_for_topic());
    member.topic_is_known(18);
    assert!(!member.waits_for_topic());
    // While a topic is unknown, each heartbeat requests the assignment again.
    assert_eq!(member.tick(at(5_002)), at(10_001));
    member.tick(at(10_001));
    assert_eq!(requests(&mut member), ["epoch 2 all has []"]);
    member.receive(accepted(2, Some(&[4])), at(10_002));
    assert_eq!(member.owned(), ids(&[4]));
}

#[test]
fn no_answers_make_it_panic_or_ask_without_end() {
    let responses = [
        accepted(i32::MIN, Some(&[])),
        accepted(0, Some(&[7])),
        GroupResponse::Done(Ok(())),
        GroupResponse::Offsets(BTreeMap::new()),
        GroupResponse::Join(String::new(), Err(GroupError::MemberIdRequired)),
        refused(GroupError::UnknownMemberId),
        refused(GroupError::Unavailable),
    ];
    for first in 0..responses.len() {
        for step in 1..responses.len() {
            let mut member = member(None);
            let mut asked = 0;
            for turn in 0..200 {
                let now = at(turn as i64);
                member.tick(now);
                asked += member.outbox().len();
                member.receive(responses[(first + step * turn) % responses.len()].clone(), now);
                member.commit(offsets(&[(7, 1)]));
                member.given_up(BTreeMap::new());
                member.events();
            }
            assert!(asked < 1_000, "{asked} requests for 200 answers");
        }
    }
}
