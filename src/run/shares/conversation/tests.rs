//! Conversations that exchange their records, each with its own clock.

use super::*;

const S: i64 = 1_000_000_000;

fn identity(number: u32, process: u64, digest: &str, machine: Option<&str>) -> OwnIdentity {
    let clock = machine.map(|machine| ClockReading {
        machine: machine.to_owned(),
        epoch_ns: i64::from(number) * S,
        bound_ns: 5,
    });
    OwnIdentity {
        share: Share { number, count: 3 },
        process,
        digest: digest.to_owned(),
        scenario: format!("`test`, seed {digest}"),
        clock,
        run: RunId(77),
    }
}

/// Processes whose messages arrive at once. Process `n` was started `n` seconds late.
struct Processes(Vec<(i64, Conversation)>);

impl Processes {
    fn of(identities: Vec<OwnIdentity>) -> Processes {
        let all = identities.into_iter().map(|own| {
            let late = i64::from(own.share.number) * S;
            (late, Conversation::new(own, Time::ZERO))
        });
        Processes(all.collect())
    }

    /// Lets time pass until `to`, on a clock that no process has.
    fn run(&mut self, from: i64, to: i64) {
        for at in (from..to).step_by(10_000_000) {
            let mut said = Vec::new();
            for (late, one) in &mut self.0 {
                one.speak(Time(at - *late));
                while let Some(record) = one.next_record() {
                    said.push(record);
                }
            }
            for record in said {
                for (late, one) in &mut self.0 {
                    one.receive(&record, Time(at - *late));
                }
            }
        }
    }

    fn at(&mut self, number: usize) -> &mut Conversation {
        &mut self.0[number - 1].1
    }
}

#[test]
fn processes_of_one_machine_and_of_another_join_and_agree_on_the_clock() {
    let mut all = Processes::of(vec![
        identity(1, 11, "a", Some("one")),
        identity(2, 12, "a", Some("one")),
        identity(3, 13, "a", Some("other")),
    ]);
    all.run(10 * S, 12 * S);
    for number in 1..=3 {
        assert_eq!(all.at(number).joined(), Some(RunId(77)), "share {number}");
        assert!(all.at(number).unheard().is_empty() && all.at(number).stopped().is_none());
    }
    // Share 1 was started one second before share 2, and two before share 3.
    assert_eq!(
        (all.at(2).offset().is_same(), all.at(2).offset().other_less_own_ns()),
        (true, (S, 5))
    );
    let (more, bound) = all.at(3).offset().other_less_own_ns();
    assert!(!all.at(3).offset().is_same() && (more - 2 * S).abs() <= bound, "{more} {bound}");
}

#[test]
fn a_share_with_another_scenario_ends_the_run_and_is_named() {
    let mut all = Processes::of(vec![
        identity(1, 11, "a", None),
        identity(2, 12, "a", None),
        identity(3, 13, "b", None),
    ]);
    all.run(10 * S, 12 * S);
    let refused = all.at(3).refused().expect("refused").to_owned();
    assert!(refused.contains("share 3 has another scenario than share 1"), "{refused}");
    for number in 1..=2 {
        let stopped = all.at(number).stopped().expect("stopped").to_owned();
        assert!(stopped.contains("share 3 has another scenario"), "{stopped}");
    }
}

#[test]
fn a_second_process_of_a_share_is_refused_and_disturbs_no_other() {
    let mut all = Processes::of(vec![
        identity(1, 11, "a", None),
        identity(2, 12, "a", None),
        identity(3, 13, "a", None),
    ]);
    all.run(10 * S, 12 * S);
    all.0.push((2 * S, Conversation::new(identity(2, 99, "a", None), Time(10 * S))));
    all.run(12 * S, 14 * S);
    let refused = all.at(4).refused().expect("refused").to_owned();
    assert!(refused.contains("another process is share 2 already"), "{refused}");
    assert_eq!(all.at(1).stopped(), None);
    assert_eq!(all.at(2).refused(), None);
}

#[test]
fn a_process_that_is_not_heard_of_is_lost_and_not_waited_for() {
    let mut all =
        Processes::of((1..=3).map(|it| identity(it, 10 + u64::from(it), "a", None)).collect());
    all.run(10 * S, 12 * S);
    for number in 1..=3 {
        all.at(number).reach(SharePhase::Sent, Time(12 * S));
    }
    let silent = all.0.pop().expect("share 3");
    all.run(12 * S, 15 * S);
    // Its last message before the silence did not have the phase.
    let now = Time(15 * S - S);
    assert_eq!(all.at(1).waits_for(SharePhase::Sent, now), [3]);
    all.run(15 * S, 26 * S);
    let now = Time(26 * S - S);
    assert!(all.at(1).waits_for(SharePhase::Sent, now).is_empty());
    assert_eq!(all.at(1).lost(now).keys().copied().collect::<Vec<_>>(), [3]);
    drop(silent);
}

#[test]
fn a_part_is_put_together_from_its_pieces_and_one_that_is_too_large_is_not_told() {
    let mut all =
        Processes::of((1..=3).map(|it| identity(it, 10 + u64::from(it), "a", None)).collect());
    all.run(10 * S, 12 * S);
    let part: Vec<u8> = (0..PIECE * 2 + 7).map(|k| (k % 251) as u8).collect();
    assert!(all.at(2).tell_part(&part));
    assert!(!all.at(3).tell_part(&vec![0; PIECE * PIECES_MAX + 1]));
    all.run(12 * S, 13 * S);
    assert_eq!(all.at(1).parts(), [part]);
}

#[test]
fn what_is_of_an_earlier_run_or_of_another_program_changes_nothing() {
    let mut one = Conversation::new(identity(1, 11, "a", None), Time::ZERO);
    let share = Share { number: 2, count: 3 };
    let message = Message::Stop { why: "long ago".to_owned() };
    one.receive(&Envelope { session: 5, share, process: 7, message }.written(&[]), Time(1));
    one.receive(b"\n", Time(1));
    one.receive(b"{}\n", Time(1));
    assert_eq!((one.stopped(), one.unheard().len()), (None, 2));
}
