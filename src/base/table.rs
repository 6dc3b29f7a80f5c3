//! A table that grows while it is read.

use std::ops::{Index, Range};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Values by number, from 0 on. Values are never moved or removed, and readers never wait. The capacity is fixed, and
/// memory is allocated for `CHUNK` values at a time.
#[derive(Debug)]
pub struct GrowingTable<T> {
    chunks: Box<[OnceLock<Chunk<T>>]>,
    capacity: usize,
    len: AtomicUsize,
    writing: Mutex<()>,
}

/// A chunk of values. Each has a box of its own, so that an empty place is small.
type Chunk<T> = Box<[OnceLock<Box<T>>]>;

/// Number of values for which memory is allocated at once.
const CHUNK: usize = 64;

impl<T> GrowingTable<T> {
    /// A table of `values` with this capacity, or with that of `values` if they are more.
    pub fn new(values: impl IntoIterator<Item = T>, capacity: usize) -> GrowingTable<T> {
        let values: Vec<T> = values.into_iter().collect();
        let capacity = capacity.max(values.len());
        let chunks = (0..capacity.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect();
        let table =
            GrowingTable { chunks, capacity, len: AtomicUsize::new(0), writing: Mutex::new(()) };
        values.into_iter().for_each(|value| _ = table.push(value));
        table
    }

    /// Appends a value; false if the table is full.
    pub fn push(&self, value: T) -> bool {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let at = self.len.load(Ordering::Acquire);
        if at >= self.capacity {
            return false;
        }
        let chunk =
            self.chunks[at / CHUNK].get_or_init(|| (0..CHUNK).map(|_| OnceLock::new()).collect());
        let is_set = chunk[at % CHUNK].set(Box::new(value)).is_ok();
        if is_set {
            self.len.store(at + 1, Ordering::Release);
        }
        is_set
    }

    /// Value number `at`. The first call creates it and all values before it. `at` must be less than the capacity.
    pub fn reach(&self, at: usize) -> &T
    where
        T: Default,
    {
        while self.len() <= at && self.push(T::default()) {}
        &self[at]
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// True if the table has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value number `at`; `None` if it does not exist.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&T> {
        let chunk = self.chunks.get(at / CHUNK)?.get()?;
        chunk[at % CHUNK].get().map(|value| &**value)
    }

    /// All current values, in order.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { table: self, left: 0..self.len() }
    }
}

/// The values that a table had when the iterator was created.
#[derive(Debug)]
pub struct Iter<'a, T> {
    table: &'a GrowingTable<T>,
    left: Range<usize>,
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        self.table.get(self.left.next()?)
    }
}

impl<'a, T> IntoIterator for &'a GrowingTable<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> Index<usize> for GrowingTable<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: usize) -> &T {
        self.get(at).expect("a number below the table's length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_it_stays_where_it_is_while_it_grows() {
        let table = GrowingTable::new([10, 11], 4);
        let first = &table[0];
        assert!(table.push(12) && table.push(13));
        assert_eq!((*first, table.len()), (10, 4));
        assert_eq!(table.iter().copied().collect::<Vec<_>>(), [10, 11, 12, 13]);
        assert!(!table.push(14), "there is no more room");
        assert_eq!(table.get(4), None);
        let reached: GrowingTable<u8> = GrowingTable::new([7], 9);
        assert_eq!((*reached.reach(5), reached.len(), reached[0]), (0, 6, 7));
    }

    #[test]
    fn many_may_append_at_once_and_nothing_is_overwritten() {
        let table = GrowingTable::new([], 1000);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let table = &table;
                scope.spawn(move || (0..250).all(|i| table.push(thread * 250 + i)));
            }
        });
        let mut found: Vec<i32> = table.iter().copied().collect();
        found.sort_unstable();
        assert_eq!(found, (0..1000).collect::<Vec<_>>());
    }
}
