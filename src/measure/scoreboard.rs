//! Everything that is measured in a run and outlives its actors, in one place.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::faults::FaultTimes;
use super::{Journal, LaneShape, Ledger, PartitionCell, PoolCell, RecoveryMark, balance};
use crate::base::{Offset, PartitionId, PoolId, Time};

/// The cells of all partitions and pools, the journal, and the faults' times.
#[derive(Debug)]
pub struct Scoreboard {
    /// How lanes are numbered.
    pub shape: LaneShape,
    /// One per partition, by id.
    pub cells: Vec<PartitionCell>,
    /// One per pool, by id.
    pub pools: Vec<PoolCell>,
    /// Next offset to process of every partition, by id, for readers that must not wait for a cell.
    pub progress: Vec<AtomicI64>,
    /// Where every partition's reading started, by id.
    pub starts: Vec<Offset>,
    /// Records a client handed to a consumer that is not of their partition.
    pub strays: AtomicU64,
    /// What happened.
    pub journal: Journal,
    faults: Mutex<BTreeMap<usize, FaultTimes>>,
    client_errors: Mutex<BTreeMap<String, u64>>,
}

impl Scoreboard {
    /// A scoreboard for partitions whose first records are at `starts`.
    pub fn new(shape: LaneShape, starts: &[Offset]) -> Scoreboard {
        let cell = |(id, start): (usize, &Offset)| {
            PartitionCell::new(PartitionId(id as u32), *start, shape)
        };
        Scoreboard {
            shape,
            cells: starts.iter().enumerate().map(cell).collect(),
            pools: (0..shape.pools).map(|id| PoolCell::new(PoolId(id), shape)).collect(),
            progress: starts.iter().map(|start| AtomicI64::new(start.0)).collect(),
            starts: starts.to_vec(),
            strays: AtomicU64::new(0),
            journal: Journal::default(),
            faults: Mutex::default(),
            client_errors: Mutex::default(),
        }
    }

    /// The cell of `partition`.
    pub fn cell(&self, partition: PartitionId) -> &PartitionCell {
        &self.cells[partition.0 as usize]
    }

    /// Sets the measured window everywhere and the windows in which pauses are watched.
    pub fn set_windows(&self, start: Time, measured: (Time, Time), watched: &[(Time, Time)]) {
        for cell in &self.cells {
            let mut cell = cell.lock();
            cell.set_window(measured.0, measured.1);
            cell.pauses.watch(start, std::iter::once(measured).chain(watched.iter().copied()));
        }
        for pool in &self.pools {
            pool.lock().set_window(measured.0, measured.1);
        }
    }

    /// Notes an answer of the offset oracle.
    pub fn observe_ends(&self, ends: &BTreeMap<PartitionId, Offset>, now: Time) {
        for (partition, end) in ends {
            self.cell(*partition).lock().observe_end(*end, now);
        }
    }

    /// Whether a partition is still behind after a failure.
    pub fn is_recovering(&self) -> bool {
        let open = |cell: &PartitionCell| cell.lock().recoveries.iter().any(RecoveryMark::is_open);
        self.cells.iter().any(open)
    }

    /// The times of fault number `fault`, made when they are asked for first.
    pub fn fault(&self, fault: usize, update: impl FnOnce(&mut FaultTimes)) {
        update(self.lock_faults().entry(fault).or_default());
    }

    /// The times of all faults that were injected.
    pub fn faults(&self) -> BTreeMap<usize, FaultTimes> {
        self.lock_faults().clone()
    }

    fn lock_faults(&self) -> MutexGuard<'_, BTreeMap<usize, FaultTimes>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an error of a consumer's or observer's client; returns how often it came by now.
    pub fn client_error(&self, error: &str) -> u64 {
        let mut errors = self.client_errors.lock().unwrap_or_else(PoisonError::into_inner);
        let count = errors.entry(error.to_owned()).or_default();
        *count += 1;
        *count
    }

    /// Errors of consumers' and observers' clients, with how often each came.
    pub fn client_errors(&self) -> BTreeMap<String, u64> {
        self.client_errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The account of every partition so far, by id, from running totals: quick enough for once a second.
    /// `lost` is 0 in it, because what is under way cannot be told from what is lost.
    pub fn ledgers_so_far(&self) -> Vec<Ledger> {
        let so_far = |cell: &PartitionCell| {
            let cell = cell.lock();
            Ledger { delivered: cell.delivered(), ..cell.counts() }
        };
        let mut ledgers: Vec<Ledger> = self.cells.iter().map(so_far).collect();
        for pool in &self.pools {
            let pool = pool.lock();
            ledgers.iter_mut().zip(pool.totals()).for_each(|(ledger, total)| ledger.merge(&total));
        }
        ledgers
    }

    /// The account of every partition, by id.
    pub fn ledgers(&self) -> Vec<Ledger> {
        let mut ledgers: Vec<Ledger> = self.cells.iter().map(|cell| cell.lock().counts()).collect();
        for pool in &self.pools {
            let pool = pool.lock();
            for (producer, partition, sent) in pool.lanes() {
                let cell = self.cell(partition).lock();
                let read = cell.lanes().get(self.shape.read_key(producer));
                ledgers[partition.0 as usize].merge(&balance(sent, read));
            }
        }
        ledgers
    }
}
