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
        let at = key as usize;
        if at >= self.index.len() {
            self.index.resize(at + 1, 0);
        }
        if self.index[at] == 0 {
            self.lanes.push((key, L::default()));
            self.index[at] = u32::try_from(self.lanes.len()).unwrap_or(u32::MAX);
        }
        &mut self.lanes[self.index[at] as usize - 1].1
    }

    /// The lane of `key`, if there is one.
    pub fn get(&self, key: u32) -> Option<&L> {
        let at = *self.index.get(key as usize)?;
        at.checked_sub(1).map(|position| &self.lanes[position as usize].1)
    }

    /// Numbers the lanes anew: `key` gives the new key of each old one. New keys must be as distinct as the old ones.
    pub fn rekey(&mut self, key: impl Fn(u32) -> u32) {
        self.index.clear();
        for (position, (at, _)) in self.lanes.iter_mut().enumerate() {
            *at = key(*at);
            if *at as usize >= self.index.len() {
                self.index.resize(*at as usize + 1, 0);
            }
            self.index[*at as usize] = u32::try_from(position + 1).unwrap_or(u32::MAX);
        }
    }

    /// All lanes with their keys, in the order they were made.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &L)> {
        self.lanes.iter().map(|(key, lane)| (*key, lane))
    }
}
