//! Negative controls of determinism: sources of nondeterminism, which the comparison of two simulations must detect.
//! They are part of the tests, never of the program.
//!
//! Each leak decides when four machines get an extra turn, once every 20 ms. Requesting turns in a random order would
//! not be enough, because events at the same instant have an order that does not depend on the requests.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::base::Time;
use crate::broker::model::ClientId;
use crate::broker::sim::KernelHandle;

/// The sources of nondeterminism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leak {
    /// The order in which a hash map is iterated.
    HashMap,
    /// Reading the wall clock.
    WallClock,
    /// A `select!` that is not `biased`.
    Select,
    /// Several receivers of a `watch`.
    Watch,
    /// A blocking task on another thread.
    Blocking,
}

const LEAKS: [(Leak, &str); 5] = [
    (Leak::HashMap, "hash-map iteration"),
    (Leak::WallClock, "wall clock"),
    (Leak::Select, "unbiased select"),
    (Leak::Watch, "watch with several receivers"),
    (Leak::Blocking, "blocking task"),
];

/// The source of extra turns: none, all of them done correctly, or one of them nondeterministic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extra {
    None,
    Right,
    Wrong(Leak),
}

const MACHINES: u32 = 4;
const EVERY: Duration = Duration::from_millis(20);
/// Time between the turns of two machines.
const APART: Duration = Duration::from_micros(1);
/// Time of the first extra turn, when all machines exist.
const FROM: Time = Time(1_000_000_000);

impl Extra {
    /// Starts the tasks that request extra turns, on the runtime of the simulation.
    fn start(self, kernel: &KernelHandle) {
        let kernel = kernel.clone();
        match self {
            Extra::None => {}
            Extra::Right => drop(tokio::spawn(extra_turns(kernel, None))),
            Extra::Wrong(leak) => drop(tokio::spawn(extra_turns(kernel, Some(leak)))),
        }
    }
}

async fn extra_turns(kernel: KernelHandle, wrong: Option<Leak>) {
    let mut at = FROM;
    loop {
        // The correct variants run in every case, with the same number of turns in the same order.
        for (leak, _) in LEAKS {
            sleep_until(&kernel, at).await;
            let now = at;
            at = at + EVERY;
            let is_wrong = wrong == Some(leak);
            match leak {
                Leak::HashMap => turns(&kernel, now, iterated(is_wrong)),
                Leak::WallClock => at = at + off(is_wrong),
                Leak::Select => turns(&kernel, now, selected(is_wrong).await),
                Leak::Watch => turns(&kernel, now, woken(is_wrong).await),
                Leak::Blocking => blocked(&kernel, now, is_wrong),
            }
        }
    }
}

/// Requests the turns one after the other, from `now` on.
fn turns(kernel: &KernelHandle, now: Time, order: Vec<ClientId>) {
    for (place, machine) in order.into_iter().enumerate() {
        let waker = kernel.clone();
        let job = move |_| {
            waker.wake(machine);
            None
        };
        kernel.at(now + APART * place as u32, Box::new(job));
    }
}

async fn sleep_until(kernel: &KernelHandle, at: Time) {
    let (over, waits) = oneshot::channel();
    let (mark_actors_busy, mut over) = (kernel.clone(), Some(over));
    let job = move |_| {
        mark_actors_busy.mark_actors_busy();
        over.take()?.send(()).ok()?;
        None
    };
    kernel.at(at, Box::new(job));
    let _ = waits.await;
}

#[expect(clippy::disallowed_types, reason = "this is the leak")]
fn iterated(is_wrong: bool) -> Vec<ClientId> {
    if is_wrong {
        return (0..MACHINES).collect::<std::collections::HashSet<_>>().into_iter().collect();
    }
    (0..MACHINES).collect::<BTreeSet<_>>().into_iter().collect()
}

#[expect(clippy::disallowed_methods, reason = "this is the leak")]
fn off(is_wrong: bool) -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    if !is_wrong {
        return Duration::ZERO;
    }
    let elapsed = START.get_or_init(Instant::now).elapsed();
    Duration::from_nanos(u64::from(elapsed.subsec_nanos()) % 1_000)
}

async fn selected(is_wrong: bool) -> Vec<ClientId> {
    let (mut senders, mut ready) = (Vec::new(), Vec::new());
    for machine in 0..MACHINES {
        let (sender, receiver) = mpsc::channel(1);
        let _ = sender.try_send(machine);
        senders.push(sender);
        ready.push(receiver);
    }
    drop(senders);
    let [a, b, c, d] = &mut ready[..] else { return Vec::new() };
    let mut order = Vec::new();
    while order.len() < MACHINES as usize {
        let next = if is_wrong {
            tokio::select! {
                Some(machine) = a.recv() => machine,
                Some(machine) = b.recv() => machine,
                Some(machine) = c.recv() => machine,
                Some(machine) = d.recv() => machine,
                else => break,
            }
        } else {
            tokio::select! {
                biased;
                Some(machine) = a.recv() => machine,
                Some(machine) = b.recv() => machine,
                Some(machine) = c.recv() => machine,
                Some(machine) = d.recv() => machine,
                else => break,
            }
        };
        order.push(next);
    }
    order
}

async fn woken(is_wrong: bool) -> Vec<ClientId> {
    let order = Arc::new(Mutex::new(Vec::new()));
    let (sender, receiver) = watch::channel(());
    let bells: Vec<Arc<Notify>> = (0..MACHINES).map(|_| Arc::default()).collect();
    let waiting: Vec<JoinHandle<()>> = (0..MACHINES)
        .map(|machine| {
            let (order, mut receiver) = (order.clone(), receiver.clone());
            let bell = bells[machine as usize].clone();
            tokio::spawn(async move {
                if is_wrong {
                    let _ = receiver.changed().await;
                } else {
                    bell.notified().await;
                }
                order.lock().expect("no panic").push(machine);
            })
        })
        .collect();
    // All receivers wait by then.
    tokio::task::yield_now().await;
    let _ = sender.send(());
    bells.iter().for_each(|bell| bell.notify_one());
    for waiting in waiting {
        let _ = waiting.await;
    }
    std::mem::take(&mut *order.lock().expect("no panic"))
}

fn blocked(kernel: &KernelHandle, now: Time, is_wrong: bool) {
    if !is_wrong {
        return turns(kernel, now, (0..MACHINES).collect());
    }
    for machine in 0..MACHINES {
        let kernel = kernel.clone();
        drop(tokio::task::spawn_blocking(move || kernel.wake(machine)));
    }
}

mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::base::BrokerKind;
    use crate::broker::sim::TraceSink;
    use crate::plan::{Overrides, compile};
    use crate::run::Options;
    use crate::run::sim::run_beside;
    use crate::scenario::Source;

    const SCENARIO: &str = "[topic]\npartitions = 6\n[load]\nproducers = 12\nrate = \"20/s\"\n\
                            [run]\nseed = 5\nwarmup = \"0s\"\nduration = \"3s\"\n\
                            [[fault]]\nat = \"1s\"\nkill = { consumer = 3 }\n";

    /// The events of a simulation, and the result as the last line.
    fn events(extra: Extra) -> Vec<String> {
        let source = Source { name: "leak.toml".to_owned(), text: SCENARIO.to_owned() };
        let overrides = Overrides { broker: Some(BrokerKind::simulated()), ..Overrides::default() };
        let (plan, _) = compile(&source, &[], &overrides);
        let lines = Arc::new(Mutex::new(Vec::new()));
        let taking = lines.clone();
        let trace_sink = TraceSink::new(move |line| {
            taking.lock().expect("no panic").push(line.to_string());
        });
        let options = Options { trace_sink: Some(trace_sink), ..Options::default() };
        let (plan, beside) = (plan.expect("a plan"), |kernel: &KernelHandle| extra.start(kernel));
        let summary = run_beside(plan, options, Box::new(()), beside).expect("a run");
        let mut lines = std::mem::take(&mut *lines.lock().expect("no panic"));
        lines.push(serde_json::to_string(&summary).expect("JSON"));
        lines
    }

    /// Number and text of the first event that differs; `None` without a difference.
    fn first_difference(a: &[String], b: &[String]) -> Option<(usize, String)> {
        let at = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        (at < a.len().max(b.len())).then(|| (at + 1, a.get(at).cloned().unwrap_or_default()))
    }

    /// Largest number of comparisons until a leak must show.
    const COMPARISONS_MAX: u32 = 10;

    const CHILD: &str = "LANEKEEPER_TEST_LEAK";
    const OUT: &str = "LANEKEEPER_TEST_EVENTS";

    /// The same in another process, which runs this test. The test then only writes the events.
    fn elsewhere(extra: &str, directory: &Path) -> Vec<String> {
        let out = directory.join("events");
        let status = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "run::leaks::tests::chance_is_caught_however_it_gets_in"])
            .current_dir(directory)
            .env(CHILD, extra)
            .env(OUT, &out)
            .output()
            .expect("another process");
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
        let text = std::fs::read_to_string(out).expect("events");
        text.lines().map(str::to_owned).collect()
    }

    fn extra_of(name: &str) -> Extra {
        match LEAKS.iter().find(|(_, other)| *other == name) {
            Some((leak, _)) => Extra::Wrong(*leak),
            None => Extra::Right,
        }
    }

    #[test]
    #[expect(clippy::print_stdout, reason = "the table of the book is made from it")]
    fn chance_is_caught_however_it_gets_in() {
        if let (Ok(name), Some(out)) = (std::env::var(CHILD), std::env::var_os(OUT)) {
            std::fs::write(out, events(extra_of(&name)).join("\n")).expect("a writable file");
            return;
        }
        let directory = tempfile::tempdir().expect("a scratch directory");
        let compared = |name: &str| {
            let (here, again) = (events(extra_of(name)), events(extra_of(name)));
            let there = elsewhere(name, directory.path());
            [first_difference(&here, &again), first_difference(&here, &there)]
        };
        // The extra turns change the events, but always in the same way.
        assert_ne!(events(Extra::None), events(Extra::Right));
        assert_eq!(compared("none"), [None, None]);
        for (_, name) in LEAKS {
            // Scheduling by the operating system may be the same twice, but not every time.
            let caught = (0..COMPARISONS_MAX).find_map(|_| match compared(name) {
                [Some(again), Some(there)] => Some((again, there)),
                _ => None,
            });
            let (again, there) = caught.unwrap_or_else(|| panic!("{name} is not caught"));
            println!("{name}: event {} in one process, {} in two", again.0, there.0);
            // The events before the first extra turn are the same.
            for (number, line) in [again, there] {
                assert!(number > 10 && line.trim_start().starts_with(['1', '2', '3']), "{line}");
            }
        }
    }
}
