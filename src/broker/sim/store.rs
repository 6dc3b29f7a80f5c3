//! Messages under way, by number.

use crate::base::push_with;
use crate::broker::model::Caller;
use crate::broker::protocol::BrokerId;

/// Messages under way: whose they are, to or from which broker, and what they say.
///
/// A slab in which what is plain lies apart from what has to be dropped, so that neither is copied on its way in.
#[derive(Debug)]
pub(super) struct Store<T> {
    between: Vec<(Caller, BrokerId)>,
    messages: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Store { between: Vec::new(), messages: Vec::new(), free: Vec::new() }
    }
}

impl<T> Store<T> {
    /// Keeps a message; returns its number.
    #[inline]
    pub(super) fn insert(&mut self, caller: Caller, broker: BrokerId, message: T) -> u32 {
        let Some(number) = self.free.pop() else {
            self.between.push((caller, broker));
            push_with(&mut self.messages, || Some(message));
            return self.messages.len() as u32 - 1;
        };
        self.between[number as usize] = (caller, broker);
        self.messages[number as usize].replace(message);
        number
    }

    /// Gives the message of this number away.
    #[inline]
    pub(super) fn remove(&mut self, number: u32) -> Option<(Caller, BrokerId, T)> {
        let message = self.messages[number as usize].take()?;
        self.free.push(number);
        let (caller, broker) = self.between[number as usize];
        Some((caller, broker, message))
    }

    /// The message of this number.
    pub(super) fn get(&self, number: u32) -> Option<(Caller, BrokerId, &T)> {
        let (caller, broker) = *self.between.get(number as usize)?;
        Some((caller, broker, self.messages[number as usize].as_ref()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again_and_messages_come_out_as_they_went_in() {
        let caller = |client| Caller { client, connection: 1 };
        let mut store = Store::default();
        let first = store.insert(caller(1), 5, "first".to_owned());
        let second = store.insert(caller(2), 6, "second".to_owned());
        assert_eq!(store.remove(first), Some((caller(1), 5, "first".to_owned())));
        assert_eq!((store.remove(first), store.get(first)), (None, None));
        assert_eq!(store.insert(caller(3), 7, "third".to_owned()), first);
        assert_eq!(store.get(second), Some((caller(2), 6, &"second".to_owned())));
        assert_eq!(store.get(first), Some((caller(3), 7, &"third".to_owned())));
    }
}
