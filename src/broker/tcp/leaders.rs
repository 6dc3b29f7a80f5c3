//! The leaders of partitions, with their epochs: if two brokers name different leaders, the one with the later epoch is
//! right.
//!
//! Source: KIP-320 (epochs), KIP-951 (brokers that name the next leader).

use crate::base::PartitionId;
use crate::broker::protocol::{BrokerId, Response};
use crate::broker::wire::{KnownNodes, LeaderHint, MetadataAnswer, TopicId};

/// An unknown epoch.
const UNKNOWN: i32 = -1;

/// The leaders of the topic's partitions, as brokers have named them.
#[derive(Clone, Debug, Default)]
pub(super) struct Leaders {
    /// Index: the partition.
    leaders: Vec<Option<BrokerId>>,
    epochs: Vec<i32>,
}

impl Leaders {
    /// The epochs by partition; -1 for an unknown one.
    pub(super) fn epochs(&self) -> &[i32] {
        &self.epochs
    }

    /// Evaluates a metadata response for the topic with this id, and makes the client's response of it. A partition
    /// with a later known epoch is not changed, because that broker does not know of the change yet.
    pub(super) fn learn(
        &mut self,
        answer: &MetadataAnswer,
        topic: &mut TopicId,
        nodes: &KnownNodes,
    ) -> Response {
        if let Some(error) = answer.error {
            return Response::Refused(error.of_partition());
        }
        // Without an id, a topic that was created again, with new epochs, cannot be detected.
        if *topic != answer.topic_id || answer.topic_id == TopicId::default() {
            *topic = answer.topic_id;
            self.epochs.clear();
        }
        let known = self.epochs.len().min(self.leaders.len());
        self.leaders.resize(answer.partitions.len(), None);
        self.epochs.resize(answer.partitions.len(), UNKNOWN);
        for (at, its) in answer.partitions.iter().enumerate() {
            if at >= known || its.leader_epoch >= self.epochs[at] {
                self.leaders[at] = its.leader.and_then(|node| nodes.number(node));
                self.epochs[at] = its.leader_epoch;
            }
        }
        Response::Metadata(self.leaders.clone())
    }

    /// Takes the leader that a broker names with an error, unless a later one is known.
    pub(super) fn take_hint(
        &mut self,
        partition: PartitionId,
        hint: LeaderHint,
        nodes: &KnownNodes,
    ) -> Option<BrokerId> {
        let at = partition.0 as usize;
        let (leader, epoch) = (self.leaders.get_mut(at)?, self.epochs.get_mut(at)?);
        let named = nodes.number(hint.node_id).filter(|_| hint.epoch >= *epoch)?;
        (*leader, *epoch) = (Some(named), hint.epoch);
        Some(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::wire::{Endpoint, PartitionMetadata};

    fn nodes() -> KnownNodes {
        let mut nodes = KnownNodes::default();
        let node = |node_id| Endpoint { node_id, host: "h".to_owned(), port: 1 };
        nodes.learn(&[node(1), node(2), node(3)]);
        nodes
    }

    /// A topic of one partition.
    fn answer(topic_id: u8, node: i32, leader_epoch: i32) -> MetadataAnswer {
        let leader = (node > 0).then_some(node);
        let (replicas, in_sync) = (vec![], vec![]);
        MetadataAnswer {
            cluster_id: None,
            brokers: Vec::new(),
            controller: -1,
            error: None,
            topic_id: [topic_id; 16],
            partitions: vec![PartitionMetadata {
                error: None,
                leader,
                leader_epoch,
                replicas,
                in_sync,
            }],
        }
    }

    fn led_by(response: &Response) -> Option<BrokerId> {
        let Response::Metadata(leaders) = response else { panic!("{response:?}") };
        leaders[0]
    }

    #[test]
    fn the_later_epoch_is_right() {
        let (mut leaders, mut topic, nodes) = (Leaders::default(), TopicId::default(), nodes());
        let mut learn =
            |leaders: &mut Leaders, answer| led_by(&leaders.learn(&answer, &mut topic, &nodes));
        assert_eq!(learn(&mut leaders, answer(9, 1, 5)), Some(0));
        let hint = |node_id, epoch| LeaderHint { node_id, epoch };
        assert_eq!(leaders.take_hint(PartitionId(0), hint(2, 6), &nodes), Some(1));
        assert_eq!(leaders.take_hint(PartitionId(0), hint(3, 5), &nodes), None, "an old one");
        assert_eq!(leaders.take_hint(PartitionId(0), hint(8, 7), &nodes), None, "not known");
        assert_eq!(leaders.take_hint(PartitionId(1), hint(2, 7), &nodes), None, "no partition");
        assert_eq!(learn(&mut leaders, answer(9, 1, 5)), Some(1), "that broker is behind");
        assert_eq!(learn(&mut leaders, answer(9, 0, 7)), None, "there is none now");
        assert_eq!(leaders.epochs(), [7]);
        assert_eq!(learn(&mut leaders, answer(4, 3, 0)), Some(2), "another topic");
        assert_eq!(leaders.epochs(), [0]);
    }

    #[test]
    fn epochs_of_a_topic_without_an_id_are_those_said_last() {
        let (mut leaders, mut topic, nodes) = (Leaders::default(), TopicId::default(), nodes());
        assert_eq!(led_by(&leaders.learn(&answer(0, 1, 5), &mut topic, &nodes)), Some(0));
        assert_eq!(led_by(&leaders.learn(&answer(0, 2, 1), &mut topic, &nodes)), Some(1));
        assert_eq!(leaders.epochs(), [1]);
    }
}
