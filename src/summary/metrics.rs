//! The table of metrics. A metric is one row; expectations, the verdict, reports and the book read it.

use std::fmt::Write;

use super::metric::{Better, Get, Metric, Need, Part, Quantile, Total, Unit};
use super::overload;
use super::{Digest, FaultSummary, PartitionSummary, Summary};
use crate::base::format_count;

use Better::{Less, More, Neither};

/// Every metric, in the order of the book. Among those that must be 0 in `explore`, the most important comes first.
pub const METRICS: &[Metric] = &[
    // The account of records.
    count("sent", Neither, "records handed to the client", |s| counted(s.ledger.sent)),
    count("acked", Neither, "records acknowledged", |s| counted(s.ledger.acked)),
    count("delivered", More, "distinct records processed", |s| counted(s.ledger.delivered)),
    count("measured", More, "records due in the measured window that were processed", |s| counted(s.latency_us.response.count))
        .cause(nothing_measured),
    count("lost", Less, "records acknowledged and never to be processed: the consumer is past them, or they are gone from \
        the log", |s| counted(s.ledger.lost)).proof().total(Total::Always)
        .zero("acknowledged records stay in the log until they are processed").headline(),
    count("unread", Less, "records acknowledged, and still in the log behind the checkpoint when the drain was over",
        |s| counted(s.ledger.unread)).total(Total::Always)
        .zero("acknowledged records are processed before the drain is over").headline(),
    count("duplicated", Less, "records found at two offsets", |s| counted(s.ledger.duplicated)).proof()
        .total(Total::Always).zero("no record is appended twice").headline(),
    count("reordered", Less, "records processed after a later one of their lane", |s| counted(s.ledger.reordered))
        .proof().total(Total::Always).zero("a producer's records keep their order in their partition").headline(),
    count("corrupt", Less, "records whose bytes changed", |s| counted(s.ledger.corrupt)).proof().total(Total::Always)
        .zero("records are what was sent").headline(),
    count("redelivered", Less, "records processed again at the same offset", |s| counted(s.ledger.redelivered))
        .total(Total::Always).headline(),
    count("failed", Less, "records that were never appended", |s| counted(s.ledger.failed))
        .total(Total::Always).cause(send_error).headline(),
    count("indeterminate", Less, "records without an acknowledgement that may have been appended",
        |s| counted(s.ledger.indeterminate)).total(Total::Always).cause(send_error),
    count("other_producers", Less, "records of other producers: neither of this run nor of one it continues", |s| counted(s.ledger.other_producers)).was("foreign")
        .total(Total::Always),
    count("skipped", Less, "records passed over as poison", |s| counted(s.ledger.skipped)).total(Total::Always),
    count("wrong_partition", Less, "records in a partition they were not sent to", |s| counted(s.wrong_partition))
        .proof().total(Total::Always).zero("each partition is read by its own consumer, restarts included"),
    count("unexpected_redelivered", Less, "records processed again without a restart or a change of owner before it",
        |s| counted(s.unexpected_redelivered)).was("unexplained").proof().total(Total::Always)
        .zero("what is processed again follows a restart"),
    count("two_owners", Less, "records a second process has read as well", |s| counted(s.two_owners))
        .proof().total(Total::IfAny),
    count("offset_gaps", Neither, "offsets passed over without a record, also at the end of a partition: compacted, a \
        transaction's, or never seen", |s| counted(s.offset_gaps))
        .zero("a partition is read without leaving anything out"),
    count("unaccounted", Less, "records without an outcome in the account",
        |s| counted(s.ledger.unaccounted())).zero("what was sent is processed, lost, failed or indeterminate"),
    count("earlier", Neither, "records of earlier runs that this one continues", |s| counted(s.ledger.earlier)),
    // Consumers, and their group.
    count("consumers_started", Neither, "consumers that became ready", |s| counted(s.consumers_started.into())),
    count("restarts", Less, "restarts of consumers", |s| counted(s.restarts.into())).headline(),
    count("rebalances", Less, "rebalances after the group was complete", |s| counted(s.rebalances.len() as u64)).needs(Need::Group).headline(),
    figure("miscommitted", Unit::Count, Less, "commits a coordinator took beyond what was processed, or behind what had \
        been committed", |s| Some(s.simulation.as_ref()?.miscommitted as f64))
        .needs(Need::SimulatedCoordinator).proof().zero("commits lie between the last one and what is processed"),
    figure("shared", Unit::Count, Less, "partitions assigned to two members in one generation",
        |s| Some(s.simulation.as_ref()?.shared as f64)).needs(Need::SimulatedCoordinator).proof()
        .zero("a generation gives a partition to one member"),
    count(
        "committed_ahead",
        Less,
        "largest number of records by which a committed offset was beyond what the run had processed; more than 0 is a \
         bug",
        |s| s.figures.get("committed_ahead").map(|records| *records as f64),
    )
    .needs(Need::Commits)
    .proof()
    .total(Total::IfAny),
    count("given_up", Less, "consumers given up", |s| counted(s.given_up.len() as u64)).was("quarantined")
        .zero("no consumer is given up").headline(),
    // Rates.
    figure("keeps_up", Unit::Flag, More, "whether consumers process what is sent and the cluster takes what is due",
        |s| s.keeps_up.map(|keeps_up| f64::from(u8::from(keeps_up)))).needs(Need::Schedule).cause(overload::cause).headline(),
    figure("achieved_share", Unit::Number, More, "achieved divided by offered rate", achieved_share).needs(Need::Schedule).headline(),
    figure("achieved_per_s", Unit::Number, More, "messages processed per second", |s| Some(s.achieved_per_s)),
    figure("fairness.rate_cv", Unit::Number, Less, "coefficient of variation of the partitions' rates",
        |s| s.fairness.rate_cv).headline(),
    figure("fairness.p99_spread", Unit::Number, Less, "largest p99 of a partition divided by the median of them",
        |s| s.fairness.p99_max_over_median).headline(),
    // Times.
    times("latency", "response time (processed - intended send), all partitions", |s| Some(&s.latency_us.response)).headline(),
    times("latency.response", "the same", |s| Some(&s.latency_us.response)).row("response").short(0, "response"),
    times("latency.service", "service time (processed - actual send)", |s| Some(&s.latency_us.service)).row("service").short(3, "fetch + handle"),
    row("lateness", Unit::Time, Less, "how late the schedule was kept",
        Get::RunQuantiles(|s| Some(&s.lateness_us), &[Quantile::P50, Quantile::P99, Quantile::Max]))
        .needs(Need::Schedule).row("send delay").short(1, "send delay"),
    times("latency.ack", "from send to acknowledgement", |s| s.latency_us.ack.as_ref())
        .needs(Need::Acknowledgements).row("send → ack").short(2, "produce"),
    times("latency.fetch", "send to the response that brings the record to its consumer", |s| s.latency_us.fetch.as_ref())
        .needs(Need::Part(Part::Fetch)).row("send → fetched"),
    times("latency.waiting", "time in the consumer's client, behind other records", |s| s.latency_us.waiting.as_ref())
        .needs(Need::Part(Part::Waiting)).row("waiting"),
    times("latency.handed_over", "send to the beginning of the handling", |s| s.latency_us.handed_over.as_ref())
        .needs(Need::Part(Part::HandedOver)).row("send → handed over"),
    times("latency.handling", "time the handling takes", |s| Some(&s.latency_us.handling))
        .needs(Need::Part(Part::Handling)).row("handling").short(4, "handle"),
    // Requests of the native client.
    times("request.produce", "from a Produce request until its response was read", |s| Some(&s.requests.as_ref()?.produce_us))
        .needs(Need::Requests),
    times("request.fetch", "from a Fetch request until its response was read, the broker's wait for a first record included",
        |s| Some(&s.requests.as_ref()?.fetch_us)).needs(Need::Requests),
    figure("requests_per_s", Unit::Number, Neither, "requests of consumers and producers per second",
        |s| Some(s.requests.as_ref()?.all_per_s)).needs(Need::Requests),
    figure("records_per_produce", Unit::Number, Neither, "records in a batch of a Produce request, on average",
        |s| s.requests.as_ref()?.produced.records_each).needs(Need::Requests),
    figure("bytes_per_produce", Unit::Number, Neither, "bytes of a Produce request on the wire for each of its batches, on average",
        |s| s.requests.as_ref()?.produced.bytes_each).needs(Need::Requests),
    figure("records_per_fetch", Unit::Number, Neither, "records in a response to Fetch that has some, on average",
        |s| s.requests.as_ref()?.fetched.records_each).needs(Need::Requests),
    figure("bytes_per_fetch", Unit::Number, Neither, "bytes of such a response on the wire, on average",
        |s| s.requests.as_ref()?.fetched.bytes_each).needs(Need::Requests),
    figure("connections_max", Unit::Count, Neither, "largest number of connections of consumers and producers at a time",
        |s| Some(s.requests.as_ref()?.connections_max as f64)).needs(Need::Requests),
    figure("throttled", Unit::Time, Less, "time for which quotas of brokers have held connections back, all together",
        |s| Some(s.requests.as_ref()?.throttled_ms * 1e6)).needs(Need::Requests),
    // The backlog.
    figure("backlog.read", Unit::Time, Less, "time from the start of the consumers until every record of the backlog was processed",
        |s| seconds(s.backlog.as_ref()?.read_s)).needs(Need::Backlog).headline(),
    figure("backlog.rate", Unit::Number, More, "records of the backlog per second until then",
        |s| s.backlog.as_ref()?.read_per_s).needs(Need::Backlog).headline(),
    figure("backlog.caught_up", Unit::Time, Less, "time from the start of the consumers until every partition had caught up: its \
        backlog is processed, and a record of the load within 100 ms of its send", |s| seconds(s.backlog.as_ref()?.caught_up_s))
        .needs(Need::Backlog).headline(),
    // Each partition.
    row("rate", Unit::Number, More, "records processed per second of a partition",
        Get::Partition(|p| Some(p.processed_per_s))),
    row("lag_max", Unit::Count, Less, "largest lag of a partition, in records", Get::Partition(|p| Some(p.lag_max as f64))).headline(),
    partition_times("latency", "response time of a partition", |p| Some(&p.latency_us.response)).headline(),
    partition_times("latency.response", "the same", |p| Some(&p.latency_us.response)),
    partition_times("latency.service", "service time of a partition", |p| Some(&p.latency_us.service)),
    // Each stage of the load.
    row("offered_per_s", Unit::Number, Neither, "records due per second in a stage of the load", Get::Stage(|s| s.offered_per_s)),
    row("rate", Unit::Number, More, "records processed per second while a stage lasted", Get::Stage(|s| s.processed_per_s)).headline(),
    row("latency", Unit::Time, Less, "response time of the records due in a stage",
        Get::StageQuantiles(|s| Some(&s.response_us), &Quantile::ALL)).headline(),
    row("lag_max", Unit::Count, Less, "largest lag of all partitions together while a stage lasted, in records",
        Get::Stage(|s| Some(s.lag_max as f64))).headline(),
    row("lasted", Unit::Time, Less, "how long a stage lasted: of one with `until`, the time until the lag was 0",
        Get::Stage(|s| Some((s.to_s - s.from_s) * 1e9))),
    // Each fault.
    fault_time("detected", "time from the fault to its detection", |f| span(f.detected_ms)).needs(Need::Failure),
    fault_time("fenced", "time from the fault until nothing of the old consumer or pool counts any more",
        |f| span(f.fenced_ms)).needs(Need::Failure).was("released"),
    fault_time("restarted", "time from the fault to the replacement's start", |f| span(f.restarted_ms)).needs(Need::Failure),
    fault_time("first_record", "time from the fault to the replacement's first record", |f| span(f.first_record_ms)),
    fault_time("recovery", "time from the fault until lag and age of the oldest unprocessed record are what they were \
        before, for a second, on every partition it has hit", |f| span(f.recovered_ms)).headline(),
    fault_count("redelivered", "records processed again because of it", |f| counted(f.redelivered)),
    fault_count("lag_peak", "largest lag of the hit partitions after it, in records", |f| counted(f.lag_peak)),
    fault_count("blast_radius", "partitions that stalled: records waited, and none was processed for longer than 100 ms \
        and than three times the longest quiet stall", |f| counted(f.blast_radius as u64)).headline(),
    fault_time("others_stall", "longest stall of the partitions it was not aimed at, without those that were not stable \
        before", |f| span(f.others.as_ref().map(|others| others.stall_after_ms))).needs(Need::OtherPartitions).headline(),
    row("others_slow", Unit::Number, Less, "share of their records that are slower than the partition's own p99 before \
        the fault (0.01 if nothing changes)", Get::Fault(|f| f.others.as_ref()?.slow_after)).needs(Need::OtherPartitions).headline(),
    fault_count("missed", "targets that were not there, and commands that failed", |f| counted(f.missed.len() as u64)),
];

const fn row(
    name: &'static str,
    unit: Unit,
    better: Better,
    meaning: &'static str,
    get: Get,
) -> Metric {
    Metric {
        name,
        unit,
        better,
        meaning,
        was: None,
        needs: Need::Nothing,
        is_proof: false,
        total: Total::Never,
        row: None,
        short_row: None,
        invariant: None,
        is_headline: false,
        cause: |_| None,
        get,
    }
}

/// A row about the whole run.
const fn figure(
    name: &'static str,
    unit: Unit,
    better: Better,
    meaning: &'static str,
    get: fn(&Summary) -> Option<f64>,
) -> Metric {
    row(name, unit, better, meaning, Get::Run(get))
}

/// A count of the whole run.
const fn count(
    name: &'static str,
    better: Better,
    meaning: &'static str,
    get: fn(&Summary) -> Option<f64>,
) -> Metric {
    figure(name, Unit::Count, better, meaning, get)
}

/// Quantiles of a time over the whole run.
const fn times(
    name: &'static str,
    meaning: &'static str,
    get: fn(&Summary) -> Option<&Digest>,
) -> Metric {
    row(name, Unit::Time, Less, meaning, Get::RunQuantiles(get, &Quantile::ALL))
}

/// Quantiles of a time over a partition.
const fn partition_times(
    name: &'static str,
    meaning: &'static str,
    get: fn(&PartitionSummary) -> Option<&Digest>,
) -> Metric {
    row(name, Unit::Time, Less, meaning, Get::PartitionQuantiles(get, &Quantile::ALL))
}

/// A time of a fault.
const fn fault_time(
    name: &'static str,
    meaning: &'static str,
    get: fn(&FaultSummary) -> Option<f64>,
) -> Metric {
    row(name, Unit::Time, Less, meaning, Get::Fault(get))
}

/// A count of a fault.
const fn fault_count(
    name: &'static str,
    meaning: &'static str,
    get: fn(&FaultSummary) -> Option<f64>,
) -> Metric {
    row(name, Unit::Count, Less, meaning, Get::Fault(get))
}

impl Metric {
    const fn needs(mut self, needs: Need) -> Metric {
        self.needs = needs;
        self
    }

    /// Sets the name in earlier versions.
    const fn was(mut self, name: &'static str) -> Metric {
        self.was = Some(name);
        self
    }

    const fn proof(mut self) -> Metric {
        self.is_proof = true;
        self
    }

    const fn total(mut self, total: Total) -> Metric {
        self.total = total;
        self
    }

    /// Adds it to the latency table of a report, under this name.
    const fn row(mut self, name: &'static str) -> Metric {
        self.row = Some(name);
        self
    }

    /// Adds it to the latency table of a short report, at this place and under this name.
    const fn short(mut self, place: u8, name: &'static str) -> Metric {
        self.short_row = Some((place, name));
        self
    }

    /// In runs of `explore` it must be 0.
    const fn zero(mut self, meaning: &'static str) -> Metric {
        self.invariant = Some(meaning);
        self
    }

    /// Comparisons of variants show it by default.
    const fn headline(mut self) -> Metric {
        self.is_headline = true;
        self
    }

    const fn cause(mut self, cause: fn(&Summary) -> Option<String>) -> Metric {
        self.cause = cause;
        self
    }
}

/// A count as a metric's value.
fn counted(count: u64) -> Option<f64> {
    Some(count as f64)
}

/// Milliseconds of a summary as a metric's value, in nanoseconds.
fn span(ms: Option<f64>) -> Option<f64> {
    ms.map(|ms| ms * 1e6)
}

/// Seconds of a summary as a metric's value, in nanoseconds.
fn seconds(seconds: Option<f64>) -> Option<f64> {
    seconds.map(|seconds| seconds * 1e9)
}

fn achieved_share(summary: &Summary) -> Option<f64> {
    let offered = summary.offered_per_s.filter(|offered| *offered > 0.0);
    offered.map(|offered| summary.achieved_per_s / offered)
}

fn nothing_measured(_: &Summary) -> Option<String> {
    Some("no record that was due in the measured window was processed".to_owned())
}

/// The most frequent error of sending; `None` without one.
fn send_error(summary: &Summary) -> Option<String> {
    let (name, times) = summary.send_errors.iter().max_by_key(|(_, times)| **times)?;
    Some(format!("{name} ({} x)", format_count(*times)))
}

/// The figures that an expectation can name, as a Markdown table for the book.
pub fn metrics_markdown() -> String {
    let mut out = String::from("| figure | value | better | meaning |\n|---|---|---|---|\n");
    for metric in METRICS {
        let choice = match metric.prefix() {
            "partition" => "partition[*].",
            "stage" => "stage[0].",
            "fault" => "fault[0].",
            _ => "",
        };
        let quantile = if metric.quantiles().is_empty() { "" } else { ".<q>" };
        let value = match metric.unit {
            Unit::Count => "count",
            Unit::Time => "time",
            Unit::Number => "number",
            Unit::Flag => "`true` or `false`",
        };
        let better = match metric.better {
            Less => "less",
            More => "more",
            Neither => "",
        };
        let name = format!("{choice}{}{quantile}", metric.name);
        let _ = write!(out, "| `{name}` | {value} | {better} | {}", metric.meaning);
        if metric.quantiles().len() < Quantile::ALL.len() && !quantile.is_empty() {
            let _ = write!(out, "; {}", listed(metric.quantiles()));
        }
        let condition = condition(metric.needs).map(|needs| format!("; {needs}"));
        let _ = writeln!(out, "{} |", condition.unwrap_or_default());
    }
    let _ = write!(
        out,
        "\n`<q>` is {}. `partition[7]` is one partition; `partition[*]` is each one: the worst decides. `stage[0]` is \
         the first `[[load.stage]]`, and `fault[0]` the first `[[fault]]` of the scenario.\n",
        listed(&Quantile::ALL)
    );
    out
}

fn listed(quantiles: &[Quantile]) -> String {
    quantiles.iter().map(|q| format!("`{}`", q.name())).collect::<Vec<_>>().join(", ")
}

/// The runs that have a metric; `None` if all have it.
pub(crate) fn condition(needs: Need) -> Option<&'static str> {
    match needs {
        Need::Nothing | Need::Part(Part::Handling) => None,
        Need::Schedule => Some("paced load only"),
        Need::Acknowledgements => {
            Some("not with `load.clients = \"producer\"` or `load.acks = \"none\"`")
        }
        Need::Part(Part::HandedOver) => Some("not with `--broker sim`"),
        Need::Part(_) | Need::SimulatedCoordinator => Some("with `--broker sim`"),
        Need::Group => Some("group mode only"),
        Need::Commits => Some("where offsets are committed for a group"),
        Need::Requests => Some("with `--client native`"),
        Need::Backlog => Some("with `load.backlog`"),
        Need::Failure => Some("faults that end a consumer or a pool"),
        Need::OtherPartitions => Some("faults that are not aimed at every partition"),
    }
}
