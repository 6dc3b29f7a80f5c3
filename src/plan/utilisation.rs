//! How busy consumers will be: rate times work, per partition and per member.

use super::{Assignor, ClientTopology, GroupProtocol, Membership, Placement, Plan};

/// How busy the consumers of a paced load will be, if there is work to do for a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Utilisation {
    /// By partition id.
    pub partitions: Vec<PartitionUse>,
    /// By member id; consumers with a partition each are not listed again.
    pub members: Vec<MemberUse>,
}

/// How busy one partition keeps its consumer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartitionUse {
    /// Which one.
    pub partition: u32,
    /// Records per second.
    pub per_second: f64,
    /// Mean time a record takes, in seconds.
    pub work_s: f64,
}

/// How busy a thread with several partitions is.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberUse {
    /// Which one: a group member, or the shared client.
    pub name: String,
    /// Its partitions.
    pub partitions: Vec<u32>,
    /// Consumers it stands for: 1 is always busy.
    pub consumers: f64,
}

impl PartitionUse {
    /// Consumers the partition needs: 1 keeps one busy all the time.
    pub fn consumers(&self) -> f64 {
        self.per_second * self.work_s
    }
}

impl Plan {
    /// How busy consumers will be. Nothing at maximum rate, without work, or with a handler whose work is not known.
    /// Partitions that a fault adds, bursts and rebalances are left out.
    pub fn utilisation(&self) -> Utilisation {
        let Some(all) = self.load.per_second().filter(|_| self.consumers.work.is_some()) else {
            return Utilisation::default();
        };
        let (load, partitions) = (&self.load, self.topic.partitions);
        let placement = Placement::new(load.partition, partitions, load.skew, self.seed, self.seed);
        let shares = placement.shares(load.producers);
        let of_partition = |(id, share): (u32, f64)| PartitionUse {
            partition: id,
            per_second: all * share,
            work_s: self.consumers.work.of(id).mean().as_secs_f64(),
        };
        let partitions: Vec<PartitionUse> = (0..).zip(shares).map(of_partition).collect();
        let members = self.shared_among(&partitions);
        Utilisation { partitions, members }
    }

    /// The threads that have several partitions, as a group deals them out at first.
    fn shared_among(&self, partitions: &[PartitionUse]) -> Vec<MemberUse> {
        let count = partitions.len() as u32;
        let member = |name: String, ids: Vec<u32>| MemberUse {
            name,
            consumers: ids.iter().map(|id| partitions[*id as usize].consumers()).sum(),
            partitions: ids,
        };
        match &self.consumers.membership {
            Membership::Assigned { clients: ClientTopology::PerPartition } => Vec::new(),
            Membership::Assigned { clients: ClientTopology::Shared } => {
                vec![member("the shared client".to_owned(), (0..count).collect())]
            }
            Membership::Group(group) => {
                let in_ranges = match &group.protocol {
                    GroupProtocol::Classic { assignor, .. } => *assignor == Assignor::Range,
                    GroupProtocol::Consumer { .. } => true,
                };
                let (members, each) = (group.members, count / group.members.max(1));
                let more = count % group.members.max(1);
                let dealt = |id: u32| match in_ranges {
                    // The first ones get one more each (Kafka's RangeAssignor).
                    true => {
                        let from = id * each + id.min(more);
                        (from..from + each + u32::from(id < more)).collect()
                    }
                    false => (id..count).step_by(members as usize).collect(),
                };
                (0..members).map(|id| member(format!("member {id}"), dealt(id))).collect()
            }
        }
    }
}

impl Utilisation {
    /// The partition that needs most of a consumer.
    pub fn busiest_partition(&self) -> Option<&PartitionUse> {
        self.partitions.iter().max_by(|a, b| a.consumers().total_cmp(&b.consumers()))
    }

    /// The busiest thread with several partitions.
    pub fn busiest_member(&self) -> Option<&MemberUse> {
        self.members.iter().max_by(|a, b| a.consumers.total_cmp(&b.consumers))
    }

    /// Consumers that the busiest thread stands for.
    pub fn most(&self) -> f64 {
        let partition = self.busiest_partition().map_or(0.0, PartitionUse::consumers);
        self.busiest_member().map_or(partition, |member| member.consumers.max(partition))
    }
}
