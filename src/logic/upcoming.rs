//! The order in which a pool's producers send.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::base::Time;

/// What each producer sends next: when, and its number in the pool.
#[derive(Clone, Debug)]
pub(super) enum Upcoming {
    /// Gaps are equal: from the place on, and then from the beginning, they are in the order of their times, as the one that
    /// has just sent comes last again.
    InTurn(Vec<(Time, u32)>, usize),
    /// Gaps differ.
    AnyOrder(BinaryHeap<Reverse<(Time, u32)>>),
}

impl Upcoming {
    /// Producers in the order of their times, and all with the same gap.
    pub(super) fn in_turn(turns: Vec<(Time, u32)>) -> Upcoming {
        Upcoming::InTurn(turns, 0)
    }

    /// Producers with gaps that differ.
    pub(super) fn in_any_order(due: Vec<(Time, u32)>) -> Upcoming {
        Upcoming::AnyOrder(due.into_iter().map(Reverse).collect())
    }

    /// When and who is next.
    #[inline]
    pub(super) fn first(&self) -> Option<(Time, u32)> {
        match self {
            Upcoming::InTurn(turns, place) => turns.get(*place).copied(),
            Upcoming::AnyOrder(heap) => heap.peek().map(|Reverse(first)| *first),
        }
    }

    /// When the second one is due, if there is one.
    #[inline]
    pub(super) fn second(&self) -> Option<Time> {
        let second = match self {
            Upcoming::InTurn(turns, _) if turns.len() < 2 => None,
            Upcoming::InTurn(turns, place) => turns.get(behind(*place, turns)),
            Upcoming::AnyOrder(heap) => {
                heap.as_slice().iter().skip(1).take(2).map(|Reverse(entry)| entry).min()
            }
        };
        second.map(|(at, _)| *at)
    }

    /// Puts the first one off until `next`.
    #[inline]
    pub(super) fn put_off(&mut self, next: Time) {
        match self {
            Upcoming::InTurn(turns, place) => {
                if let Some(first) = turns.get_mut(*place) {
                    first.0 = next;
                }
                *place = behind(*place, turns);
            }
            Upcoming::AnyOrder(heap) => {
                // A new top costs half of pop and push.
                if let Some(mut top) = heap.peek_mut() {
                    top.0.0 = next;
                }
            }
        }
    }
}

/// Whose turn is after that of `place`.
#[inline]
fn behind(place: usize, turns: &[(Time, u32)]) -> usize {
    if place + 1 < turns.len() { place + 1 } else { 0 }
}
