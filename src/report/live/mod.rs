//! The live view of a run on a terminal: drawn a few times a second from the latest snapshot, on a thread of its own.

mod cells;
mod layout;
mod screen;
mod stage_band;
#[cfg(test)]
mod tests;
mod view_state;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::Duration;

use ratatui::crossterm::event::{
    self, Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
};

use self::view_state::ViewState;
use super::follower::LatestSnapshot;
use super::snapshot::RunSnapshot;
use crate::base::{Clock, Time};

pub(super) use self::screen::hold;
pub use self::screen::leave_screen;

/// Time between two frames, unless a key is pressed.
const FRAME: Duration = Duration::from_millis(200);

/// A live view, which owns the terminal until it is dropped.
#[derive(Debug)]
pub(super) struct LiveView {
    is_over: Arc<AtomicBool>,
}

impl LiveView {
    /// Starts the view; `None` if stderr is no terminal that can be drawn on. `stop` ends the run like Ctrl-C.
    pub(super) fn start(latest: LatestSnapshot, stop: fn()) -> Option<LiveView> {
        if !screen::is_possible() {
            return None;
        }
        screen::enter().ok()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let its_end = is_over.clone();
        let drawing = Drawing::new(latest, stop);
        let spawned =
            Builder::new().name("live-view".to_owned()).spawn(move || drawing.run(&its_end));
        if spawned.is_err() {
            leave_screen();
            return None;
        }
        Some(LiveView { is_over })
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // The thread ends after its frame. The terminal is restored without waiting for it.
        leave_screen();
    }
}

/// The state of the view's thread.
struct Drawing {
    latest: LatestSnapshot,
    stop: fn(),
    clock: Clock,
    shown: Arc<RunSnapshot>,
    /// Time at which the current interval was first seen.
    seen_at: Time,
    state: ViewState,
}

impl Drawing {
    fn new(latest: LatestSnapshot, stop: fn()) -> Drawing {
        let has_colours = !matches!(
            anstream::AutoStream::choice(&std::io::stderr()),
            anstream::ColorChoice::Never
        );
        let shown = latest.get();
        let state = ViewState { has_colours, ..ViewState::default() };
        Drawing { latest, stop, clock: Clock::start(), shown, seen_at: Time::ZERO, state }
    }

    fn run(mut self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Acquire) {
            self.look();
            let (state, shown) = (&self.state, &self.shown);
            if !screen::draw(|frame| layout::draw(frame, shown, state)) {
                return;
            }
            self.next_key();
        }
    }

    /// Gets the latest snapshot.
    fn look(&mut self) {
        let now = self.clock.now();
        self.state.said = screen::last_held();
        if self.state.is_frozen {
            return;
        }
        let latest = self.latest.get();
        if latest.last.elapsed != self.shown.last.elapsed
            || latest.has_begun != self.shown.has_begun
        {
            self.seen_at = now;
        }
        self.shown = latest;
        if self.shown.has_begun {
            self.state.elapsed = self.shown.last.elapsed + now.remaining(self.seen_at);
        }
    }

    /// Waits until the next frame is due or a key is pressed, whose effect is shown at once.
    fn next_key(&mut self) {
        match event::poll(FRAME) {
            Ok(true) => {
                if let Ok(Input::Key(key)) = event::read()
                    && key.kind != KeyEventKind::Release
                {
                    self.key(key);
                }
            }
            Ok(false) => {}
            // Without key events, frames are drawn as usual.
            Err(_) => std::thread::sleep(FRAME),
        }
    }

    fn key(&mut self, key: KeyEvent) {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            // In raw mode, Ctrl-C is a key like others. A second one ends the process, as without the view.
            KeyCode::Char('c') if is_control => (self.stop)(),
            KeyCode::Char('q') if !self.state.is_stopping => {
                self.state.is_stopping = true;
                (self.stop)();
            }
            KeyCode::Char('s') => self.state.sort = self.state.sort.next(),
            KeyCode::Char('f' | ' ') => self.state.is_frozen = !self.state.is_frozen,
            _ => {}
        }
    }
}
