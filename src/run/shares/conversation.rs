//! What a process knows of the others: a pure machine that is given messages and the time.
//!
//! Share 1 takes or refuses the others, and decides the start. Every process tells how far it has come, and each waits
//! for all others, but for those that were not heard of for too long.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::clock_offset::{ClockOffset, ClockReading};
use super::message::{Envelope, Message, SharePhase};
use crate::base::{Offset, PartitionId, RunId, Share, Time};

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(1);
/// Between two questions for the time, as long as the clock is not set.
const ASK: Duration = Duration::from_millis(50);
/// A process that was not heard of for this time is lost: ten signs of life.
pub(super) const SILENCE: Duration = Duration::from_secs(10);
/// Bytes of what was measured in one record: brokers take a million.
const PIECE: usize = 512 * 1024;
/// Pieces that one process may tell: more stays in its directory.
const PIECES_MAX: usize = 64;

/// What a process is, for the others.
#[derive(Clone, Debug)]
pub(super) struct OwnIdentity {
    pub(super) share: Share,
    /// Drawn anew by each process; not 0.
    pub(super) process: u64,
    /// What all processes must have in common.
    pub(super) digest: String,
    /// The same for a reader.
    pub(super) scenario: String,
    /// The clock of the machine, and when the own epoch was on it.
    pub(super) clock: Option<ClockReading>,
    /// The run, if this is share 1.
    pub(super) run: RunId,
}

/// Another process.
#[derive(Clone, Debug, Default)]
struct Peer {
    process: u64,
    phase: SharePhase,
    heard: Time,
    /// What it has told of its part.
    pieces: Vec<Option<Vec<u8>>>,
}

/// See the module's documentation. All times are those of the own clock, but for the start.
pub(super) struct Conversation {
    own: OwnIdentity,
    /// The process of share 1, once it has taken this one.
    session: Option<u64>,
    /// The run's id, likewise.
    run: Option<RunId>,
    phase: SharePhase,
    peers: BTreeMap<u32, Peer>,
    offset: ClockOffset,
    start: Option<Time>,
    stop: Option<String>,
    refused: Option<String>,
    /// Whether share 1 has refused a process: those that come later are to be told why.
    has_refused: bool,
    /// What others have told of their partitions.
    positions: BTreeMap<PartitionId, (Offset, Offset)>,
    progress: BTreeMap<PartitionId, Offset>,
    /// What the own consumers have come to.
    own_progress: BTreeMap<PartitionId, Offset>,
    outbox: VecDeque<Vec<u8>>,
    speaks_at: Time,
}

impl Conversation {
    pub(super) fn new(own: OwnIdentity, now: Time) -> Conversation {
        let is_first = own.share.is_first();
        Conversation {
            session: is_first.then_some(own.process),
            run: is_first.then_some(own.run),
            offset: if is_first { ClockOffset::same(0) } else { ClockOffset::default() },
            own,
            phase: SharePhase::Joined,
            peers: BTreeMap::new(),
            start: None,
            stop: None,
            refused: None,
            has_refused: false,
            positions: BTreeMap::new(),
            progress: BTreeMap::new(),
            own_progress: BTreeMap::new(),
            outbox: VecDeque::new(),
            speaks_at: now,
        }
    }

    /// Whether something is to be said.
    pub(super) fn is_due(&self, now: Time) -> bool {
        now >= self.speaks_at
    }

    /// Says what is due. To be called every few milliseconds.
    pub(super) fn speak(&mut self, now: Time) {
        if !self.is_due(now) {
            return;
        }
        let asks = self.asks();
        let hurry = self.session.is_some() && asks && !self.offset.is_set();
        self.speaks_at = now + if hurry { ASK } else { BEAT };
        let message = match self.session {
            None => Message::Hello {
                digest: self.own.digest.clone(),
                scenario: self.own.scenario.clone(),
            },
            Some(_) => Message::Beat {
                phase: self.phase,
                asks: asks.then_some(now.0),
                progress: self.own_progress.clone(),
            },
        };
        self.say(message);
    }

    /// Whether share 1 is to be asked for the time.
    fn asks(&self) -> bool {
        !self.own.share.is_first() && !self.offset.is_same()
    }

    fn say(&mut self, message: Message) {
        self.say_with(message, &[]);
    }

    fn say_with(&mut self, message: Message, bytes: &[u8]) {
        let (share, process) = (self.own.share, self.own.process);
        let envelope = Envelope { session: self.session.unwrap_or(0), share, process, message };
        self.outbox.push_back(envelope.written(bytes));
    }

    /// The next record to be written.
    pub(super) fn next_record(&mut self) -> Option<Vec<u8>> {
        self.outbox.pop_front()
    }

    /// Puts a record back that could not be written.
    pub(super) fn put_back(&mut self, record: Vec<u8>) {
        self.outbox.push_front(record);
    }

    /// Takes a record of the control topic. What is not for this process, or of an earlier run, changes nothing.
    pub(super) fn receive(&mut self, record: &[u8], now: Time) {
        let Some((envelope, bytes)) = Envelope::read(record) else { return };
        let Envelope { session, share, process, message } = envelope;
        if process == self.own.process {
            return;
        }
        if let Message::Hello { digest, scenario } = &message {
            if self.own.share.is_first() {
                self.answer_hello(share, process, (digest, scenario), now);
            }
            return;
        }
        let me = (self.own.share.number, self.own.process);
        match &message {
            Message::Welcome { to, run, clock } if *to == me => {
                return self.welcome(session, process, *run, clock.as_ref(), now);
            }
            Message::Refused { to, why } if *to == me => {
                self.refused.get_or_insert_with(|| why.clone());
                return;
            }
            _ => {}
        }
        if self.session != Some(session) || share.count != self.own.share.count {
            return;
        }
        let peer = self.peers.entry(share.number).or_default();
        if peer.process == 0 {
            peer.process = process;
        }
        if peer.process != process {
            return;
        }
        peer.heard = now;
        self.heed(share, message, bytes, now);
    }

    /// What a process of the same run says.
    fn heed(&mut self, share: Share, message: Message, bytes: &[u8], now: Time) {
        let Some(peer) = self.peers.get_mut(&share.number) else { return };
        match message {
            Message::Beat { phase, asks, progress } => {
                peer.phase = peer.phase.max(phase);
                self.progress.extend(progress);
                if let (true, Some(asked)) = (self.own.share.is_first(), asks) {
                    let (received, answered) = (now.0, now.0);
                    self.say(Message::Answer { to: share.number, asked, received, answered });
                }
            }
            Message::Answer { to, asked, received, answered } if to == self.own.share.number => {
                self.offset.add_round((asked, now.0), (received, answered));
            }
            Message::Start { at } => self.start = self.start.or(Some(at)),
            Message::Positions { positions } => self.positions.extend(positions),
            Message::Piece { number, of } if of <= PIECES_MAX && number < of => {
                peer.pieces.resize(of, None);
                peer.pieces[number] = Some(bytes.to_vec());
            }
            Message::Stop { why } => {
                self.stop.get_or_insert(why);
            }
            _ => {}
        }
    }

    /// Share 1 takes a process, or says why not.
    fn answer_hello(&mut self, share: Share, process: u64, its: (&str, &str), now: Time) {
        let to = (share.number, process);
        // A process that comes later does not read what was said before it was taken.
        if let Some(why) = self.stop.clone() {
            return self.say(Message::Refused { to, why });
        }
        if let Some(why) = self.why_not(share, process, its) {
            self.has_refused = true;
            // A second process of one share is that process's mistake; all else is one of the run.
            if !self.peers.contains_key(&share.number) {
                self.stop(&why);
            }
            return self.say(Message::Refused { to, why });
        }
        let peer = self.peers.entry(share.number).or_default();
        (peer.process, peer.heard) = (process, now);
        let clock = self.own.clock.as_ref().map(|it| (it.machine.clone(), it.epoch_ns));
        let run = self.own.run.0;
        self.say(Message::Welcome { to, run, clock });
    }

    fn why_not(&self, share: Share, process: u64, its: (&str, &str)) -> Option<String> {
        let (digest, scenario) = its;
        let own = &self.own;
        if share.count != own.share.count {
            return Some(format!(
                "share {} was started as {share}, and share 1 as {}; start all with the same count",
                share.number, own.share
            ));
        }
        if digest != own.digest {
            return Some(format!(
                "share {} has another scenario than share 1 ({scenario}; share 1: {}); give all shares the same file, \
                 --set, --seed, --client and version",
                share.number, own.scenario
            ));
        }
        let known = self.peers.get(&share.number).map(|peer| peer.process);
        let is_other = share.is_first() || known.is_some_and(|known| known != process);
        is_other.then(|| {
            format!(
                "another process is share {} already; give each process a number of its own, from 1/{n} to {n}/{n}",
                share.number,
                n = share.count
            )
        })
    }

    fn welcome(
        &mut self,
        session: u64,
        first: u64,
        run: u64,
        clock: Option<&(String, i64)>,
        now: Time,
    ) {
        if self.session.is_some() {
            return;
        }
        (self.session, self.run) = (Some(session), Some(RunId(run)));
        self.peers.insert(1, Peer { process: first, heard: now, ..Peer::default() });
        if let (Some(own), Some((machine, epoch_ns))) = (&self.own.clock, clock)
            && own.machine == *machine
        {
            // The one whose epoch is earlier shows more.
            self.offset = ClockOffset::same(own.epoch_ns - epoch_ns).within(own.bound_ns);
        }
        self.speaks_at = now;
    }

    /// The run, once share 1 has taken this process and the clock is set.
    pub(super) fn joined(&self) -> Option<RunId> {
        self.run.filter(|_| self.offset.is_set())
    }

    /// What the own clock is against that of share 1.
    pub(super) fn offset(&self) -> &ClockOffset {
        &self.offset
    }

    /// The clock was set by what is known of it: from now on, what is left is measured.
    pub(super) fn clock_is_set(&mut self) {
        self.offset.take();
    }

    /// This process has come to `phase`.
    pub(super) fn reach(&mut self, phase: SharePhase, now: Time) {
        self.phase = self.phase.max(phase);
        self.speaks_at = now;
    }

    /// Next offsets to process of the own consumers, to be told with the next sign of life.
    pub(super) fn set_progress(&mut self, progress: BTreeMap<PartitionId, Offset>) {
        self.own_progress = progress;
    }

    /// The same of others, as they have told.
    pub(super) fn progress(&self) -> &BTreeMap<PartitionId, Offset> {
        &self.progress
    }

    /// Share 1 decides the start.
    pub(super) fn decide_start(&mut self, at: Time) {
        self.start = Some(at);
        self.say(Message::Start { at });
    }

    /// The start of the load, in the time of the run.
    pub(super) fn start(&self) -> Option<Time> {
        self.start
    }

    /// Tells where the own consumers have come to.
    pub(super) fn tell_positions(&mut self, positions: BTreeMap<PartitionId, (Offset, Offset)>) {
        self.say(Message::Positions { positions });
    }

    /// Where the consumers of others have come to.
    pub(super) fn positions(&self) -> BTreeMap<PartitionId, (Offset, Offset)> {
        self.positions.clone()
    }

    /// Tells the own part. False when it is too large for the topic.
    pub(super) fn tell_part(&mut self, part: &[u8]) -> bool {
        let of = part.len().div_ceil(PIECE);
        if of > PIECES_MAX {
            return false;
        }
        for (number, piece) in part.chunks(PIECE).enumerate() {
            self.say_with(Message::Piece { number, of }, piece);
        }
        true
    }

    /// Parts that others have told as a whole.
    pub(super) fn parts(&self) -> Vec<Vec<u8>> {
        let whole = |peer: &Peer| {
            let pieces: Option<Vec<&[u8]>> =
                peer.pieces.iter().map(|piece| piece.as_deref()).collect();
            pieces.filter(|pieces| !pieces.is_empty()).map(|pieces| pieces.concat())
        };
        self.peers.values().filter_map(whole).collect()
    }

    /// Asks all others to end, and says why.
    pub(super) fn stop(&mut self, why: &str) {
        if self.stop.is_none() {
            let why = format!("share {} has ended the run: {why}", self.own.share.number);
            self.stop = Some(why.clone());
            self.say(Message::Stop { why });
        }
    }

    /// Why the run is to end now, if it is.
    pub(super) fn stopped(&self) -> Option<&str> {
        self.stop.as_deref()
    }

    /// Whether share 1 has not taken a process.
    pub(super) fn has_refused(&self) -> bool {
        self.has_refused
    }

    /// Why share 1 does not take this process.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Whether share 1 has come to `phase`.
    pub(super) fn first_has(&self, phase: SharePhase) -> bool {
        self.own.share.is_first() || self.peers.get(&1).is_some_and(|first| first.phase >= phase)
    }

    /// Processes that have not come to `phase`, but for those that have left already or were not heard of for too long.
    pub(super) fn waits_for(&self, phase: SharePhase, now: Time) -> Vec<u32> {
        let lost = self.lost(now);
        let others = Share::all(self.own.share.count).map(|share| share.number);
        let others = others.filter(|number| *number != self.own.share.number);
        let has_come =
            |number: &u32| self.peers.get(number).is_some_and(|peer| peer.phase >= phase);
        others.filter(|number| !has_come(number) && !lost.contains_key(number)).collect()
    }

    /// Processes that were heard of, and then not for too long, each with what is known.
    pub(super) fn lost(&self, now: Time) -> BTreeMap<u32, String> {
        let silent = |(number, peer): (&u32, &Peer)| {
            let silence = now.remaining(peer.heard);
            (silence > SILENCE && peer.phase < SharePhase::Told).then(|| {
                let why = format!("it was not heard of for {} s", silence.as_secs());
                (*number, why)
            })
        };
        self.peers.iter().filter_map(silent).collect()
    }

    /// Processes that were never heard of.
    pub(super) fn unheard(&self) -> Vec<Share> {
        let others = Share::all(self.own.share.count).filter(|share| *share != self.own.share);
        others.filter(|share| !self.peers.contains_key(&share.number)).collect()
    }

    /// Whether nothing waits to be written.
    pub(super) fn has_said_all(&self) -> bool {
        self.outbox.is_empty()
    }
}

#[cfg(test)]
mod tests;
