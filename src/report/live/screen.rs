//! The terminal while the live view has it: entered once, left however the run ends, and kept from texts that others say.

use std::io::{BufWriter, IsTerminal, Stderr, Write, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal};

type Screen = Terminal<CrosstermBackend<BufWriter<Stderr>>>;

/// Whether the view has the terminal.
static IS_ON: AtomicBool = AtomicBool::new(false);
static SCREEN: Mutex<Option<Screen>> = Mutex::new(None);
static HELD: Mutex<HeldText> = Mutex::new(HeldText { text: String::new(), lost: 0 });

/// Bytes of texts that are held back while the view has the terminal; the lines of the log are in its file as well.
const HELD_MAX: usize = 64 * 1024;
/// Attempts to take the terminal from a frame that is being drawn, before the terminal is restored in the middle of it.
const TRIES: u32 = 50;
const TRY_PAUSE: Duration = Duration::from_millis(2);

/// Texts that were held back while the view had the terminal.
struct HeldText {
    text: String,
    lost: usize,
}

fn held() -> MutexGuard<'static, HeldText> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether stderr is a terminal that can be drawn on, and this process the one in front.
pub(super) fn is_possible() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|kind| kind == "dumb" || kind.is_empty());
    stderr().is_terminal() && !is_dumb && is_in_front()
}

/// A process in the background that changes its terminal is stopped by the system.
#[cfg(unix)]
fn is_in_front() -> bool {
    rustix::termios::tcgetpgrp(stderr()).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// No other system was tried.
#[cfg(not(unix))]
fn is_in_front() -> bool {
    false
}

/// Takes the terminal.
pub(super) fn enter() -> std::io::Result<()> {
    let screen = Terminal::new(CrosstermBackend::new(BufWriter::new(stderr())))?;
    enable_raw_mode()?;
    if let Err(error) = execute!(stderr(), EnterAlternateScreen, Hide) {
        let _ = disable_raw_mode();
        return Err(error);
    }
    *SCREEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(screen);
    IS_ON.store(true, Ordering::Release);
    Ok(())
}

/// Draws a frame. False when the terminal was left, or takes nothing any more.
pub(super) fn draw(frame: impl FnOnce(&mut Frame<'_>)) -> bool {
    let mut screen = SCREEN.lock().unwrap_or_else(PoisonError::into_inner);
    match &mut *screen {
        Some(screen) if IS_ON.load(Ordering::Acquire) => screen.draw(frame).is_ok(),
        _ => false,
    }
}

/// Gives the terminal back as it was, if a view has it, and says what was held back. Any thread may call it, also one that
/// panics while it draws.
pub fn leave_screen() {
    if !IS_ON.swap(false, Ordering::AcqRel) {
        return;
    }
    for _ in 0..TRIES {
        match SCREEN.try_lock() {
            Ok(mut screen) => {
                *screen = None;
                break;
            }
            Err(TryLockError::Poisoned(_)) => break,
            Err(TryLockError::WouldBlock) => std::thread::sleep(TRY_PAUSE),
        }
    }
    let _ = execute!(stderr(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
    let HeldText { text, lost } =
        std::mem::replace(&mut *held(), HeldText { text: String::new(), lost: 0 });
    // A stderr that takes nothing is no reason to stop a run.
    let _ = anstream::stderr().write_all(text.as_bytes());
    if lost > 0 {
        let _ = writeln!(anstream::stderr(), "… and {lost} bytes more, which found no room");
    }
}

/// Keeps a text until the terminal is free. False when it is.
pub(in crate::report) fn hold(text: &str) -> bool {
    if !IS_ON.load(Ordering::Acquire) {
        return false;
    }
    let mut held = held();
    match held.text.len() + text.len() <= HELD_MAX {
        true => held.text.push_str(text),
        false => held.lost += text.len(),
    }
    true
}

/// The last line that was said while the view had the terminal.
pub(super) fn last_held() -> Option<String> {
    let held = held();
    let line = held.text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(anstream::adapter::strip_str(line).to_string())
}
