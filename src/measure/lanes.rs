//! A table of lanes, created lazily and found by position.

/// Lanes by key, in a dense index. Keys are small numbers (a producer, or producer x partition).
#[derive(Clone, Debug)]
pub struct Lanes<L> {
    /// Position in `lanes` plus one; 0 = no lane yet.
    index: Vec<u32>,
    lanes: Vec<(u32, L)>,
}

impl<L> Default for Lanes<L> {
    fn default() -> Self {
        Lanes { index: Vec::new(), lanes: Vec::new() }
    }
}

impl<L: Default> Lanes<L> {
    /// The lane of `key`, made when it is asked for first.
    #[inline]
    pub fn lane(&mut self, key: u32) -> &mut L {
        let number = match self.index.get(key as usize) {
            Some(number) if *number > 0 => *number,
            _ => self.make(key),
        };
        &mut self.lanes[number as usize - 1].1
    }

    #[cold]
    fn make(&mut self, key: u32) -> u32 {
        self.lanes.push((key, L::default()));
        let number = u32::try_from(self.lanes.len()).unwrap_or(u32::MAX);
        note(&mut self.index, key, number);
        number
    }

    /// The lane of `key`, if there is one.
    pub fn get(&self, key: u32) -> Option<&L> {
        let at = *self.index.get(key as usize)?;
        at.checked_sub(1).map(|position| &self.lanes[position as usize].1)
    }

    /// Numbers the lanes anew: `key` gives the new key of each old one. New keys must be as distinct as the old ones.
    pub fn rekey(&mut self, key: impl Fn(u32) -> u32) {
        self.index.clear();
        for (number, (at, _)) in (1..).zip(&mut self.lanes) {
            *at = key(*at);
            note(&mut self.index, *at, number);
        }
    }

    /// All lanes with their keys, in the order they were made.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &L)> {
        self.lanes.iter().map(|(key, lane)| (*key, lane))
    }
}

fn note(index: &mut Vec<u32>, key: u32, number: u32) {
    let at = key as usize;
    if at >= index.len() {
        index.resize(at + 1, 0);
    }
    index[at] = number;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_made_once_and_keeps_what_is_in_it_when_keys_change() {
        let mut lanes: Lanes<u64> = Lanes::default();
        for (key, value) in [(7, 70), (2, 20), (7, 1)] {
            *lanes.lane(key) += value;
        }
        assert_eq!((lanes.get(7), lanes.get(2), lanes.get(3)), (Some(&71), Some(&20), None));
        lanes.rekey(|key| 3 * key);
        assert_eq!((*lanes.lane(21), *lanes.lane(6), *lanes.lane(7)), (71, 20, 0));
        assert_eq!(lanes.iter().map(|(key, _)| key).collect::<Vec<_>>(), [21, 6, 7]);
    }
}
