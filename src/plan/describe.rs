//! A plan as text, for `check`: the topic, the load, the consumers and the faults.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use super::sample::payload_lines;
use super::{
    BrokerPlan, CatchUp, CheckpointPlan, ConsumersPlan, GroupPlan, GroupProtocol, Identity,
    LoadPlan, Membership, Pace, PartitionChoice, Phases, Plan, ServiceTime, StartAt, TopicName,
    Work,
};
use crate::base::{ClientKind, RunId, format_bytes, format_count, format_duration, printable};
use crate::scenario::known::{self, Treatment};

impl Plan {
    /// The whole plan, as aligned lines.
    pub fn describe(&self) -> String {
        let mut lines = Lines(String::new());
        lines.add("scenario", format!("{}, seed {}", self.name, self.seed.0));
        lines.add("broker", self.describe_broker());
        self.describe_topic(&mut lines);
        self.describe_load(&mut lines);
        self.describe_consumers(&mut lines);
        self.describe_use(&mut lines);
        self.describe_run(&mut lines);
        for fault in &self.faults {
            let at = format_duration(fault.at);
            lines.add("fault", format!("[{}] {fault} at {at}", fault.entry));
        }
        for (side, name, property) in self.client.all() {
            let danger = match known::treatment(name) {
                Some(Treatment::Needs(danger)) if !self.broker.capability().is_modelled => {
                    format!(" ({}: `run` needs `--allow-exec`)", danger.meaning())
                }
                _ => String::new(),
            };
            let side = side.replace('.', ": ");
            lines.add("client", format!("{side}{name} = {}{danger}", property.value));
        }
        let (defaults, own): (Vec<_>, Vec<_>) =
            self.expectations.iter().partition(|expectation| expectation.is_default);
        for expectation in &own {
            lines.add("expect", &expectation.expression);
        }
        let defaults: Vec<&str> = defaults.iter().map(|it| it.expression.as_str()).collect();
        if !defaults.is_empty() {
            lines.add("expect", format!("by default: {}", defaults.join(", ")));
        }
        lines.add("memory", format!("about {}", format_bytes(self.memory_estimate_bytes())));
        lines.0
    }

    fn describe_broker(&self) -> String {
        let BrokerPlan { kind, library, brokers, bootstrap, sim } = &self.broker;
        let capability = kind.capability();
        let mut text = kind.called().to_owned();
        if let Some(brokers) = brokers {
            let _ = write!(text, ", {}", plural(*brokers, "broker"));
        }
        if let Some(sim) = sim {
            let _ = write!(
                text,
                " of {} in virtual time; {} + {} on the way, {} per request",
                plural(sim.broker_cores, "core"),
                format_duration(sim.latency),
                format_duration(sim.jitter),
                format_duration(sim.request_cost)
            );
        }
        if let Some(bootstrap) = bootstrap {
            let _ = write!(text, " at {bootstrap}");
        }
        if *library != ClientKind::default() && !capability.is_modelled {
            let _ = write!(text, ", through the {library} client");
        }
        if let (Some(bytes), Some(batches)) =
            (capability.partition_bytes_max, capability.partition_batches_max)
        {
            let (bytes, batches) = (format_bytes(bytes), format_count(batches));
            let _ = write!(text, "; keeps {bytes} and {batches} batches per partition");
        }
        if !capability.timing_is_real {
            text.push_str(", times are its own");
        }
        text
    }

    /// Utilisation of the consumers, if records cost work.
    fn describe_use(&self, lines: &mut Lines) {
        let utilisation = self.utilisation();
        if let Some(busiest) = utilisation.busiest_partition() {
            let work = format_duration(Duration::from_secs_f64(busiest.work_s));
            let (id, rate) = (busiest.partition, rounded(busiest.per_second));
            let share = 100.0 * busiest.consumers();
            let at = if self.load.stages.is_empty() { "" } else { " at the highest rate" };
            let text =
                format!("{share:.0} % for partition {id}: {rate} msg/s x {work}, the busiest{at}");
            lines.add("busy", text);
        }
        if let Some(busiest) = utilisation.busiest_member() {
            let count = plural(busiest.partitions.len() as u32, "partition");
            let share = 100.0 * busiest.consumers;
            lines.add("", format!("{share:.0} % for {} with {count}, the busiest", busiest.name));
        }
    }

    fn describe_topic(&self, lines: &mut Lines) {
        let topic = &self.topic;
        let partitions = plural(topic.partitions, "partition");
        let after = if topic.keep { "kept" } else { "deleted" };
        let (name, fate) = match &topic.name {
            TopicName::Given(name) => {
                let fate = match (self.load.sends(), topic.writes_to_existing) {
                    (false, _) => "must exist, and is only read".to_owned(),
                    (true, true) => {
                        format!("used as it is if it exists, otherwise created and then {after}")
                    }
                    (true, false) => {
                        format!(
                            "created, then {after}; one that exists needs `--allow-existing-topic`"
                        )
                    }
                };
                (name.clone(), fate)
            }
            own @ TopicName::OfRun { .. } => {
                let name = own.resolve(RunId(0)).replace("000000000000", "<run>");
                (name, format!("created, then {after}"))
            }
        };
        lines.add("topic", format!("{name}: {partitions}, {fate}"));
        let copies = format!("replication factor {}", topic.replication_factor);
        let retention = match self.broker.kind().capability().has_retention {
            true => format!(
                ", retention {} or {} per partition",
                format_duration(topic.retention),
                format_bytes(topic.retention_bytes)
            ),
            false => String::new(),
        };
        lines.add("", copies + &retention);
        if self.broker.kind().capability().can_grow {
            let every = format_duration(topic.discover);
            lines.add("", format!("checks for new partitions every {every}"));
        }
    }

    fn describe_load(&self, lines: &mut Lines) {
        let load = &self.load;
        if !load.sends() {
            lines.add("load", "none: reads what other producers write");
            return;
        }
        let producers = format_count(u64::from(load.producers));
        let rate = match (load.pace, load.per_second()) {
            (Pace::Paced { period }, Some(all)) => {
                let phases = match load.phases {
                    Phases::Uniform => "uniform",
                    Phases::Random => "random",
                    Phases::Poisson => "poisson",
                };
                let each = rounded(1.0 / period.as_secs_f64());
                format!("{each} msg/s each, {} msg/s in all, {phases} phases", rounded(all))
            }
            _ => "as fast as the client takes messages".to_owned(),
        };
        lines.add("load", format!("{producers} producers, {rate}"));
        let payload = u64::from(load.payload_bytes);
        let about = if load.payload_bytes == load.payload_bytes_max { "" } else { "about " };
        let total = match (self.messages(), load.pace) {
            (Some(messages), _) => format!(
                "{} messages of {about}{payload} B: {about}{} of payload",
                format_count(messages),
                format_bytes(messages.saturating_mul(payload))
            ),
            (None, _) => format!("messages of {about}{payload} B until the run ends"),
        };
        lines.add("", format!("{total}, {}", Choice(load)));
        lines.add(
            "",
            format!(
                "{} on {}, acks={}, idempotence {}, linger {}, compression {}",
                plural(load.pools, "pool"),
                plural(self.producer_clients(), "client"),
                load.acks,
                if load.idempotence { "on" } else { "off" },
                format_duration(load.linger),
                load.compression
            ),
        );
        self.describe_backlog(lines);
        self.describe_payload(lines);
        self.describe_stages(lines);
        if let Some(bytes) = load.unprocessed_bytes_max {
            let bytes = format_bytes(bytes);
            lines.add("", format!("waits while {bytes} of a partition are not processed"));
        }
    }

    /// The backlog, and the estimated time for catching up.
    fn describe_backlog(&self, lines: &mut Lines) {
        let Some(backlog) = self.load.backlog else { return };
        let records = format_count(backlog);
        lines.add("backlog", format!("{records} records are written before the consumers start"));
        let Some(catch_up) = self.catch_up() else { return };
        let CatchUp { seconds, slowest, records, capacity, arrives } = catch_up;
        let difference = format!(
            "{slowest} has {} records, processes {}/s, and {}/s arrive",
            format_count(records.round() as u64),
            rounded(tenths(capacity)),
            rounded(tenths(arrives))
        );
        let time = match seconds {
            Some(seconds) => {
                format!(
                    "caught up in about {}",
                    format_duration(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
                )
            }
            None => "never caught up".to_owned(),
        };
        lines.add("", format!("{time}: {difference}"));
    }

    /// The content of records with a sample, unless it is a stamp and filler.
    fn describe_payload(&self, lines: &mut Lines) {
        let mut name = "payload";
        for line in payload_lines(&self.load, self.seed) {
            lines.add(std::mem::take(&mut name), line);
        }
    }

    /// A line for each stage. Times count from the start of the load. After a stage that may end early they are the
    /// latest ones.
    fn describe_stages(&self, lines: &mut Lines) {
        let mut at = self.times.warmup;
        let mut latest = "";
        for (number, stage) in self.load.stages.iter().enumerate() {
            let (from, to) = (format_duration(at), format_duration(at + stage.lasts));
            let rate = match stage.per_second.map(rounded) {
                [from, to] if from == to => format!("{from} msg/s"),
                [from, to] => format!("{from} to {to} msg/s"),
            };
            let until = if stage.until_lag_is_zero { ", or until lag is 0" } else { "" };
            let name = &stage.name;
            lines.add(
                "stage",
                format!("[{number}] {name}: {rate} from {latest}{from} to {to}{until}"),
            );
            at += stage.lasts;
            if stage.until_lag_is_zero {
                latest = "at the latest ";
            }
        }
    }

    fn describe_consumers(&self, lines: &mut Lines) {
        let consumers = &self.consumers;
        let clients = plural(self.consumer_clients(), "client");
        match &consumers.membership {
            Membership::Assigned { .. } => lines.add(
                "consumers",
                format!("{} assigned, one per partition, on {clients}", self.members()),
            ),
            Membership::Group(group) => {
                lines.add("consumers", Members(group));
                let commit = format_duration(group.commit_interval);
                let silent = format_duration(group.max_poll_interval);
                let sessions = Sessions(group);
                lines.add("", format!("{sessions}, leaves after {silent} without a poll"));
                lines.add("", format!("commits every {commit}"));
            }
        }
        lines.add(
            "",
            format!("{}, batches of up to {}", Reading(consumers), consumers.batch_records),
        );
        match &consumers.checkpoint {
            CheckpointPlan::Memory => {}
            CheckpointPlan::File { path, interval } => {
                let (path, each) = (path.display(), format_duration(*interval));
                lines.add(
                    "",
                    format!("checkpoints in `{path}` each {each}; continues from it if it exists"),
                );
            }
            CheckpointPlan::Commit { group, interval } => {
                let each = format_duration(*interval);
                lines.add("", format!("checkpoints committed for group `{group}` each {each}"));
            }
        }
        for (partition, work) in &consumers.work.of {
            lines.add("", format!("partition {partition}: {} per record", Cost(*work)));
        }
        // A client connects to each broker it needs, and has one more connection for bootstrapping.
        let clients = self.producer_clients() + self.consumer_clients();
        if let Some(brokers) =
            self.broker.brokers.filter(|_| self.broker.capability().has_sockets_here)
        {
            let most = u64::from(clients) * u64::from(brokers + 1);
            lines.add("", format!("{clients} clients in all, up to {most} connections"));
        } else {
            lines.add(
                "",
                format!("{clients} clients in all, each with a connection per broker it needs"),
            );
        }
    }

    fn describe_run(&self, lines: &mut Lines) {
        let times = &self.times;
        let upper = if self.load.messages.is_some() { "at most " } else { "" };
        lines.add(
            "run",
            format!(
                "warmup {}, measured {upper}{}, then up to {} to drain; startup within {}",
                format_duration(times.warmup),
                format_duration(times.duration),
                format_duration(times.drain),
                format_duration(times.startup)
            ),
        );
        let restart = &self.restart;
        lines.add(
            "restart",
            format!(
                "at once, then after {} x {} up to {}; {} failures in {} give a partition up",
                format_duration(restart.backoff),
                restart.factor,
                format_duration(restart.backoff_max),
                restart.budget,
                format_duration(restart.budget_window)
            ),
        );
        let limits = &self.limits;
        lines.add(
            "invalid if",
            format!(
                "sent < {}, lateness p99 > {} and > {} x response p50, CPU > {}, a lane has > {} gaps",
                limits.sent_min,
                format_duration(limits.lateness_p99_max),
                limits.lateness_share_max,
                limits.cpu_share_max,
                format_count(limits.sequence_gaps as u64)
            ),
        );
    }
}

/// Lines of `name  value` with aligned values.
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name:<12}{}", printable(&value.to_string()));
    }
}

fn plural(count: u32, noun: &str) -> String {
    let count_text = format_count(u64::from(count));
    format!("{count_text} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A rate with three decimals, or with none if it is whole.
fn rounded(rate: f64) -> String {
    match rate.fract() == 0.0 {
        true => format_count(rate as u64),
        false => format!("{rate:.3}"),
    }
}

/// A rate rounded to tenths.
fn tenths(rate: f64) -> f64 {
    (10.0 * rate).round() / 10.0
}

/// The partitions of records.
struct Choice<'a>(&'a LoadPlan);

impl Display for Choice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skew = self.0.skew;
        match self.0.partition {
            PartitionChoice::Fixed => f.write_str("producer i to partition i mod n"),
            PartitionChoice::RoundRobin => f.write_str("round robin"),
            PartitionChoice::Only(id) => write!(f, "all to partition {id}"),
            PartitionChoice::Random => write!(f, "to random partitions, skew {skew}"),
            PartitionChoice::Keyed { keys } => {
                write!(f, "by {} keys, skew {skew}", format_count(u64::from(keys)))?;
                match self.0.key_skew {
                    0.0 => Ok(()),
                    key_skew => write!(f, ", key skew {key_skew}"),
                }
            }
        }
    }
}

/// The members of a group, and their protocol.
struct Members<'a>(&'a GroupPlan);

impl Display for Members<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = self.0;
        let identity = match group.identity {
            Identity::Dynamic => "leave when stopped",
            Identity::Crashable => "leave when stopped, and crash when killed",
            Identity::Static => "are static",
        };
        let members = plural(group.members, "member");
        let assignor = match &group.protocol {
            GroupProtocol::Classic { assignor, .. } => format!("{assignor} assignor"),
            GroupProtocol::Consumer { assignor: Some(assignor) } => {
                format!("consumer protocol, {assignor} assignor")
            }
            GroupProtocol::Consumer { assignor: None } => "consumer protocol".to_owned(),
        };
        write!(f, "group of {members}, {assignor}, members {identity}")
    }
}

/// The session timeout of a group.
struct Sessions<'a>(&'a GroupPlan);

impl Display for Sessions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.protocol {
            GroupProtocol::Classic { session_timeout, heartbeat_interval, .. } => write!(
                f,
                "session timeout {}, heartbeat every {}",
                format_duration(session_timeout),
                format_duration(heartbeat_interval)
            ),
            GroupProtocol::Consumer { .. } => {
                f.write_str("session timeout and heartbeat are the broker's")
            }
        }
    }
}

/// The way of reading records.
struct Reading<'a>(&'a ConsumersPlan);

impl Display for Reading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = match self.0.start {
            StartAt::Beginning => "beginning",
            StartAt::End => "end",
        };
        write!(f, "from the {start}, {} per record", Cost(self.0.work.default))
    }
}

/// The work on a record.
struct Cost(Work);

impl Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, span) = match self.0 {
            Work::None => return f.write_str("no work"),
            Work::Cpu(span) => ("CPU", span),
            Work::Wait(span) => ("waiting", span),
        };
        let text = |span: Duration| format_duration(span);
        match span {
            ServiceTime::Fixed(span) => write!(f, "{} {kind}", text(span)),
            ServiceTime::Exponential { mean } => {
                write!(f, "{} {kind} in the mean (exponential)", text(mean))
            }
            ServiceTime::Uniform { min, max } => write!(f, "{} to {} {kind}", text(min), text(max)),
        }
    }
}
