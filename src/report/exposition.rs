//! A snapshot of a run as metrics: the response to a scrape by Prometheus or a compatible reader.
//!
//! Latency has classic buckets with fixed bounds. The response in protobuf also has native histograms, which no text
//! format has.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, MetricEncoder, NativeHistogram, NativeHistogramBuckets,
    NoLabelSet, prometheus_protobuf, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::native_buckets::{BucketSpans, SCHEMA, ZERO_S};
use super::snapshot::{
    BOUNDS_NS, ConsumerState, FaultState, LatencyBuckets, PartitionSnapshot, RunSnapshot,
};
use crate::summary::Verdict;

/// A format of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpositionFormat {
    /// Prometheus' text format, version 0.0.4.
    PrometheusText,
    /// OpenMetrics' text format, version 1.0.0.
    OpenMetricsText,
    /// Prometheus' protobuf format, which has native histograms.
    Protobuf,
}

/// Media types in the `Accept` header.
const OPEN_METRICS: &str = "application/openmetrics-text";
const PROTOBUF: &str = "application/vnd.google.protobuf";

impl ExpositionFormat {
    /// The format for a client with this `Accept` header. Clients name the preferred format first.
    pub fn accepted_by(accept: &str) -> ExpositionFormat {
        match (accept.find(PROTOBUF), accept.find(OPEN_METRICS)) {
            (Some(protobuf), text) if text.is_none_or(|text| protobuf < text) => {
                ExpositionFormat::Protobuf
            }
            (_, Some(_)) => ExpositionFormat::OpenMetricsText,
            (_, None) => ExpositionFormat::PrometheusText,
        }
    }

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            ExpositionFormat::PrometheusText => "text/plain; version=0.0.4; charset=utf-8",
            ExpositionFormat::OpenMetricsText => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
            ExpositionFormat::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// The metrics of a run.
///
/// # Errors
/// The response cannot be encoded.
pub fn exposition(
    snapshot: Arc<RunSnapshot>,
    format: ExpositionFormat,
) -> Result<Vec<u8>, fmt::Error> {
    let mut registry = Registry::with_prefix("lanekeeper");
    registry.register_collector(Box::new(RunMetrics(snapshot)));
    let mut answer = String::new();
    match format {
        ExpositionFormat::PrometheusText => prometheus_text::encode(&mut answer, &registry)?,
        ExpositionFormat::OpenMetricsText => text::encode(&mut answer, &registry)?,
        ExpositionFormat::Protobuf => {
            return prometheus_protobuf::encode_to_vec(&registry).map_err(|_| fmt::Error);
        }
    }
    Ok(answer.into_bytes())
}

#[derive(Debug)]
struct RunMetrics(Arc<RunSnapshot>);

/// The value of a label.
type Text<'a> = Cow<'a, str>;

impl Collector for RunMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Families(encoder);
        run(&self.0, &mut out)?;
        faults(&self.0, &mut out)?;
        consumers(&self.0, &mut out)?;
        partitions(&self.0, &mut out)
    }
}

/// The output, to which metric families are written.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn family(
        &mut self,
        (name, help): (&str, &str),
        unit: Option<&Unit>,
        kind: MetricType,
        rows: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        rows(&mut self.0.encode_descriptor(name, help, unit, kind)?)
    }

    fn gauge<S: EncodeLabelSet>(
        &mut self,
        about: (&str, &str),
        unit: Option<&Unit>,
        rows: impl IntoIterator<Item = (S, f64)>,
    ) -> fmt::Result {
        self.family(about, unit, MetricType::Gauge, |family| {
            rows.into_iter()
                .try_for_each(|(labels, value)| family.encode_family(&labels)?.encode_gauge(&value))
        })
    }

    fn counter<S: EncodeLabelSet>(
        &mut self,
        about: (&str, &str),
        rows: impl IntoIterator<Item = (S, u64)>,
    ) -> fmt::Result {
        self.family(about, None, MetricType::Counter, |family| {
            rows.into_iter().try_for_each(|(labels, value)| {
                let mut row = family.encode_family(&labels)?;
                row.encode_counter::<NoLabelSet, u64, f64>(&value, None)
            })
        })
    }

    fn histogram<'b, S: EncodeLabelSet>(
        &mut self,
        about: (&str, &str),
        rows: impl IntoIterator<Item = (S, &'b LatencyBuckets)>,
    ) -> fmt::Result {
        self.family(about, Some(&Unit::Seconds), MetricType::Histogram, |family| {
            rows.into_iter().try_for_each(|(labels, buckets)| {
                let bounds = BOUNDS_NS.iter().map(|ns| *ns as f64 / 1e9);
                let mut counts: Vec<(f64, u64)> = bounds.zip(buckets.counts).collect();
                let beyond = buckets.count - buckets.counts.iter().sum::<u64>();
                counts.push((f64::INFINITY, beyond));
                let sum_s = buckets.sum_ns as f64 / 1e9;
                let mut row = family.encode_family(&labels)?;
                let BucketSpans { spans, deltas } = buckets.native.spans();
                let none = NativeHistogramBuckets { spans: &[], deltas: &[] };
                let native = NativeHistogram {
                    schema: SCHEMA,
                    zero_threshold: ZERO_S,
                    zero_count: buckets.native.zero,
                    negative: none,
                    positive: NativeHistogramBuckets { spans: &spans, deltas: &deltas },
                    created: None,
                };
                let count = buckets.native.count();
                row.encode_histogram_with_native::<NoLabelSet>(sum_s, count, &counts, None, native)
            })
        })
    }
}

/// No labels.
const ALONE: [(&str, &str); 0] = [];

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

fn run(run: &RunSnapshot, out: &mut Families<'_>) -> fmt::Result {
    let info = [
        ("scenario", run.scenario.as_str()),
        ("broker", run.broker),
        ("mode", run.mode),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    out.gauge(("run_info", "The run, as labels"), None, [(info, 1.0)])?;
    let phase = [("phase", run.phase.as_str())];
    out.gauge(("run_phase", "The current phase of the run, as a label"), None, [(phase, 1.0)])?;
    let seconds = Some(&Unit::Seconds);
    let elapsed = ("load_elapsed", "Time since the load began, at the end of the last second");
    out.gauge(elapsed, seconds, [(ALONE, run.last.elapsed.as_secs_f64())])?;
    let planned = ("load_planned", "Planned length of the load, warmup included");
    out.gauge(planned, seconds, [(ALONE, run.planned.as_secs_f64())])?;
    out.histogram(
        (
            "send_delay",
            "From the time a record was due until it was sent, of records due in the measured window, but for those a \
             fault has delayed: the load generator's own delay",
        ),
        [(ALONE, &run.send_delay)],
    )?;
    let verdicts = [
        ("passed", Verdict::Passed),
        ("failed", Verdict::Failed),
        ("invalid", Verdict::Invalid),
        ("interrupted", Verdict::Interrupted),
    ];
    let verdicts = verdicts
        .into_iter()
        .filter(|_| run.verdict.is_some())
        .map(|(name, verdict)| ([("verdict", name)], flag(run.verdict == Some(verdict))));
    let about = ("run_verdict", "1 for the verdict of the run; absent until the run has ended");
    out.gauge(about, None, verdicts)
}

type FaultLabels = [(&'static str, String); 2];

fn faults(run: &RunSnapshot, out: &mut Families<'_>) -> fmt::Result {
    // A run may plan thousands of repetitions, so a series is about an entry of the scenario.
    let mut entries: Vec<(FaultLabels, u64, bool)> = Vec::new();
    for fault in &run.faults {
        while entries.len() <= fault.entry {
            let number = entries.len();
            let first = run.faults.iter().find(|other| other.entry == number);
            let text = first.map(|first| first.description.clone()).unwrap_or_default();
            entries.push(([("fault", number.to_string()), ("description", text)], 0, false));
        }
        let (_, injected, is_active) = &mut entries[fault.entry];
        *injected += u64::from(matches!(fault.state, FaultState::Active | FaultState::Over));
        *is_active |= fault.state == FaultState::Active;
    }
    let injected = ("fault_injections", "How often a `[[fault]]` of the scenario was injected");
    out.counter(injected, entries.iter().map(|(labels, times, _)| (labels.clone(), *times)))?;
    let active = ("fault_active", "Whether a fault with a length is active");
    let is_over = run.verdict.is_some();
    let rows = entries.iter().filter(|_| !is_over);
    out.gauge(active, None, rows.map(|(labels, _, active)| (labels.clone(), flag(*active))))
}

fn consumers(run: &RunSnapshot, out: &mut Families<'_>) -> fmt::Result {
    let restarts = ("consumer_restarts", "How often a consumer was started again");
    let rows = run.consumers.iter();
    out.counter(restarts, rows.map(|(id, it)| ([("consumer", id.to_string())], it.restarts)))
}

fn partitions(run: &RunSnapshot, out: &mut Families<'_>) -> fmt::Result {
    let there: Vec<([(&str, String); 1], &PartitionSnapshot)> = run
        .partitions
        .iter()
        .enumerate()
        .filter(|(_, partition)| run.has_begun && !partition.is_gone)
        .map(|(id, partition)| ([("partition", id.to_string())], partition))
        .collect();
    let mut counter = |about, value: fn(&PartitionSnapshot) -> u64| {
        out.counter(about, there.iter().map(|(labels, it)| (labels.clone(), value(it))))
    };
    counter(("records_sent", "Records handed to the producer's client"), |it| it.sent)?;
    counter(("records_acknowledged", "Records acknowledged by the broker"), |it| it.acked)?;
    counter(("records_failed", "Records that were never appended"), |it| it.failed)?;
    counter(("records_processed", "Distinct records processed"), |it| it.processed)?;
    counter(("records_redelivered", "Records processed again at the same offset"), |it| {
        it.redelivered
    })?;
    counter(("records_duplicated", "Copies of records at other offsets"), |it| it.duplicated)?;
    counter(
        ("records_reordered", "Records processed after a later one of their producer"),
        |it| it.reordered,
    )?;
    out.histogram(
        (
            "latency",
            "From the time a record was due to be sent to the end of its processing, of records due in the measured \
             window",
        ),
        there.iter().map(|(labels, it)| (labels.clone(), &it.latency)),
    )?;
    if run.verdict.is_some() {
        // After the end of a run, the state of its last second does not apply.
        return Ok(());
    }
    let lag = ("partition_lag", "End offset minus the next offset to process, when last asked");
    let records = Unit::Other("records".to_owned());
    let rows = there.iter().filter_map(|(labels, it)| Some((labels.clone(), it.lag? as f64)));
    out.gauge(lag, Some(&records), rows)?;
    let stalled = (
        "partition_stalled",
        "Whether records waited for the whole last second and none was processed",
    );
    let rows = there.iter();
    out.gauge(stalled, None, rows.map(|(labels, it)| (labels.clone(), flag(it.is_stalled))))?;
    let state = (
        "partition_state",
        "1 for what the consumer of a partition does; 0 everywhere where no consumer has it",
    );
    let rows = there.iter().flat_map(|([(name, id)], it)| {
        let found = run.state_of(it);
        ConsumerState::ALL.map(|(state, text)| {
            let labels = [(*name, Text::from(id.as_str())), ("state", Text::from(text))];
            (labels, flag(found == Some(state)))
        })
    });
    out.gauge(state, None, rows)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
    use prost::Message;

    use super::*;
    use crate::measure::Latencies;
    use crate::report::snapshot::LatencyBuckets;

    #[test]
    fn the_format_is_the_one_that_is_asked_for_first() {
        // The headers of Prometheus 3 without and with native histograms.
        let text = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let native = format!(
            "{PROTOBUF};proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,{text}"
        );
        for (accept, wanted) in [
            ("", ExpositionFormat::PrometheusText),
            ("*/*", ExpositionFormat::PrometheusText),
            (text, ExpositionFormat::OpenMetricsText),
            (&native, ExpositionFormat::Protobuf),
            (&format!("{text},{PROTOBUF}"), ExpositionFormat::OpenMetricsText),
        ] {
            assert_eq!(ExpositionFormat::accepted_by(accept), wanted, "{accept}");
        }
    }

    #[test]
    fn the_answer_in_protobuf_has_native_and_classic_buckets_of_the_same_values() {
        let mut latencies = Latencies::default();
        for ns in [0, 1_000_000, 1_050_000, 40_000_000, 90_000_000_000] {
            latencies.record(ns);
        }
        let mut latency = LatencyBuckets::default();
        latency.add(&latencies);
        let partitions = vec![PartitionSnapshot { latency, ..PartitionSnapshot::default() }];
        let run = RunSnapshot { has_begun: true, partitions, ..RunSnapshot::default() };
        let answer = exposition(Arc::new(run), ExpositionFormat::Protobuf).expect("an answer");
        let (mut rest, mut families) = (answer.as_slice(), Vec::new());
        while !rest.is_empty() {
            families.push(MetricFamily::decode_length_delimited(&mut rest).expect("a family"));
        }
        let named = |name: &str| families.iter().find(|family| family.name == name);
        assert!(named("lanekeeper_records_sent_total").is_some(), "{families:#?}");
        let family = named("lanekeeper_latency_seconds").expect("latency");
        let histogram = family.metric[0].histogram.as_ref().expect("a histogram");
        assert_eq!((histogram.sample_count, histogram.zero_count, histogram.schema), (5, 1, 3));
        let (mut count, mut all) = (0, 1);
        for delta in &histogram.positive_delta {
            count += delta;
            all += count;
        }
        assert_eq!(all, 5, "{histogram:#?}");
        let bounded = histogram.bucket.iter().filter(|it| it.upper_bound.is_finite());
        assert_eq!(bounded.map(|it| it.cumulative_count).max(), Some(4));
    }
}
