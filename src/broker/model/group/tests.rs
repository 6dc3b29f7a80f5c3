use super::*;
use crate::broker::model::assignor::assign;
use proptest::prelude::*;

const SESSION: Duration = Duration::from_secs(6);
const POLL: Duration = Duration::from_secs(300);

fn s(seconds: f64) -> Time {
    Time((seconds * 1e9) as i64)
}

/// A member of the kind librdkafka is: joins again when told, syncs, beats.
#[derive(Clone, Debug)]
struct Client {
    me: MemberRef,
    assignor: Assignor,
    has: Vec<PartitionId>,
}

impl Client {
    fn new(assignor: Assignor, instance: Option<&str>) -> Client {
        let instance_id = instance.map(str::to_owned);
        let me = MemberRef { member_id: String::new(), instance_id, generation: -1 };
        Client { me, assignor, has: Vec::new() }
    }

    fn join(&self) -> GroupRequest {
        let cooperative = self.assignor == Assignor::CooperativeSticky;
        GroupRequest::Join(Join {
            client_id: "consumer".to_owned(),
            member_id: self.me.member_id.clone(),
            instance_id: self.me.instance_id.clone(),
            session_timeout: SESSION,
            rebalance_timeout: POLL,
            assignor: self.assignor,
            owned: if cooperative { self.has.clone() } else { Vec::new() },
            generation: self.me.generation,
        })
    }
}

/// A group with its clients; messages take no time.
struct World {
    group: GroupCoordinator,
    clients: Vec<Client>,
    now: Time,
    /// Ticket -> client of what is under way; an even ticket is a JoinGroup or SyncGroup, an odd one a Heartbeat.
    waiting: BTreeMap<Ticket, usize>,
    next: u64,
    silent: Vec<usize>,
}

impl World {
    fn new() -> World {
        let group = GroupCoordinator::new(GroupSettings::default(), Seed(7));
        let (clients, silent) = (Vec::new(), Vec::new());
        World { group, clients, now: Time::ZERO, waiting: BTreeMap::new(), next: 0, silent }
    }

    fn of(count: usize, assignor: Assignor) -> World {
        let mut world = World::new();
        for _ in 0..count {
            world.arrive(Client::new(assignor, None));
        }
        world.run_until(s(20.0));
        assert!(world.group.is_stable());
        world
    }

    fn arrive(&mut self, client: Client) -> usize {
        let at = self.clients.len();
        let join = client.join();
        self.clients.push(client);
        self.ask(at, join);
        at
    }

    fn ask(&mut self, client: usize, request: GroupRequest) {
        let is_beat = matches!(request, GroupRequest::Heartbeat(_));
        self.next += 1;
        let ticket = Ticket(2 * self.next + u64::from(is_beat));
        self.waiting.insert(ticket, client);
        self.group.request(ticket, request, self.now);
        self.deliver();
    }

    fn deliver(&mut self) {
        for (ticket, response) in self.group.take_answers() {
            let client = self.waiting.remove(&ticket).expect("each request is answered once");
            if self.silent.contains(&client) {
                continue;
            }
            self.hear(client, response);
        }
    }

    fn hear(&mut self, at: usize, response: GroupResponse) {
        let client = &mut self.clients[at];
        match response {
            GroupResponse::Join(id, Err(GroupError::MemberIdRequired)) => {
                client.me.member_id = id;
                let join = client.join();
                self.ask(at, join);
            }
            GroupResponse::Join(_, Err(GroupError::UnknownMemberId))
            | GroupResponse::Sync(Err(GroupError::UnknownMemberId))
            | GroupResponse::Done(Err(GroupError::UnknownMemberId)) => {
                client.me.member_id.clear();
                client.me.generation = -1;
                client.has.clear();
                let join = client.join();
                self.ask(at, join);
            }
            GroupResponse::Join(id, Ok(joined)) => {
                client.me.member_id = id;
                client.me.generation = joined.generation;
                let dealt = assign(client.assignor, 18, &joined.members);
                let ids = joined.members.iter().map(|member| member.member_id.clone());
                let member = client.me.clone();
                self.ask(at, GroupRequest::Sync { member, assignments: ids.zip(dealt).collect() });
            }
            GroupResponse::Sync(Ok(own)) => {
                let gives_up = client.has.iter().any(|partition| !own.contains(partition));
                client.has = own;
                if gives_up && client.assignor == Assignor::CooperativeSticky {
                    let join = client.join();
                    self.ask(at, join);
                }
            }
            GroupResponse::Sync(Err(GroupError::RebalanceInProgress))
            | GroupResponse::Done(Err(GroupError::RebalanceInProgress)) => {
                let join = client.join();
                self.ask(at, join);
            }
            _ => {}
        }
    }

    /// Lets time pass in steps of 100 ms; everybody who is not waiting beats every 2 s.
    fn run_until(&mut self, until: Time) {
        while self.now < until {
            self.now = self.now + Duration::from_millis(100);
            self.group.tick(self.now);
            self.deliver();
            if self.now.0 % 2_000_000_000 != 0 {
                continue;
            }
            for at in 0..self.clients.len() {
                let busy = self.waiting.values().any(|client| *client == at);
                if !busy && !self.silent.contains(&at) {
                    let beat = GroupRequest::Heartbeat(self.clients[at].me.clone());
                    self.ask(at, beat);
                }
            }
        }
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
    world.arrive(Client::new(Assignor::Range, None));
    world.run_until(s(2.5));
    world.arrive(Client::new(Assignor::Range, None));
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
fn a_crash_is_found_out_by_the_session_time_out_and_stops_everybody_once() {
    let mut world = World::of(3, Assignor::Range);
    world.silent.push(1);
    let generation = world.group.generation();
    world.run_until(world.now + SESSION - Duration::from_millis(100));
    assert_eq!(world.group.generation(), generation);
    // Silent since its last beat at 20 s: out at 26 s; the others hear of it with their beats at 26 s.
    world.run_until(s(28.1));
    assert_eq!((world.group.generation(), world.sizes()), (generation + 1, vec![9, 9]));
}

#[test]
fn a_member_that_leaves_is_replaced_without_a_time_out() {
    let mut world = World::of(3, Assignor::Range);
    let leaver = world.clients[0].me.clone();
    world.silent.push(0);
    world.ask(0, GroupRequest::Leave(leaver));
    world.run_until(world.now + Duration::from_secs(2));
    assert_eq!(world.sizes(), [9, 9]);
}

#[test]
fn a_cooperative_newcomer_takes_two_generations_and_stops_nobody_else() {
    let mut world = World::of(2, Assignor::CooperativeSticky);
    let before: Vec<_> = world.clients.iter().map(|client| client.has.clone()).collect();
    let generation = world.group.generation();
    world.arrive(Client::new(Assignor::CooperativeSticky, None));
    world.run_until(world.now + Duration::from_secs(5));
    assert_eq!((world.group.generation(), world.sizes()), (generation + 2, vec![6, 6, 6]));
    for (client, before) in world.clients.iter().zip(&before) {
        assert!(client.has.iter().all(|partition| before.contains(partition)));
    }
}

#[test]
fn a_static_member_comes_back_unnoticed_and_its_predecessor_is_fenced() {
    let mut world = World::new();
    for name in ["a", "b"] {
        world.arrive(Client::new(Assignor::Range, Some(name)));
    }
    world.run_until(s(10.0));
    let (generation, had) = (world.group.generation(), world.clients[1].has.clone());
    let old = world.clients[1].me.clone();
    world.silent.push(1);
    world.arrive(Client::new(Assignor::Range, Some("b")));
    world.run_until(s(12.0));
    assert_eq!((world.group.generation(), &world.clients[2].has), (generation, &had));
    world.group.request(Ticket(0), GroupRequest::Heartbeat(old), world.now);
    let answer = GroupResponse::Done(Err(GroupError::FencedInstanceId));
    assert_eq!(world.group.take_answers(), [(Ticket(0), answer)]);
}

#[test]
fn commits_of_an_older_generation_are_refused() {
    let mut world = World::of(2, Assignor::Range);
    let old = world.clients[0].me.clone();
    world.arrive(Client::new(Assignor::Range, None));
    world.run_until(world.now + Duration::from_secs(5));
    let offsets = BTreeMap::from([(PartitionId(0), Offset(9))]);
    let commit = |member| GroupRequest::Commit { member, offsets: offsets.clone() };
    world.group.request(Ticket(0), commit(Some(old)), world.now);
    world.group.request(Ticket(1), commit(None), world.now);
    let current = world.clients[0].me.clone();
    world.group.request(Ticket(2), commit(Some(current)), world.now);
    world.group.request(Ticket(3), GroupRequest::FetchOffsets, world.now);
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
    /// Whoever comes, leaves or falls silent: no partition has two owners, generations only grow, and once it is
    /// quiet all partitions are owned by those who are alive.
    #[test]
    fn a_group_always_finds_its_peace(
        cooperative in any::<bool>(),
        events in proptest::collection::vec((0u8..4, 0usize..8, 1u64..80), 1..25),
    ) {
        let assignor = if cooperative { Assignor::CooperativeSticky } else { Assignor::Range };
        let mut world = World::new();
        world.arrive(Client::new(assignor, None));
        let mut generation = 0;
        for (kind, who, steps) in events {
            let at = who % world.clients.len();
            let is_gone = world.silent.contains(&at);
            match kind {
                0 | 1 if world.clients.len() < 12 => _ = world.arrive(Client::new(assignor, None)),
                2 if !is_gone => world.silent.push(at),
                3 if !is_gone => {
                    world.silent.push(at);
                    let me = world.clients[at].me.clone();
                    world.ask(at, GroupRequest::Leave(me));
                }
                _ => {}
            }
            world.run_until(world.now + Duration::from_millis(100 * steps));
            prop_assert!(world.group.generation() >= generation);
            generation = world.group.generation();
            let mut owned: Vec<_> = world.group.assignments().flat_map(|(_, own)| own).collect();
            let all = owned.len();
            owned.sort_unstable();
            owned.dedup();
            prop_assert_eq!(owned.len(), all, "a partition has two owners");
        }
        world.arrive(Client::new(assignor, None));
        // Session time-outs, and the 5 minutes a joining newcomer that died is waited for.
        world.run_until(world.now + Duration::from_secs(640));
        prop_assert!(world.group.is_stable());
        let alive = world.clients.len() - world.silent.len();
        prop_assert_eq!(world.group.assignments().count(), alive);
        let owned: usize = world.group.assignments().map(|(_, own)| own.len()).sum();
        prop_assert_eq!(owned, 18);
    }
}
