//! Decides from repeated metadata whether a topic has grown or was deleted.
//!
//! Brokers learn of a change one after another, so what is seen once may not be there for the next client. A change
//! counts when it is seen twice in a row.

/// What was seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicWatch {
    known: u32,
    last: Option<TopicChange>,
    /// The smallest number of partitions that was reported as left.
    left: u32,
}

/// A change of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicChange {
    /// It has this number of partitions now, each with a leader.
    Grown(u32),
    /// It has only this number left; 0 when it is deleted.
    Shrunk(u32),
}

/// What follows from one check of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicCheck {
    /// Nothing has changed: check again after the interval.
    Later,
    /// A change is seen once: check again soon, to be sure.
    Soon,
    /// The change is certain.
    Certain(TopicChange),
}

impl TopicWatch {
    /// A topic with this number of partitions.
    pub fn new(partitions: u32) -> TopicWatch {
        TopicWatch { known: partitions, last: None, left: partitions }
    }

    /// Takes what was seen: `partitions` in all, the first `led` of them with a leader. A partition without a leader
    /// is no less there.
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
