//! The measurements of a run. They outlive the actors of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::fault_watch::FaultTimes;
use super::{
    BacklogReading, CellState, FaultWindows, Journal, LaneShape, LeaderLog, PartitionBrokers,
    PartitionCell, PoolCell, StageBounds, StageWatch, balance,
};
use crate::base::{GrowingTable, Offset, PARTITIONS_MAX, PartitionId, PoolId, Share, Time};
use crate::summary::{Leadership, Ledger};

/// The cells of all partitions and pools, the journal, and the faults' times.
#[derive(Debug)]
pub struct Measurements {
    /// The numbering of lanes, until the topic grows.
    pub shape: LaneShape,
    /// One for each partition, by id. The topic may get more of them.
    pub cells: GrowingTable<PartitionCell>,
    /// One for each pool, by id.
    pub pools: Vec<PoolCell>,
    /// Next offset to process of every partition, by id. It can be read without waiting for a cell.
    pub progress: GrowingTable<AtomicI64>,
    /// First offset to read of every partition, by id.
    pub starts: GrowingTable<Offset>,
    /// Records that a client handed to a consumer and that are not of its partition.
    pub strays: AtomicU64,
    /// Time of the last error that a client reported, in the run's time; 0 if there was none.
    pub last_error: AtomicI64,
    /// The events of the run.
    pub journal: Journal,
    /// The stages of the load.
    pub stages: StageWatch,
    backlog: Mutex<Option<WrittenBacklog>>,
    /// The part of the run that this process measures, if there are several processes.
    pub share: Option<Share>,
    /// Partitions whose process was lost, so that the outcome of their records is unknown.
    pub not_covered: BTreeSet<PartitionId>,
    growth: Mutex<Growth>,
    leaders: Mutex<LeaderLog>,
    faults: Mutex<BTreeMap<usize, FaultTimes>>,
    client_errors: Mutex<BTreeMap<String, u64>>,
    noted: Mutex<NotedFigures>,
    /// Low and high watermark of each partition after the drain, as far as known.
    ends: Mutex<BTreeMap<PartitionId, (Offset, Offset)>>,
}

/// A backlog that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WrittenBacklog {
    /// Time that writing the backlog took.
    pub(super) took: Duration,
    /// Start of the consumers.
    pub(super) consumers_started: Time,
}

/// Figures that are noted under the name of their metric.
#[derive(Debug, Default)]
struct NotedFigures {
    values: BTreeMap<&'static str, u64>,
    /// Reasons why figures are not known, by name.
    reasons: BTreeMap<&'static str, String>,
}

/// Changes of the number of partitions.
#[derive(Debug, Default)]
struct Growth {
    steps: Vec<(Time, Range<u32>)>,
    /// The measured window, and the windows around faults.
    measured: Option<(Time, Time)>,
    windows: Arc<[FaultWindows]>,
}

/// Time between the decision to end a stage and its end. It is longer than the time between a pool's turns.
const STAGE_ENDS_AFTER: Duration = Duration::from_millis(25);

impl Measurements {
    /// Measurements of partitions whose first records are at `starts`.
    pub fn new(shape: LaneShape, starts: &[Offset]) -> Measurements {
        let cell = |(id, start): (usize, &Offset)| {
            PartitionCell::new(PartitionId(id as u32), *start, shape)
        };
        Measurements {
            shape,
            cells: GrowingTable::new(starts.iter().enumerate().map(cell), PARTITIONS_MAX),
            pools: (0..shape.pools).map(|id| PoolCell::new(PoolId(id), shape)).collect(),
            progress: GrowingTable::new(
                starts.iter().map(|at| AtomicI64::new(at.0)),
                PARTITIONS_MAX,
            ),
            starts: GrowingTable::new(starts.iter().copied(), PARTITIONS_MAX),
            strays: AtomicU64::new(0),
            last_error: AtomicI64::new(0),
            journal: Journal::default(),
            stages: StageWatch::default(),
            backlog: Mutex::default(),
            share: None,
            not_covered: BTreeSet::new(),
            growth: Mutex::default(),
            leaders: Mutex::default(),
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

    /// Notes that a backlog was written from `began` on, and that consumers are started at `now`. The other
    /// measurements of pools are cleared, because they do not belong to the load.
    pub fn begin_backlog(&self, began: Time, now: Time) {
        let mut written = vec![0; self.cells.len()];
        for pool in &self.pools {
            let mut pool = pool.lock();
            written.iter_mut().zip(pool.totals()).for_each(|(all, its)| *all += its.acked);
            pool.end_backlog();
        }
        for (cell, written) in self.cells.iter().zip(written) {
            cell.lock().backlog = Some(BacklogReading::new(written, now));
        }
        let took = now.remaining(began);
        *self.lock_backlog() = Some(WrittenBacklog { took, consumers_started: now });
    }

    /// The backlog that was written; `None` without one.
    pub(super) fn written_backlog(&self) -> Option<WrittenBacklog> {
        *self.lock_backlog()
    }

    fn lock_backlog(&self) -> MutexGuard<'_, Option<WrittenBacklog>> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if the consumer of `partition` is in this process.
    pub fn reads(&self, partition: PartitionId) -> bool {
        self.share.is_none_or(|share| share.reads(partition))
    }

    /// The cells of the partitions that this process reads.
    pub fn own_cells(&self) -> impl Iterator<Item = (PartitionId, &PartitionCell)> {
        let cells = (0..).map(PartitionId).zip(self.cells.iter());
        cells.filter(|(partition, _)| self.reads(*partition))
    }

    /// Notes the start of the load: sets the measured window everywhere, and the windows around faults.
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

    /// Sets the beginnings of the load's stages, and which of them end when the lag is 0. To be called after
    /// [`Measurements::begin`].
    pub fn begin_stages(&self, bounds: &StageBounds, until_lag_is_zero: Vec<bool>) {
        self.stages.begin(bounds.clone(), until_lag_is_zero);
        self.set_stages(bounds);
    }

    fn set_stages(&self, bounds: &StageBounds) {
        let mut growth = self.lock_growth();
        let Some(measured) = &mut growth.measured else { return };
        measured.1 = bounds.end().unwrap_or(measured.1);
        let measured = *measured;
        self.cells.iter().for_each(|cell| cell.lock().set_stages(bounds.clone(), measured));
        self.pools.iter().for_each(|pool| pool.lock().set_stages(bounds.clone(), measured));
    }

    /// Ends a stage that waits for a lag of 0, if the answer to the question `asked` has shown that. The end is a
    /// little later than `now`, because pools see it in their next turn.
    pub fn end_waiting_stage(&self, asked: Time, now: Time) {
        let Some(stage) = self.stages.waiting(asked, now).filter(|_| self.lag() == 0) else {
            return;
        };
        if let Some(bounds) = self.stages.end_stage(stage, now + STAGE_ENDS_AFTER) {
            self.set_stages(&bounds);
        }
    }

    /// Lag of all partitions together, by the last answers.
    fn lag(&self) -> u64 {
        self.cells.iter().map(|cell| cell.lock().lag.last).sum()
    }

    /// Makes room for partitions up to `partitions`, whose first records will be at offset 0. Returns the new ones,
    /// which is empty if they were added before.
    pub fn grow(&self, partitions: u32, now: Time) -> Range<u32> {
        let mut growth = self.lock_growth();
        let from = self.cells.len() as u32;
        let to = partitions.min(PARTITIONS_MAX as u32).max(from);
        if to == from {
            return from..from;
        }
        let shape = self.shape.grown(to);
        let counts_others = self.cells.iter().next().is_some_and(|cell| cell.lock().counts_others);
        self.cells.iter().for_each(|cell| cell.lock().grow(shape));
        for id in from..to {
            let cell = PartitionCell::new(PartitionId(id), Offset(0), shape);
            cell.lock().counts_others = counts_others;
            if let Some(measured) = growth.measured {
                let mut cell = cell.lock();
                cell.begin(now, measured, growth.windows.clone());
                cell.set_stages(self.stages.state().bounds, measured);
            }
            self.progress.push(AtomicI64::new(0));
            self.starts.push(Offset(0));
            // Last, because a thread that sees the cell may use the other entries.
            self.cells.push(cell);
        }
        growth.steps.push((now, from..to));
        from..to
    }

    /// The additions of partitions, with their times.
    pub fn growth(&self) -> Vec<(Time, Range<u32>)> {
        self.lock_growth().steps.clone()
    }

    fn lock_growth(&self) -> MutexGuard<'_, Growth> {
        self.growth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the brokers of a partition at `now`.
    pub fn note_brokers(&self, now: Time, partition: PartitionId, brokers: PartitionBrokers) {
        self.lock_leaders().note(now, partition, brokers);
    }

    /// The brokers of a partition over a run whose load began at `start`; `None` if they were never seen.
    pub fn leadership(&self, partition: usize, start: Time) -> Option<Vec<Leadership>> {
        self.lock_leaders().of(partition, start)
    }

    fn lock_leaders(&self) -> MutexGuard<'_, LeaderLog> {
        self.leaders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an answer of the end-offset client, asked at `asked`.
    pub fn observe_ends(&self, ends: &BTreeMap<PartitionId, Offset>, asked: Time, now: Time) {
        for (partition, end) in ends.iter().filter(|(partition, _)| self.reads(**partition)) {
            self.cell(*partition).lock().observe_end(*end, asked, now);
        }
        if self.stages.has_any() {
            self.stages.observe_lag(self.lag(), now);
        }
    }

    /// True if a partition is recovering from a failure at `now`, so that end offsets are needed more often.
    pub fn is_recovering(&self, now: Time) -> bool {
        self.cells.iter().any(|cell| cell.lock().is_recovering(now))
    }

    /// Notes the low and the high watermark of partitions after the drain.
    pub fn set_ends(&self, ends: BTreeMap<PartitionId, (Offset, Offset)>) {
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = ends;
    }

    /// The low and the high watermark of a partition after the drain, if they are known.
    pub(super) fn end_of(&self, partition: PartitionId) -> Option<(Offset, Offset)> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).copied()
    }

    /// Updates the times of fault number `fault`, which are created if they do not exist.
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

    /// Counts an error of a consumer's or observer's client. Returns how often it has occurred.
    pub fn client_error(&self, error: &str) -> u64 {
        let mut errors = self.client_errors.lock().unwrap_or_else(PoisonError::into_inner);
        let count = errors.entry(error.to_owned()).or_default();
        *count += 1;
        *count
    }

    /// Errors of consumers' and observers' clients, with how often each has occurred.
    pub fn client_errors(&self) -> BTreeMap<String, u64> {
        self.client_errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes a value of the metric `name`, whose figure is the largest value noted. The metric's row reads it from
    /// [`Summary::figures`](crate::summary::Summary::figures).
    pub fn note_largest(&self, name: &'static str, value: u64) {
        let mut noted = self.lock_noted();
        noted.reasons.remove(name);
        let largest = noted.values.entry(name).or_default();
        *largest = value.max(*largest);
    }

    /// Notes the reason why the metric `name` is not known, unless it has a value.
    pub fn note_unmeasured(&self, name: &'static str, reason: String) {
        let mut noted = self.lock_noted();
        if !noted.values.contains_key(name) {
            noted.reasons.insert(name, reason);
        }
    }

    /// The figures that were noted, and the reasons for the missing ones, by name.
    pub fn noted(&self) -> (BTreeMap<String, u64>, BTreeMap<String, String>) {
        let noted = self.lock_noted();
        let values = noted.values.iter().map(|(name, value)| ((*name).to_owned(), *value));
        let reasons = noted.reasons.iter().map(|(name, why)| ((*name).to_owned(), why.clone()));
        (values.collect(), reasons.collect())
    }

    fn lock_noted(&self) -> MutexGuard<'_, NotedFigures> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account of every partition so far, by id, from running totals, which is fast enough for once a second.
    /// `lost` and `unread` are 0 in it, because records in flight cannot be told from lost ones.
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

    /// The account of every partition, by id. All cells are locked at once, because consumers may still work. A record
    /// that is processed in between would be neither delivered nor unread, and so count as lost.
    pub fn ledgers(&self) -> Vec<Ledger> {
        let cells: Vec<MutexGuard<'_, CellState>> =
            self.cells.iter().map(PartitionCell::lock).collect();
        let mut ledgers: Vec<Ledger> = cells.iter().map(|cell| cell.counts()).collect();
        for pool in &self.pools {
            let pool = pool.lock();
            for (producer, partition, sent) in pool.lanes() {
                let id = partition.0 as usize;
                ledgers[id].merge(&balance(sent, cells[id].lane(producer)));
            }
        }
        for ((id, cell), ledger) in (0..).map(PartitionId).zip(&cells).zip(&mut ledgers) {
            self.tell_unread(id, cell.next_offset(), ledger);
        }
        ledgers
    }

    /// The bounds of the records that are in the log and not processed: from the consumer's position, or the beginning
    /// of the log, to the end of the log.
    pub fn unread_bounds(&self, partition: PartitionId) -> (Offset, Offset) {
        let next = self.cell(partition).lock().next_offset();
        self.unread_from(partition, next)
    }

    fn unread_from(&self, partition: PartitionId, next: Offset) -> (Offset, Offset) {
        let (low, end) = self.end_of(partition).unwrap_or((Offset(0), Offset(i64::MAX)));
        (next.max(low), end)
    }

    /// Separates unread records from lost ones. If the end of a partition is not known, all acknowledged records after
    /// the checkpoint count as unread.
    fn tell_unread(&self, partition: PartitionId, next: Offset, ledger: &mut Ledger) {
        if ledger.lost == 0 {
            return;
        }
        if self.not_covered.contains(&partition) {
            ledger.not_covered = std::mem::take(&mut ledger.lost);
            return;
        }
        let (from, end) = self.unread_from(partition, next);
        let (mut known, mut unknown) = (0, 0);
        for pool in &self.pools {
            let pool = pool.lock();
            let Some(side) = pool.sides().get(partition.0 as usize) else { continue };
            let counts = side.unread(from, end);
            known += counts.known;
            unknown += counts.unknown;
        }
        ledger.tell_unread(known, unknown, u64::try_from(end.0 - from.0).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ConsumerId, Incarnation, ProducerId, RunId, Stamp};
    use crate::measure::{Ack, Content, Outcome, Owner, Processed};

    #[test]
    fn what_is_processed_while_the_account_is_made_is_not_lost() {
        const RECORDS: u64 = 20_000;
        let shape = LaneShape { fixed: true, partitions: 1, pools: 1 };
        let measurements = Measurements::new(shape, &[Offset(0)]);
        let (producer, partition, at) = (ProducerId(0), PartitionId(0), Time::ZERO);
        {
            let mut pool = measurements.pools[0].lock();
            let ack = |sequence: u64| {
                let (offset, outcome) = (Some(Offset(sequence as i64)), Outcome::Acked);
                Ack { producer, partition, sequence, offset, sent: at, at, outcome }
            };
            let sent = (0..RECORDS).map(|_| pool.sent(producer, partition, at, at));
            let acks: Vec<Ack> = sent.collect::<Vec<_>>().into_iter().map(ack).collect();
            pool.resolve(&acks, |_| Offset(0));
        }
        let owner = Owner { consumer: ConsumerId(0), incarnation: Incarnation(1) };
        let record = |sequence: u64| {
            let stamp =
                Stamp { run: RunId(1), producer, partition, sequence, intended: at, sent: at };
            let offset = Offset(sequence as i64);
            Processed {
                offset,
                content: Content::Intact(stamp),
                handed: at.into(),
                done: at,
                bytes: 1,
            }
        };
        std::thread::scope(|scope| {
            let consumer = scope.spawn(|| {
                for sequence in 0..RECORDS {
                    measurements.cell(partition).lock().apply(owner, &[record(sequence)]);
                }
            });
            while !consumer.is_finished() {
                let ledger = measurements.ledgers()[0];
                assert_eq!(ledger.lost, 0, "{ledger:?}");
                assert_eq!(ledger.delivered + ledger.unread, RECORDS);
            }
        });
    }

    #[test]
    fn what_has_no_offset_may_be_unread_as_far_as_the_log_has_room_for_it() {
        let shape = LaneShape { fixed: true, partitions: 1, pools: 1 };
        let measurements = Measurements::new(shape, &[Offset(0)]);
        let (producer, partition, at) = (ProducerId(0), PartitionId(0), Time::ZERO);
        let stamps: Vec<Stamp> = (0..6)
            .map(|_| {
                let mut pool = measurements.pools[0].lock();
                let sequence = pool.sent(producer, partition, at, at);
                let (offset, outcome) = (None, Outcome::Acked);
                let ack = Ack { producer, partition, sequence, offset, sent: at, at, outcome };
                pool.resolve(&[ack], |_| Offset(0));
                Stamp { run: RunId(1), producer, partition, sequence, intended: at, sent: at }
            })
            .collect();
        let owner = Owner { consumer: ConsumerId(0), incarnation: Incarnation(1) };
        for (offset, stamp) in (0..).map(Offset).zip(&stamps[..2]) {
            let (content, handed) = (Content::Intact(*stamp), at.into());
            let record = Processed { offset, content, handed, done: at, bytes: 1 };
            measurements.cell(partition).lock().apply(owner, &[record]);
        }
        // The position is 2.
        for (end, unread) in [(2, 0), (5, 3), (6, 4), (9, 4)] {
            measurements.set_ends(BTreeMap::from([(partition, (Offset(0), Offset(end)))]));
            let ledger = measurements.ledgers()[0];
            assert_eq!((ledger.delivered, ledger.unread, ledger.lost), (2, unread, 4 - unread));
        }
    }
}
