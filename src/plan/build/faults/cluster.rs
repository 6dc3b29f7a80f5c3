//! Kinds of faults that hit the cluster: what each needs, and which broker can do it.

use std::time::Duration;

use super::aim::Aim;
use super::kind::Span;
use crate::base::BrokerKind;
use crate::plan::{ExecPlan, FaultKind, PARTITIONS_MAX};
use crate::reader::Findings;
use crate::reader::GivenKey;
use crate::scenario::sections::ModeWord;
use crate::scenario::{
    At, Diagnostic, Exec, Fault, Grow, Join, Link, LinkSide, Origin, RequestError, Scenario, codes,
};

/// Members one fault may add: as many as a group is ever given here.
const MEMBERS_MAX: u32 = 100;

/// What is written, as far as it is one of these kinds.
pub(super) fn of_kind<'a>(
    fault: &'a Fault,
    scenario: &Scenario,
    broker: BrokerKind,
    found: &mut Findings,
) -> Option<(FaultKind, Span, Aim<'a>)> {
    if let Some(down) = &fault.broker_down {
        breaks_on_demand("broker_down", down.key, broker, found);
        return Some((
            FaultKind::BrokerDown,
            Span::Must,
            Aim::Brokers(down.value.broker.as_ref()?),
        ));
    }
    if let Some(rtt) = &fault.broker_rtt {
        breaks_on_demand("broker_rtt", rtt.key, broker, found);
        let (who, delay) = (rtt.value.broker.as_ref()?, rtt.value.delay.as_ref()?);
        let range = Duration::from_millis(1)..=Duration::from_secs(60);
        let reason = "the embedded cluster counts whole milliseconds";
        let delay = found.duration(
            GivenKey::new("broker_rtt.delay", Some(delay)),
            delay.value,
            range,
            reason,
        );
        return Some((FaultKind::BrokerRtt { delay }, Span::Must, Aim::Brokers(who)));
    }
    if let Some(second) = &fault.second_owner {
        is_simulated("second_owner", second.key, broker, found);
        refuse_in_group(second.key, scenario, found);
        let aim = Aim::Partitions(second.value.partition.as_ref()?);
        return Some((FaultKind::SecondOwner, Span::Must, aim));
    }
    if let Some(found_kind) = of_the_simulator(fault, broker, found) {
        return found_kind;
    }
    if let Some(error) = &fault.request_error {
        breaks_on_demand("request_error", error.key, broker, found);
        return Some((request_error(error, found)?, Span::Never, Aim::Cluster));
    }
    if let Some(join) = &fault.join {
        return Some(joining(join, scenario, found));
    }
    if let Some(grow) = &fault.grow {
        return Some((growth(grow, fault, scenario, broker, found), Span::Never, Aim::Cluster));
    }
    if let Some(delete) = &fault.delete_records {
        deletes_records(delete.key, scenario, broker, found);
        let aim = Aim::Partitions(delete.value.partition.as_ref()?);
        return Some((FaultKind::DeleteRecords, Span::Never, aim));
    }
    let exec = fault.exec.as_ref()?;
    is_not_simulated("exec", exec.key, broker, found);
    let plan = exec_plan(exec, found)?;
    let span = if plan.end.is_empty() { Span::May } else { Span::Must };
    Some((FaultKind::Exec(plan), span, Aim::Cluster))
}

/// Kinds only a simulated cluster can do; the outer option says whether it is one of them.
fn of_the_simulator<'a>(
    fault: &'a Fault,
    broker: BrokerKind,
    found: &mut Findings,
) -> Option<Option<(FaultKind, Span, Aim<'a>)>> {
    let simple = [
        ("broker_pause", &fault.broker_pause, FaultKind::BrokerPause, Span::Must),
        ("link_reset", &fault.link_reset, FaultKind::LinkReset, Span::Never),
        ("half_open", &fault.half_open, FaultKind::HalfOpen, Span::Never),
    ];
    for (name, at, kind, span) in simple {
        if let Some(at) = at {
            is_simulated(name, at.key, broker, found);
            return Some(at.value.broker.as_ref().map(|who| (kind, span, Aim::Brokers(who))));
        }
    }
    if let Some(slow) = &fault.slow_disk {
        is_simulated("slow_disk", slow.key, broker, found);
        let (Some(who), Some(add)) = (&slow.value.broker, &slow.value.add) else {
            return Some(None);
        };
        let range = Duration::from_micros(1)..=Duration::from_secs(60);
        let reason = "a disk that needs longer is broken";
        let add =
            found.duration(GivenKey::new("slow_disk.add", Some(add)), add.value, range, reason);
        return Some(Some((FaultKind::SlowDisk { add }, Span::Must, Aim::Brokers(who))));
    }
    if let Some(link) = &fault.link {
        is_simulated("link", link.key, broker, found);
        return Some(bad_link(link, found));
    }
    if let Some(cut) = &fault.link_cut {
        is_simulated("link_cut", cut.key, broker, found);
        let side = cut.value.side.as_ref().map_or(LinkSide::All, |at| at.value);
        let who = cut.value.broker.as_ref();
        return Some(who.map(|who| (FaultKind::LinkCut { side }, Span::Must, Aim::Brokers(who))));
    }
    let moved = fault.coordinator_move.as_ref()?;
    is_simulated("coordinator_move", moved.key, broker, found);
    // Whether it is there is checked with the brokers at hand.
    let to = moved.value.to.as_ref().and_then(|at| u32::try_from(at.value).ok());
    Some(Some((FaultKind::CoordinatorMove { to }, Span::Never, Aim::Cluster)))
}

/// A group's coordinator lets a partition have one owner.
fn refuse_in_group(key: Origin, scenario: &Scenario, found: &mut Findings) {
    let mode = scenario.consumers.mode.as_ref();
    if mode.is_some_and(|mode| mode.value == ModeWord::Group) {
        let message = "`second_owner` is what a group prevents";
        found.push(Diagnostic::error(codes::CONFLICT, key, message).remedy(
            "let a second process `join` the group instead, or set `consumers.mode = \"assigned\"`",
        ));
    }
}

fn bad_link<'a>(link: &'a At<Link>, found: &mut Findings) -> Option<(FaultKind, Span, Aim<'a>)> {
    let Link { broker, delay, loss, duplicate } = &link.value;
    if delay.is_none() && loss.is_none() && duplicate.is_none() {
        let message = "`link` does not say what is wrong";
        found.push(
            Diagnostic::error(codes::MISSING_KEY, link.origin, message)
                .remedy("add `delay`, `loss` or `duplicate`, for example `loss = 0.05`"),
        );
    }
    let range = Duration::from_micros(1)..=Duration::from_secs(60);
    let delay = delay.as_ref().map_or(Duration::ZERO, |at| {
        let reason = "a link that takes longer is cut";
        found.duration(GivenKey::new("link.delay", Some(at)), at.value, range, reason)
    });
    let reason = "it is a share of the messages; `link_cut` lets nothing pass";
    let loss = found.number(GivenKey::new("link.loss", loss.as_ref()), 0.0, 0.0..=0.9, reason);
    let reason = "it is a share of the batches";
    let duplicate =
        found.number(GivenKey::new("link.duplicate", duplicate.as_ref()), 0.0, 0.0..=1.0, reason);
    let says_something = link.value.delay.is_some() || loss != 0.0 || duplicate != 0.0;
    if let Some(at) =
        link.value.loss.as_ref().or(link.value.duplicate.as_ref()).filter(|_| !says_something)
    {
        let message = "`link` with shares of 0 changes nothing";
        found.push(
            Diagnostic::error(codes::NO_EFFECT, at.origin, message)
                .remedy("choose a share above 0, for example `loss = 0.05`, or remove the fault"),
        );
    }
    let kind = FaultKind::Link { delay, loss, duplicate };
    Some((kind, Span::Must, Aim::Brokers(broker.as_ref()?)))
}

/// Refuses what only the simulator can do.
fn is_simulated(kind: &str, key: Origin, broker: BrokerKind, found: &mut Findings) {
    if !broker.capability().is_modelled {
        let message = format!("`{kind}` needs a simulated cluster");
        found.push(
            Diagnostic::error(codes::WRONG_BROKER, key, message)
                .label(format!("not possible with `--broker {broker}`"))
                .remedy("use `--broker sim`, or `exec` with your own commands"),
        );
    }
}

fn breaks_on_demand(kind: &str, key: Origin, broker: BrokerKind, found: &mut Findings) {
    if broker.capability().breaks_on_demand || is_not_simulated(kind, key, broker, found) {
        return;
    }
    let message = format!("`{kind}` needs a cluster that lanekeeper runs itself");
    found.push(
        Diagnostic::error(codes::WRONG_BROKER, key, message)
            .label(format!("with `--broker {broker}` the brokers are yours"))
            .remedy("use `exec` with your own commands, `--broker sim` or `--broker embedded`"),
    );
}

/// Refuses what the simulator does not model.
fn is_not_simulated(kind: &str, key: Origin, broker: BrokerKind, found: &mut Findings) -> bool {
    let is_sim = broker == BrokerKind::Sim;
    if is_sim {
        let message = format!("the simulator does not model `{kind}`");
        found.push(
            Diagnostic::error(codes::NOT_SIMULATED, key, message)
                .remedy("use `--broker embedded`, or remove the fault"),
        );
    }
    is_sim
}

/// Who joins is numbered when all faults are known.
fn joining<'a>(
    join: &At<Join>,
    scenario: &Scenario,
    found: &mut Findings,
) -> (FaultKind, Span, Aim<'a>) {
    let is_group = scenario.consumers.mode.as_ref().is_some_and(|at| at.value == ModeWord::Group);
    if !is_group {
        let message = "`join` needs a consumer group";
        found.push(
            Diagnostic::error(codes::CONFLICT, join.key, message)
                .label("with explicit assignment there is no group to join")
                .remedy("set `consumers.mode` to `group`, or remove the fault"),
        );
    }
    let reason = "each is a client of its own";
    let count = found.count(
        GivenKey::new("join.members", join.value.members.as_ref()),
        1,
        1..=MEMBERS_MAX,
        reason,
    );
    (FaultKind::Join, Span::May, Aim::New(count))
}

fn growth(
    grow: &At<Grow>,
    fault: &Fault,
    scenario: &Scenario,
    broker: BrokerKind,
    found: &mut Findings,
) -> FaultKind {
    if !broker.capability().can_grow {
        let message = format!("the {broker} cluster cannot grow a topic");
        found.push(
            Diagnostic::error(codes::WRONG_BROKER, grow.key, message)
                .remedy("use `--broker kafka` or `--broker sim`, or remove the fault"),
        );
    }
    if let Some(name) = &scenario.topic.name {
        let message = "`grow` needs a topic of the run's own";
        found.push(
            Diagnostic::error(codes::CONFLICT, grow.key, message)
                .label(format!("`{}` may hold data of others", name.value))
                .remedy("remove `topic.name`"),
        );
    }
    if let Some(every) = &fault.every {
        let message = "`grow` happens once: it names the topic's new size";
        found.push(
            Diagnostic::error(codes::NO_EFFECT, every.key, message)
                .remedy("remove it, and write a `[[fault]]` for each size"),
        );
    }
    let (given, most) = (grow.value.partitions.as_ref(), PARTITIONS_MAX as u32);
    let reason = "each partition has a consumer and histograms of its own";
    FaultKind::Grow {
        partitions: found.count(GivenKey::new("grow.partitions", given), 1, 1..=most, reason),
    }
}

fn deletes_records(key: Origin, scenario: &Scenario, broker: BrokerKind, found: &mut Findings) {
    if !broker.capability().deletes_records {
        let message = format!("the {broker} cluster cannot delete records");
        found.push(
            Diagnostic::error(codes::WRONG_BROKER, key, message)
                .remedy("use `--broker kafka`, or remove the fault"),
        );
    }
    if let Some(name) = &scenario.topic.name {
        let message = "`delete_records` needs a topic of the run's own";
        found.push(
            Diagnostic::error(codes::CONFLICT, key, message)
                .label(format!("`{}` may hold data of others", name.value))
                .remedy("remove `topic.name`"),
        );
    }
}

fn request_error(error: &At<RequestError>, found: &mut Findings) -> Option<FaultKind> {
    let RequestError { api, code, count } = &error.value;
    let reason = "each refuses one request";
    let count =
        found.count(GivenKey::new("request_error.count", count.as_ref()), 1, 1..=10_000, reason);
    let (api, code) = (api.as_ref()?.value, code.as_ref()?.value);
    Some(FaultKind::RequestError { api, code, count })
}

fn exec_plan(exec: &At<Exec>, found: &mut Findings) -> Option<ExecPlan> {
    let Exec { start, end, limit } = &exec.value;
    let words = |command: &Option<At<Vec<At<String>>>>| -> Vec<String> {
        let words = command.iter().flat_map(|at| at.value.iter());
        words.map(|word| word.value.clone()).collect()
    };
    for (key, command) in [("start", start), ("end", end)] {
        let Some(command) = command else { continue };
        if command.value.first().is_none_or(|program| program.value.trim().is_empty()) {
            let message = format!("`exec.{key}` names no program");
            found.push(
                Diagnostic::error(codes::MISSING_KEY, command.origin, message)
                    .remedy("for example `[\"docker\", \"kill\", \"broker-2\"]`"),
            );
            return None;
        }
    }
    let default = Duration::from_secs(30);
    let range = Duration::from_millis(100)..=Duration::from_secs(3600);
    let limit = found.duration(
        GivenKey::new("exec.limit", limit.as_ref()),
        default,
        range,
        "a command that hangs must not hang the run",
    );
    start.as_ref()?;
    Some(ExecPlan { start: words(start), end: words(end), limit })
}
