//! The terminal while the live view owns it. It is restored at every end of the run, and other texts for stderr are
//! held back.

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

/// True while the view owns the terminal.
static IS_ON: AtomicBool = AtomicBool::new(false);
static SCREEN: Mutex<Option<Screen>> = Mutex::new(None);
static HELD: Mutex<HeldText> = Mutex::new(HeldText { text: String::new(), lost: 0 });

/// Largest number of bytes of texts that are held back. Lines of the log are in its file as well.
const HELD_MAX: usize = 64 * 1024;
/// Number of attempts to get the terminal from a frame that is being drawn. After that it is restored during the frame.
const TRIES: u32 = 50;
const TRY_PAUSE: Duration = Duration::from_millis(2);

/// Texts that were held back while the view owned the terminal.
struct HeldText {
    text: String,
    lost: usize,
}

fn held() -> MutexGuard<'static, HeldText> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True if stderr is a terminal that can be drawn on, and this process is in the foreground.
pub(super) fn is_possible() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|kind| kind == "dumb" || kind.is_empty());
    stderr().is_terminal() && !is_dumb && is_in_front()
}

/// True if this process is in the foreground. The system stops a background process that changes its terminal.
#[cfg(unix)]
fn is_in_front() -> bool {
    rustix::termios::tcgetpgrp(stderr()).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// False, because other systems were not tested.
#[cfg(not(unix))]
fn is_in_front() -> bool {
    false
}

/// Takes over the terminal.
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

/// Draws a frame. False if the terminal was restored, or cannot be written to any more.
pub(super) fn draw(frame: impl FnOnce(&mut Frame<'_>)) -> bool {
    let mut screen = SCREEN.lock().unwrap_or_else(PoisonError::into_inner);
    match &mut *screen {
        Some(screen) if IS_ON.load(Ordering::Acquire) => screen.draw(frame).is_ok(),
        _ => false,
    }
}

/// Restores the terminal if a view owns it, and prints the texts that were held back. Any thread may call it, even one
/// that panics while it draws.
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
    // A stderr that cannot be written to does not stop a run.
    let _ = anstream::stderr().write_all(text.as_bytes());
    if lost > 0 {
        let _ = writeln!(anstream::stderr(), "… and {lost} bytes more, which found no room");
    }
}

/// Holds back a text while the view owns the terminal. False if it does not.
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

/// The last line that was held back.
pub(super) fn last_held() -> Option<String> {
    let held = held();
    let line = held.text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(anstream::adapter::strip_str(line).to_string())
}
