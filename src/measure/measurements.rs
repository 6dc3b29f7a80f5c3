//! What is measured in a run. It outlives the actors of the run.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fault_watch::FaultTimes;
use super::{FaultWindows, Journal, LaneShape, PartitionCell, PoolCell, balance};
use crate::base::{Offset, PARTITIONS_MAX, PartitionId, PoolId, Table, Time};
use crate::summary::Ledger;

/// The cells of all partitions and pools, the journal, and the faults' times.
#[derive(Debug)]
pub struct Measurements {
    /// How lanes are numbered as long as the topic does not grow.
    pub shape: LaneShape,
    /// One per partition, by id. There may be more of them later.
    pub cells: Table<PartitionCell>,
    /// One per pool, by id.
    pub pools: Vec<PoolCell>,
    /// Next offset to process of every partition, by id, for readers that must not wait for a cell.
    pub progress: Table<AtomicI64>,
    /// Where every partition's reading started, by id.
    pub starts: Table<Offset>,
    /// Records a client handed to a consumer that is not of their partition.
    pub strays: AtomicU64,
    /// When a client last reported an error, in the run's time; 0 for never.
    pub trouble: AtomicI64,
    /// What happened.
    pub journal: Journal,
    growth: Mutex<Growth>,
    faults: Mutex<BTreeMap<usize, FaultTimes>>,
    client_errors: Mutex<BTreeMap<String, u64>>,
    noted: Mutex<NotedFigures>,
    /// Low and high watermark of each partition after the drain, of those that are known.
    ends: Mutex<BTreeMap<PartitionId, (Offset, Offset)>>,
}

/// Figures that are noted by the name of their metric.
#[derive(Debug, Default)]
struct NotedFigures {
    values: BTreeMap<&'static str, u64>,
    /// Why one of them is not known, by name.
    reasons: BTreeMap<&'static str, String>,
}

/// What happened to the number of partitions.
#[derive(Debug, Default)]
struct Growth {
    steps: Vec<(Time, Range<u32>)>,
    /// The measured window, and those around faults.
    measured: Option<(Time, Time)>,
    windows: Arc<[FaultWindows]>,
}

impl Measurements {
    /// Measurements of partitions whose first records are at `starts`.
    pub fn new(shape: LaneShape, starts: &[Offset]) -> Measurements {
        let cell = |(id, start): (usize, &Offset)| {
            PartitionCell::new(PartitionId(id as u32), *start, shape)
        };
        Measurements {
            shape,
            cells: Table::new(starts.iter().enumerate().map(cell), PARTITIONS_MAX),
            pools: (0..shape.pools).map(|id| PoolCell::new(PoolId(id), shape)).collect(),
            progress: Table::new(starts.iter().map(|at| AtomicI64::new(at.0)), PARTITIONS_MAX),
            starts: Table::new(starts.iter().copied(), PARTITIONS_MAX),
            strays: AtomicU64::new(0),
            trouble: AtomicI64::new(0),
            journal: Journal::default(),
            growth: Mutex::default(),
            faults: Mutex::default(),
            client_errors: Mutex::default(),
            noted: Mutex::default(),
            ends: Mutex::default(),
        }
    }

    /// The cell of `partition`.
    pub fn cell(&self, partition: PartitionId) -> &PartitionCell {
        &self.cells[partition.0 as usize]
    }

    /// The load begins at `start`: sets the measured window everywhere, and the windows around faults.
    pub fn begin(&self, start: Time, measured: (Time, Time), windows: Vec<FaultWindows>) {
        let windows: Arc<[FaultWindows]> = windows.into();
        let mut growth = self.lock_growth();
        for cell in self.cells.iter() {
            cell.lock().begin(start, measured, windows.clone());
        }
        for pool in &self.pools {
            pool.lock().set_window(measured.0, measured.1);
        }
        (growth.measured, growth.windows) = (Some(measured), windows);
    }

    /// Makes room for partitions up to `partitions`, whose first records will be at offset 0. Returns the new ones:
    /// none when others have seen them before.
    pub fn grow(&self, partitions: u32, now: Time) -> Range<u32> {
        let mut growth = self.lock_growth();
        let from = self.cells.len() as u32;
        let to = partitions.min(PARTITIONS_MAX as u32).max(from);
        if to == from {
            return from..from;
        }
        let shape = self.shape.grown(to);
        self.cells.iter().for_each(|cell| cell.lock().grow(shape));
        for id in from..to {
            let cell = PartitionCell::new(PartitionId(id), Offset(0), shape);
            if let Some(measured) = growth.measured {
                cell.lock().begin(now, measured, growth.windows.clone());
            }
            self.progress.push(AtomicI64::new(0));
            self.starts.push(Offset(0));
            // Last: who sees the cell may use the others.
            self.cells.push(cell);
        }
        growth.steps.push((now, from..to));
        from..to
    }

    /// When partitions were found, and which.
    pub fn growth(&self) -> Vec<(Time, Range<u32>)> {
        self.lock_growth().steps.clone()
    }

    fn lock_growth(&self) -> MutexGuard<'_, Growth> {
        self.growth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an answer of the end-offset client, asked at `asked`.
    pub fn observe_ends(&self, ends: &BTreeMap<PartitionId, Offset>, asked: Time, now: Time) {
        for (partition, end) in ends {
            self.cell(*partition).lock().observe_end(*end, asked, now);
        }
    }

    /// Whether a partition is on its way back after a failure at `now`, and is to be watched closely.
    pub fn is_recovering(&self, now: Time) -> bool {
        self.cells.iter().any(|cell| cell.lock().is_recovering(now))
    }

    /// Notes the low and the high watermark of partitions after the drain.
    pub fn set_ends(&self, ends: BTreeMap<PartitionId, (Offset, Offset)>) {
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = ends;
    }

    /// The low and the high watermark of a partition after the drain, if they are known.
    fn end_of(&self, partition: PartitionId) -> Option<(Offset, Offset)> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).copied()
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

    /// Notes a value of the metric `name`, whose figure is the largest one. The metric's row reads it from
    /// [`Summary::figures`](crate::summary::Summary::figures).
    pub fn note_largest(&self, name: &'static str, value: u64) {
        let mut noted = self.lock_noted();
        noted.reasons.remove(name);
        let largest = noted.values.entry(name).or_default();
        *largest = value.max(*largest);
    }

    /// Notes why the metric `name` is not known, unless it has a value.
    pub fn note_unmeasured(&self, name: &'static str, reason: String) {
        let mut noted = self.lock_noted();
        if !noted.values.contains_key(name) {
            noted.reasons.insert(name, reason);
        }
    }

    /// The figures that were noted, and the reasons why others were not, by name.
    pub fn noted(&self) -> (BTreeMap<String, u64>, BTreeMap<String, String>) {
        let noted = self.lock_noted();
        let values = noted.values.iter().map(|(name, value)| ((*name).to_owned(), *value));
        let reasons = noted.reasons.iter().map(|(name, why)| ((*name).to_owned(), why.clone()));
        (values.collect(), reasons.collect())
    }

    fn lock_noted(&self) -> MutexGuard<'_, NotedFigures> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account of every partition so far, by id, from running totals: quick enough for once a second.
    /// `lost` and `unread` are 0 in it, because what is under way cannot be told from what is lost.
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
                ledgers[partition.0 as usize].merge(&balance(sent, cell.lane(producer)));
            }
        }
        for (id, ledger) in (0..).map(PartitionId).zip(&mut ledgers) {
            self.tell_unread(id, ledger);
        }
        ledgers
    }

    /// Tells what is unread from what is lost. Where the end of a partition is not known, everything acknowledged
    /// behind the checkpoint is taken to be there still.
    fn tell_unread(&self, partition: PartitionId, ledger: &mut Ledger) {
        if ledger.lost == 0 {
            return;
        }
        let next = self.cell(partition).lock().next_offset();
        let (low, end) = self.end_of(partition).unwrap_or((Offset(0), Offset(i64::MAX)));
        let from = next.max(low);
        let (mut known, mut unknown) = (0, 0);
        for pool in &self.pools {
            let pool = pool.lock();
            let Some(side) = pool.sides().get(partition.0 as usize) else { continue };
            known += side.acked.count(from, end);
            unknown += side.acked.unknown();
        }
        ledger.tell_unread(known, unknown, u64::try_from(end.0 - from.0).unwrap_or(0));
    }
}
