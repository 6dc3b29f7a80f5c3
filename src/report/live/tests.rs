//! The live view on terminals of several sizes.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::layout::draw;
use super::view_state::{SortBy, ViewState};
use crate::report::snapshot::{
    ConsumerSnapshot, ConsumerState, EventSort, FaultSnapshot, FaultState, LastInterval,
    PartitionSnapshot, RunEvent, RunSnapshot, StageSnapshot,
};

const S: Duration = Duration::from_secs(1);

/// A run with this number of partitions, after 16 of 35 seconds, with the largest figures that are likely.
fn run(partitions: u32) -> RunSnapshot {
    let partition = |id: u32| PartitionSnapshot {
        owner: Some(id),
        lag: Some(u64::from(id)),
        p99_ns: Some(u64::from(id + 1) * 1_000_000),
        ..PartitionSnapshot::default()
    };
    let consumer = ConsumerSnapshot { state: ConsumerState::Running, restarts: 0 };
    let fault = |at: u64, description: &str, state| FaultSnapshot {
        entry: 0,
        at: at as u32 * S,
        lasts: false,
        description: description.to_owned(),
        state,
    };
    RunSnapshot {
        scenario: "kill-one-consumer-of-a-large-topic".to_owned(),
        phase: "load".to_owned(),
        has_begun: true,
        planned: 35 * S,
        warmup: 5 * S,
        last: LastInterval {
            elapsed: 16 * S,
            sent_rate: 1_703_000.0,
            processed_rate: 1_699_000.0,
            p50_ns: Some(12_345_000_000),
            p99_ns: Some(99_876_000_000),
            lag: 123_456_789,
        },
        partitions: (0..partitions).map(partition).collect(),
        consumers: (0..partitions).map(|id| (id, consumer)).collect(),
        faults: vec![
            fault(15, "kill consumer 7", FaultState::Over),
            fault(20, "kill consumer 3", FaultState::Planned),
        ],
        events: (0..30)
            .map(|id| RunEvent {
                at_s: f64::from(id),
                text: format!("event {id} of a consumer, with a reason that is longer than any line of a terminal of eighty columns"),
                sort: EventSort::Failure,
            })
            .collect(),
        p99_history: (1..=16).map(|s| s * 1_000_000).collect(),
        ..RunSnapshot::default()
    }
}

fn state() -> ViewState {
    ViewState { has_colours: true, elapsed: 16 * S, ..ViewState::default() }
}

fn screen(run: &RunSnapshot, state: &ViewState, width: u16, height: u16) -> Vec<String> {
    let buffer = buffer(run, state, width, height);
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(|y| row(y).trim_end().to_owned()).collect()
}

fn buffer(
    run: &RunSnapshot,
    state: &ViewState,
    width: u16,
    height: u16,
) -> ratatui::buffer::Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, run, state)).unwrap();
    terminal.backend().buffer().clone()
}

#[test]
fn the_figures_are_whole_at_every_width() {
    for (width, height) in [(60, 24), (80, 24), (200, 50)] {
        for partitions in [1, 18, 1000] {
            let lines = screen(&run(partitions), &state(), width, height);
            for figure in ["p50 12.3 s", "p99 99.9 s", "lag 123,456,789"] {
                assert!(lines[1].contains(figure), "{width}: {}", lines[1]);
            }
            assert!(lines[0].contains("load 16/35 s"), "{}", lines[0]);
            assert!(lines[0].contains("next: kill consumer 3"), "{}", lines[0]);
            let events = if height == 50 { 12 } else { 4 };
            let shown = lines.iter().filter(|line| line.contains(" s  event ")).count();
            assert_eq!(shown, events);
            assert!(lines[lines.len() - 2].contains("29.0 s  event 29 of"));
            assert!(lines.last().unwrap().contains("q stop and keep results"));
        }
    }
    let wide = screen(&run(18), &state(), 80, 24);
    assert!(wide[1].contains("processed 1,699,000/s"), "{}", wide[1]);
    assert!(screen(&run(18), &state(), 200, 50)[0].contains("next: kill consumer 3 in 4 s"));
}

#[test]
fn every_partition_has_a_cell() {
    let few = screen(&run(18), &state(), 80, 24).join("\n");
    for id in 0..18 {
        assert!(few.contains(&format!("{id:>4} ")), "{id}: {few}");
    }
    assert!(few.contains("  17 ▃   18 ms lag 17"), "{few}");
    // With a thousand partitions: a mark for each, and the number of the first one before each row.
    for (width, height) in [(80, 24), (200, 50)] {
        let many = run(1000);
        let lines = screen(&many, &state(), width, height);
        let (above, below) = if height == 50 { (7, 14) } else { (4, 6) };
        let cells = &lines[above..lines.len() - below];
        let marks = cells.join("").chars().filter(|c| "▁▂▃▄▅▆█".contains(*c)).count();
        assert_eq!(marks, 1000, "{}", lines.join("\n"));
    }
}

#[test]
fn more_than_fit_are_counted() {
    let lines = screen(&run(5000), &state(), 80, 24).join("\n");
    let rows = 24 - 10;
    let left = 5000 - (rows - 1) * 74;
    assert!(lines.contains(&format!("… and {left} more")), "{lines}");
}

#[test]
fn sorting_puts_the_worst_first() {
    let mut run = run(18);
    run.partitions[4].is_stalled = true;
    run.partitions[4].p99_ns = None;
    run.partitions[2].lag = Some(1_000);
    let first = |sort| {
        let lines = screen(&run, &ViewState { sort, ..state() }, 80, 24);
        lines[4].trim_start().split(' ').next().unwrap().to_owned()
    };
    let mut sort = SortBy::default();
    let mut firsts = Vec::new();
    for _ in 0..4 {
        firsts.push(first(sort));
        sort = sort.next();
    }
    assert_eq!(firsts, ["0", "4", "2", "0"]);
}

#[test]
fn marks_say_what_is_wrong_also_without_colours() {
    let mut run = run(6);
    run.partitions[1].is_stalled = true;
    run.partitions[2].owner = None;
    run.partitions[5].is_gone = true;
    run.consumers.insert(3, ConsumerSnapshot { state: ConsumerState::Restarting, restarts: 1 });
    run.consumers.insert(4, ConsumerSnapshot { state: ConsumerState::GivenUp, restarts: 5 });
    let text = screen(&run, &state(), 80, 24).join("\n");
    for mark in ["   0 ▁", "   1 !", "   2 x", "   3 r", "   4 x", "   5 ~"] {
        assert!(text.contains(mark), "{mark}: {text}");
    }
    let colours = |has_colours| {
        let state = ViewState { has_colours, ..state() };
        let buffer = buffer(&run, &state, 80, 24);
        buffer.content().iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(colours(true));
    assert!(!colours(false));
}

#[test]
fn faults_are_counted_down_and_shown_while_they_last() {
    let mut run = run(3);
    let title = |run: &RunSnapshot| screen(run, &state(), 120, 24)[0].clone();
    run.faults[1].state = FaultState::Active;
    assert!(title(&run).contains("now: kill consumer 3"));
    run.faults[1].state = FaultState::Over;
    assert!(title(&run).contains("no more faults"));
    run.faults.clear();
    assert!(!title(&run).contains("fault"));
    let early = ViewState { elapsed: 2 * S, ..state() };
    assert!(screen(&run, &early, 80, 24)[0].contains("warmup 2/35 s"));
    let frozen = ViewState { is_frozen: true, is_stopping: true, ..state() };
    let lines = screen(&run, &frozen, 80, 24);
    assert!(lines[0].contains("stopping") && lines[0].contains("FROZEN"), "{}", lines[0]);
}

#[test]
fn what_is_said_has_the_last_line_and_a_small_terminal_is_told() {
    let said = Some("interrupted: stopping and saving results".to_owned());
    let lines = screen(&run(3), &ViewState { said, ..state() }, 80, 24);
    assert_eq!(lines[23], "interrupted: stopping and saving results");
    let small = screen(&run(3), &state(), 30, 8).join("\n");
    assert!(small.contains("needs a terminal of 40 x 12"), "{small}");
    let before = RunSnapshot { has_begun: false, phase: "starting consumers".to_owned(), ..run(3) };
    assert!(screen(&before, &state(), 80, 24)[0].contains("starting consumers …"));
}

#[test]
fn the_stages_of_the_load_are_a_band_that_is_as_wide_as_the_terminal() {
    let stage = |name: &str, from: u32, to: u32| StageSnapshot {
        name: name.to_owned(),
        from: from * S,
        to: to * S,
    };
    let mut run = run(18);
    run.stages = vec![
        stage("morning", 5, 15),
        stage("rush hour", 15, 30),
        stage("spike", 30, 31),
        stage("evening of a long day", 31, 35),
    ];
    for width in [60, 80, 200] {
        let lines = screen(&run, &state(), width, 24);
        let band = &lines[1];
        assert!(band.starts_with("│morning"), "{band}");
        assert!(band.contains("▶rush hour 1/15 s") && band.contains("│ev"), "{band}");
        assert!(band.chars().count() <= usize::from(width), "{band}");
        // The figures are complete as well.
        assert!(
            lines[2].contains("p50 12.3 s") && lines[2].contains("lag 123,456,789"),
            "{lines:?}"
        );
    }
    let many = RunSnapshot { stages: (0..100).map(|id| stage("one", id, id + 1)).collect(), ..run };
    assert!(screen(&many, &state(), 80, 24)[1].chars().count() <= 80);
}
