//! p99 and lag of each partition over time, in few columns. A column with several intervals has their largest values,
//! never a mean, so that short peaks stay visible.

use std::collections::BTreeMap;
use std::io;

use super::seconds::Second;

/// Largest number of columns. Beyond it, two neighbours become one.
const COLUMNS_MAX: usize = 600;
/// Share of a column that does not count, because intervals differ a little in length.
const SLACK: f64 = 0.02;
/// Share of a column below which an interval has no column of its own.
const SHORT: f64 = 0.1;
/// Number of columns after which an interval cannot belong to the run.
const FAR: f64 = 1e6;

/// The values of one partition in one column; `None` if nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Largest p99 of the response time, in microseconds.
    pub(super) p99_us: Option<f64>,
    /// Largest lag at the end of an interval.
    pub(super) lag: Option<u64>,
    /// True if there was an interval at whose end records waited, and in which none was processed.
    pub(super) is_stalled: bool,
}

/// The values of all partitions over time.
#[derive(Clone, Debug, Default)]
pub struct Series {
    from_s: f64,
    width_s: f64,
    columns: usize,
    partitions: BTreeMap<u32, Vec<Sample>>,
}

impl Series {
    /// Reads the intervals of a run, in the order of their times.
    ///
    /// # Errors
    /// An interval cannot be read.
    pub fn read(seconds: impl IntoIterator<Item = io::Result<Second>>) -> io::Result<Series> {
        let mut series = Series::default();
        for second in seconds {
            series.push(&second?);
        }
        Ok(series)
    }

    /// Adds an interval.
    pub fn push(&mut self, second: &Second) {
        let lasts_s = second.to_s - second.from_s;
        let is_usable = second.from_s.is_finite() && lasts_s.is_finite() && lasts_s > 0.0;
        if !is_usable {
            return;
        }
        if self.width_s <= 0.0 {
            (self.from_s, self.width_s) = (second.from_s, lasts_s);
        }
        let place = |at_s: f64| (at_s - self.from_s) / self.width_s;
        // A damaged file could otherwise need an unlimited amount of memory.
        if place(second.to_s) > FAR {
            return;
        }
        let mut first = (place(second.from_s) + SLACK).floor().max(0.0) as usize;
        // The last interval ends with the run and may be short. Then it belongs to the column before.
        if first > 0 && lasts_s < SHORT * self.width_s {
            first -= 1;
        }
        let end = match lasts_s < SHORT * self.width_s {
            true => first + 1,
            false => ((place(second.to_s) - SLACK).ceil().max(0.0) as usize).max(first + 1),
        };
        let its = self.partitions.entry(second.partition.0).or_default();
        its.resize(its.len().max(end), Sample::default());
        let sample = Sample {
            p99_us: second.response_p99_us,
            lag: Some(second.lag),
            is_stalled: second.is_stalled == Some(true),
        };
        its[first..end].iter_mut().for_each(|it| *it = it.with(sample));
        self.columns = self.columns.max(end);
        while self.columns > COLUMNS_MAX {
            self.halve();
        }
    }

    /// Merges each pair of columns.
    fn halve(&mut self) {
        self.width_s *= 2.0;
        self.columns = self.columns.div_ceil(2);
        for samples in self.partitions.values_mut() {
            let pairs = samples.chunks(2);
            *samples = pairs.map(|pair| pair.iter().copied().fold(pair[0], Sample::with)).collect();
        }
    }

    /// True if there are no columns.
    pub(super) fn is_empty(&self) -> bool {
        self.columns == 0
    }

    /// Number of columns.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Length of a column, in seconds.
    pub(super) fn width_s(&self) -> f64 {
        self.width_s
    }

    /// Start of a column, in seconds since the load began.
    pub(super) fn start_s(&self, column: usize) -> f64 {
        self.from_s + self.width_s * column as f64
    }

    /// End of the last column, in seconds since the load began.
    pub(super) fn end_s(&self) -> f64 {
        self.start_s(self.columns)
    }

    /// The partitions, by id, with their samples from the first column on.
    pub(super) fn partitions(&self) -> impl ExactSizeIterator<Item = (u32, &[Sample])> {
        self.partitions.iter().map(|(id, samples)| (*id, samples.as_slice()))
    }

    /// At most `rows_max` rows of one or more partitions: the first and the last partition, and the largest values.
    pub(super) fn rows(&self, rows_max: usize) -> Vec<(u32, u32, Vec<Sample>)> {
        let all: Vec<(u32, &[Sample])> = self.partitions().collect();
        let together = all.len().div_ceil(rows_max.max(1)).max(1);
        let row = |group: &[(u32, &[Sample])]| {
            let mut samples = vec![Sample::default(); self.columns];
            for (_, its) in group {
                for (sample, own) in samples.iter_mut().zip(*its) {
                    *sample = sample.with(*own);
                }
            }
            (group[0].0, group[group.len() - 1].0, samples)
        };
        all.chunks(together).map(row).collect()
    }
}

impl Sample {
    /// The larger value of each field.
    fn with(self, other: Sample) -> Sample {
        Sample {
            p99_us: larger(self.p99_us, other.p99_us),
            lag: self.lag.max(other.lag),
            is_stalled: self.is_stalled || other.is_stalled,
        }
    }
}

fn larger(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::PartitionId;

    fn second(partition: u32, from_s: f64, to_s: f64, lag: u64) -> Second {
        Second {
            partition: PartitionId(partition),
            from_s,
            to_s,
            lag,
            delivered: 1,
            response_p99_us: Some(lag as f64),
            ..Second::default()
        }
    }

    #[test]
    fn the_largest_value_stays_however_long_the_run_is() {
        let mut series = Series::default();
        for s in 0..36_000_u32 {
            let lag = if s == 17_123 { 900 } else { 3 };
            series.push(&second(0, f64::from(s), f64::from(s + 1), lag));
        }
        assert!((300..=COLUMNS_MAX).contains(&series.columns()), "{}", series.columns());
        let (_, samples) = series.partitions().next().unwrap();
        let peaks: Vec<usize> =
            (0..series.columns()).filter(|at| samples[*at].lag == Some(900)).collect();
        let [at] = peaks[..] else { panic!("{peaks:?}") };
        let (from, to) = (series.start_s(at), series.start_s(at + 1));
        assert!(from <= 17_123.0 && 17_124.0 <= to, "{from} {to}");
        assert!(samples.iter().all(|sample| sample.p99_us >= Some(3.0)));
    }

    #[test]
    fn an_interval_fills_the_columns_it_covers() {
        let mut series = Series::default();
        for (from, to, lag) in [(0.0, 1.0, 1), (1.0, 3.001, 2), (3.001, 4.0, 3), (4.0, 4.01, 4)] {
            series.push(&second(5, from, to, lag));
        }
        let (_, samples) = series.partitions().next().unwrap();
        let lags: Vec<Option<u64>> = samples.iter().map(|sample| sample.lag).collect();
        assert_eq!(lags, [Some(1), Some(2), Some(2), Some(4)]);
        series.push(&second(5, f64::NAN, 1.0, 9));
        series.push(&second(5, 7.0, 6.0, 9));
        assert_eq!(series.columns(), 4);
    }

    #[test]
    fn partitions_that_share_a_row_show_the_largest_of_them() {
        let mut series = Series::default();
        for partition in 0..5 {
            series.push(&second(partition, 0.0, 1.0, u64::from(partition)));
        }
        let rows: Vec<_> = series.rows(3).into_iter().map(|(a, b, s)| (a, b, s[0].lag)).collect();
        assert_eq!(rows, [(0, 1, Some(1)), (2, 3, Some(3)), (4, 4, Some(4))]);
        assert_eq!(series.rows(9).len(), 5);
    }
}
