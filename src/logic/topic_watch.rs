//! The topic watch decides from repeated metadata whether a topic has grown or was deleted. Brokers learn of a change
//! one after another, so a change counts when it is seen twice in a row.

/// The state of the topic as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicWatch {
    known: u32,
    last: Option<TopicChange>,
    /// The smallest number of partitions that was reported.
    left: u32,
}

/// A change of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicChange {
    /// The topic has this number of partitions now, each with a leader.
    Grown(u32),
    /// The topic has only this number of partitions left; 0 if it is deleted.
    Shrunk(u32),
}

/// The next step after a check of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicCheck {
    /// No change: check again after the interval.
    Later,
    /// A change was seen once: check again soon.
    Soon,
    /// The change was seen twice.
    Certain(TopicChange),
}

impl TopicWatch {
    /// A topic with this number of partitions.
    pub fn new(partitions: u32) -> TopicWatch {
        TopicWatch { known: partitions, last: None, left: partitions }
    }

    /// Evaluates metadata with `partitions` partitions, of which the first `led` have a leader. A partition without a
    /// leader still exists.
    pub fn seen(&mut self, partitions: u32, led: u32) -> TopicCheck {
        let change = if partitions < self.left {
            Some(TopicChange::Shrunk(partitions))
        } else if led > self.known {
            Some(TopicChange::Grown(led))
        } else {
            None
        };
        let before = std::mem::replace(&mut self.last, change);
        match change {
            None => TopicCheck::Later,
            Some(change) if before == Some(change) => {
                match change {
                    TopicChange::Grown(partitions) => {
                        self.known = partitions;
                        self.left = partitions;
                    }
                    TopicChange::Shrunk(partitions) => self.left = partitions,
                }
                TopicCheck::Certain(change)
            }
            Some(_) => TopicCheck::Soon,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_counts_when_it_is_seen_twice_and_has_leaders() {
        let mut watch = TopicWatch::new(4);
        assert_eq!(watch.seen(4, 4), TopicCheck::Later);
        assert_eq!(watch.seen(6, 4), TopicCheck::Later);
        assert_eq!(watch.seen(6, 5), TopicCheck::Soon);
        assert_eq!(watch.seen(6, 6), TopicCheck::Soon);
        assert_eq!(watch.seen(6, 6), TopicCheck::Certain(TopicChange::Grown(6)));
        assert_eq!(watch.seen(6, 6), TopicCheck::Later);
    }

    #[test]
    fn a_partition_without_a_leader_is_still_there() {
        let mut watch = TopicWatch::new(4);
        assert_eq!(watch.seen(4, 0), TopicCheck::Later);
        assert_eq!(watch.seen(4, 0), TopicCheck::Later);
    }

    #[test]
    fn a_topic_that_is_gone_is_told_once() {
        let mut watch = TopicWatch::new(4);
        assert_eq!(watch.seen(0, 0), TopicCheck::Soon);
        assert_eq!(watch.seen(0, 0), TopicCheck::Certain(TopicChange::Shrunk(0)));
        assert_eq!(watch.seen(0, 0), TopicCheck::Later);
    }

    #[test]
    fn a_broker_that_knows_less_than_the_others_changes_nothing() {
        let mut watch = TopicWatch::new(4);
        for _ in 0..10 {
            assert_eq!(watch.seen(6, 6), TopicCheck::Soon);
            assert_eq!(watch.seen(4, 4), TopicCheck::Later);
        }
    }
}
