//! The knowledge that a process has of the others: a machine without input and output, which gets messages and the
//! time.
//!
//! Share 1 accepts or refuses the others, and decides the start. Every process sends its phase, and waits for the
//! phases of all others. A process that was silent for too long is not waited for.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::clock_offset::{ClockOffset, ClockReading};
use super::message::{Envelope, Message, SharePhase};
use crate::base::{Offset, PartitionId, RunId, Share, Time};

/// Time between two heartbeats.
const BEAT: Duration = Duration::from_secs(1);
/// Time between two requests for the time, until the clock is set.
const ASK: Duration = Duration::from_millis(50);
/// A process that was silent for this time is lost: ten heartbeats.
pub(super) const SILENCE: Duration = Duration::from_secs(10);
/// Bytes of a part in one record. Brokers accept about a million by default.
const PIECE: usize = 512 * 1024;
/// Largest number of pieces of a part. A larger part is only stored in the directory of its process.
const PIECES_MAX: usize = 64;

/// The identity of this process, for the others.
#[derive(Clone, Debug)]
pub(super) struct OwnIdentity {
    pub(super) share: Share,
    /// Random id of the process, not 0.
    pub(super) process: u64,
    /// Digest of what all processes must have in common.
    pub(super) digest: String,
    /// The same as a text for messages.
    pub(super) scenario: String,
    /// The clock of the machine, with the own epoch on it; `None` if the machine cannot be identified.
    pub(super) clock: Option<ClockReading>,
    /// The id of the run, if this is share 1.
    pub(super) run: RunId,
}

/// Another process.
#[derive(Clone, Debug, Default)]
struct Peer {
    process: u64,
    phase: SharePhase,
    heard: Time,
    /// The pieces of its part that have arrived.
    pieces: Vec<Option<Vec<u8>>>,
}

/// The knowledge that a process has of the others; see the module's documentation. All times but the start are on the
/// own clock.
pub(super) struct Conversation {
    own: OwnIdentity,
    /// The process id of share 1, once it has accepted this process.
    session: Option<u64>,
    /// The id of the run, once share 1 has accepted this process.
    run: Option<RunId>,
    phase: SharePhase,
    peers: BTreeMap<u32, Peer>,
    offset: ClockOffset,
    start: Option<Time>,
    stop: Option<String>,
    refused: Option<String>,
    /// True if share 1 has refused a process. The reason must then reach processes that join later.
    has_refused: bool,
    /// Bounds of the unread records of partitions that others read.
    positions: BTreeMap<PartitionId, (Offset, Offset)>,
    progress: BTreeMap<PartitionId, Offset>,
    /// Next offsets to process of the own consumers.
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

    /// True if a message is due.
    pub(super) fn is_due(&self, now: Time) -> bool {
        now >= self.speaks_at
    }

    /// Sends the message that is due, if one is. To be called every few milliseconds.
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

    /// True if the offset to the clock of share 1 is measured by messages.
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

    /// Removes the next record to be written; `None` if there is none.
    pub(super) fn next_record(&mut self) -> Option<Vec<u8>> {
        self.outbox.pop_front()
    }

    /// Puts back a record that could not be written.
    pub(super) fn put_back(&mut self, record: Vec<u8>) {
        self.outbox.push_front(record);
    }

    /// Handles a record of the control topic. Records for other processes or of earlier runs change nothing.
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

    /// Handles a message of a process of the same run.
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

    /// Accepts a process as share 1, or refuses it with the reason.
    fn answer_hello(&mut self, share: Share, process: u64, its: (&str, &str), now: Time) {
        let to = (share.number, process);
        // A process that joins later does not read earlier messages.
        if let Some(why) = self.stop.clone() {
            return self.say(Message::Refused { to, why });
        }
        if let Some(why) = self.why_not(share, process, its) {
            self.has_refused = true;
            // A second process with the same share number is refused alone. Every other reason ends the run.
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
            // A clock with an earlier epoch shows a later time.
            self.offset = ClockOffset::same(own.epoch_ns - epoch_ns).within(own.bound_ns);
        }
        self.speaks_at = now;
    }

    /// The id of the run, once share 1 has accepted this process and the clock is set.
    pub(super) fn joined(&self) -> Option<RunId> {
        self.run.filter(|_| self.offset.is_set())
    }

    /// The offset of the clock of share 1 from the own clock.
    pub(super) fn offset(&self) -> &ClockOffset {
        &self.offset
    }

    /// Notes that the clock was set by the measured offset. From now on the remaining offset is measured.
    pub(super) fn clock_is_set(&mut self) {
        self.offset.take();
    }

    /// Notes that this process has reached `phase`.
    pub(super) fn reach(&mut self, phase: SharePhase, now: Time) {
        self.phase = self.phase.max(phase);
        self.speaks_at = now;
    }

    /// Sets the next offsets to process of the own consumers, which the next heartbeat sends.
    pub(super) fn set_progress(&mut self, progress: BTreeMap<PartitionId, Offset>) {
        self.own_progress = progress;
    }

    /// The next offsets to process of the others, by their heartbeats.
    pub(super) fn progress(&self) -> &BTreeMap<PartitionId, Offset> {
        &self.progress
    }

    /// Sets the start of the load as share 1, and sends it to the others.
    pub(super) fn decide_start(&mut self, at: Time) {
        self.start = Some(at);
        self.say(Message::Start { at });
    }

    /// The start of the load, in the time of the run; `None` before share 1 has decided it.
    pub(super) fn start(&self) -> Option<Time> {
        self.start
    }

    /// Sends the bounds of the unread records of the own partitions.
    pub(super) fn tell_positions(&mut self, positions: BTreeMap<PartitionId, (Offset, Offset)>) {
        self.say(Message::Positions { positions });
    }

    /// The bounds of the unread records of partitions that others read.
    pub(super) fn positions(&self) -> BTreeMap<PartitionId, (Offset, Offset)> {
        self.positions.clone()
    }

    /// Sends the own part. False if it is too large for the topic.
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

    /// The parts of others that have arrived completely.
    pub(super) fn parts(&self) -> Vec<Vec<u8>> {
        let whole = |peer: &Peer| {
            let pieces: Option<Vec<&[u8]>> =
                peer.pieces.iter().map(|piece| piece.as_deref()).collect();
            pieces.filter(|pieces| !pieces.is_empty()).map(|pieces| pieces.concat())
        };
        self.peers.values().filter_map(whole).collect()
    }

    /// Ends the run for all processes, with the reason. Later calls change nothing.
    pub(super) fn stop(&mut self, why: &str) {
        if self.stop.is_none() {
            let why = format!("share {} has ended the run: {why}", self.own.share.number);
            self.stop = Some(why.clone());
            self.say(Message::Stop { why });
        }
    }

    /// The reason why the run is to end now; `None` if it is not.
    pub(super) fn stopped(&self) -> Option<&str> {
        self.stop.as_deref()
    }

    /// True if share 1 has refused a process.
    pub(super) fn has_refused(&self) -> bool {
        self.has_refused
    }

    /// The reason why share 1 has refused this process; `None` if it has not.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// True if share 1 has reached `phase`.
    pub(super) fn first_has(&self, phase: SharePhase) -> bool {
        self.own.share.is_first() || self.peers.get(&1).is_some_and(|first| first.phase >= phase)
    }

    /// Processes that have not reached `phase` and are not lost.
    pub(super) fn waits_for(&self, phase: SharePhase, now: Time) -> Vec<u32> {
        let lost = self.lost(now);
        let others = Share::all(self.own.share.count).map(|share| share.number);
        let others = others.filter(|number| *number != self.own.share.number);
        let has_come =
            |number: &u32| self.peers.get(number).is_some_and(|peer| peer.phase >= phase);
        others.filter(|number| !has_come(number) && !lost.contains_key(number)).collect()
    }

    /// Processes that have sent a message and then were silent for too long before their part was sent, each with a
    /// text.
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

    /// Processes that have sent no message.
    pub(super) fn unheard(&self) -> Vec<Share> {
        let others = Share::all(self.own.share.count).filter(|share| *share != self.own.share);
        others.filter(|share| !self.peers.contains_key(&share.number)).collect()
    }

    /// True if no record waits to be written.
    pub(super) fn has_said_all(&self) -> bool {
        self.outbox.is_empty()
    }
}

#[cfg(test)]
mod tests;
