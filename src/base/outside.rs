//! Access to the world outside of this process: text and files from there, and changes that a run makes there.
//!
//! * Text from outside, such as names of files or texts of a stored result, is escaped for the terminal.
//! * Files must be regular ones of a limited size, so that reading always ends.
//! * Each change outside is listed before it is made, until it is undone.
//!
//! Also panics of the user's code: a handler that panics is a failure of its consumer, and no bug of this program.

use std::any::Any;
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::format_bytes;

/// Replaces characters that a terminal does not show as such by escapes such as `\u{1b}` and `\n`. These are control
/// characters, line feeds, bidirectional controls, and invisible characters.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_shown(c) { out.push(c) } else { out.extend(c.escape_debug()) }
    }
    Cow::Owned(out)
}

/// The path with escapes, for messages.
pub fn printable_path(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// True if a terminal shows the character and does nothing else.
fn is_shown(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // An accent is shown on the character before it.
    let mut buffer = [b'a'; 5];
    let length = 1 + c.encode_utf8(&mut buffer[1..]).len();
    str::from_utf8(&buffer[..length]).is_ok_and(|text| text.escape_debug().nth(1) == Some(c))
}

/// The reason why a file is not read.
#[derive(Debug)]
pub enum FileError {
    /// The file does not exist.
    Missing,
    /// The path is not that of a regular file, but of this kind of file.
    NotRegular(&'static str),
    /// The file has more bytes than this limit.
    TooLarge(u64),
    /// The operating system returned an error.
    Refused(io::Error),
}

/// The bytes of a regular file of at most `bytes_max`. Never blocks on a pipe or a device.
///
/// # Errors
/// The file is missing, larger, not readable, a directory, a pipe, a socket or a device.
pub fn read_regular(path: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError> {
    let file = open_up_to(path, bytes_max)?;
    let mut bytes = Vec::new();
    // Some files report no length before they are read, and others grow meanwhile.
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(FileError::TooLarge(bytes_max));
    }
    Ok(bytes)
}

/// Opens a regular file of any size. Never blocks on a pipe or a device.
///
/// # Errors
/// The file is missing, not readable, a directory, a pipe, a socket or a device.
pub fn open_regular(path: &Path) -> Result<File, FileError> {
    open_up_to(path, u64::MAX)
}

fn open_up_to(path: &Path, bytes_max: u64) -> Result<File, FileError> {
    // Opening a pipe would block until its other end is opened, so the kind is checked before. The second check finds a
    // file that was replaced in between.
    check(&std::fs::metadata(path)?, bytes_max)?;
    let file = File::open(path)?;
    check(&file.metadata()?, bytes_max)?;
    Ok(file)
}

/// Checks that a path can be written as a file: it is a regular file, or does not exist.
///
/// # Errors
/// The path is of another kind, for example a pipe, whose opening would block.
pub fn require_regular(path: &Path) -> Result<(), FileError> {
    match std::fs::metadata(path) {
        Ok(metadata) => check(&metadata, u64::MAX),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn check(metadata: &Metadata, bytes_max: u64) -> Result<(), FileError> {
    if !metadata.is_file() {
        return Err(FileError::NotRegular(kind(metadata)));
    }
    if metadata.len() > bytes_max {
        return Err(FileError::TooLarge(bytes_max));
    }
    Ok(())
}

#[cfg(unix)]
fn kind(metadata: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

#[cfg(not(unix))]
fn kind(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() { "a directory" } else { "a device" }
}

impl FileError {
    /// True if the file does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, FileError::Missing)
    }

    /// The remedy.
    pub fn remedy(&self) -> &'static str {
        match self {
            FileError::NotRegular("a directory") => "give the path of a file in it",
            FileError::NotRegular(_) => {
                "give the path of a file; write what a command prints to one first"
            }
            FileError::Missing | FileError::TooLarge(_) => "check the path",
            FileError::Refused(error) => refusal(error).1,
        }
    }
}

/// The reason for an error of the operating system, if it is known, and a remedy.
fn refusal(error: &io::Error) -> (Option<&'static str>, &'static str) {
    match error.kind() {
        ErrorKind::PermissionDenied => (
            Some("no permission"),
            "run it as a user who may read the file and search its directories, or change their permissions",
        ),
        ErrorKind::InvalidFilename => (Some("its name is too long"), "check the path"),
        ErrorKind::NotADirectory => {
            (Some("a part of its path is a file, not a directory"), "check the path")
        }
        ErrorKind::InvalidInput => (Some("its name has a zero byte"), "check the path"),
        _ if is_loop(error) => (
            Some("its links lead in a circle"),
            "check where they lead with `ls -l`, or give the path of the file itself",
        ),
        _ => (None, "check the path and the disk it is on"),
    }
}

#[cfg(unix)]
fn is_loop(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::LOOP)
}

#[cfg(not(unix))]
fn is_loop(_: &io::Error) -> bool {
    false
}

impl std::error::Error for FileError {}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> FileError {
        match error.kind() {
            ErrorKind::NotFound => FileError::Missing,
            _ => FileError::Refused(error),
        }
    }
}

impl fmt::Display for FileError {
    /// The reason, as the end of the sentence `the file cannot be read: `.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::Missing => f.write_str("there is no such file"),
            FileError::NotRegular(kind) => write!(f, "it is {kind}, not a regular file"),
            FileError::TooLarge(bytes_max) => {
                write!(
                    f,
                    "it is larger than {}, the limit for such a file",
                    format_bytes(*bytes_max)
                )
            }
            FileError::Refused(error) => match refusal(error).0 {
                Some(why) => f.write_str(why),
                None => write!(f, "{error}"),
            },
        }
    }
}

/// Changes that are not undone yet, each with a remedy for the user if the run cannot undo it. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Leftovers(Arc<Mutex<BTreeMap<String, String>>>);

impl Leftovers {
    /// Lists a change before it is made. `what` describes it.
    pub fn add(&self, what: impl Into<String>, remedy: impl Into<String>) {
        self.lock().insert(what.into(), remedy.into());
    }

    /// Removes a change that was undone, or was not made.
    pub fn remove(&self, what: &str) {
        self.lock().remove(what);
    }

    /// Adds the reason why a listed change could not be undone.
    pub fn explain(&self, what: &str, why: &str) {
        if let Some(remedy) = self.lock().get_mut(what) {
            *remedy = format!("{why}; {remedy}");
        }
    }

    /// The listed changes, one line each.
    pub fn lines(&self) -> Vec<String> {
        self.lock().iter().map(|(what, remedy)| format!("{what}: {remedy}")).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    static IN_HANDLER: Cell<bool> = const { Cell::new(false) };
}

/// Calls a user's handler, or code in its place, and catches a panic.
///
/// # Errors
/// The payload of the handler's panic.
pub fn in_handler<T>(call: impl FnOnce() -> T) -> std::thread::Result<T> {
    IN_HANDLER.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(call));
    IN_HANDLER.set(false);
    outcome
}

/// True if this thread is in a handler. For a panic hook, which runs before the panic is caught.
pub fn is_in_handler() -> bool {
    IN_HANDLER.get()
}

/// The text of a panic; `None` if its payload is no text.
pub fn panic_text(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_stays_and_what_is_obeyed_is_written_out() {
        for text in ["", "lost = 0", "a \"b\" \\ 'c'", "größer → 5 µs", "क्षेत्र", "▲ ░▒█ ✓"]
        {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text}");
        }
        assert_eq!(printable("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(printable("a\nPASSED\r\t\u{7f}\u{0}"), "a\\nPASSED\\r\\t\\u{7f}\\0");
        assert_eq!(printable("\u{9b}2J"), "\\u{9b}2J");
        for c in
            ["\u{202e}", "\u{2066}", "\u{200f}", "\u{feff}", "\u{200b}", "\u{2028}", "\u{e0041}"]
        {
            assert_eq!(printable(c), c.escape_unicode().to_string());
        }
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let file = tempfile::NamedTempFile::new().expect("a scratch file");
        std::fs::write(file.path(), b"12345").expect("a writable file");
        assert_eq!(read_regular(file.path(), 5).expect("a small file"), b"12345");
        let refused = read_regular(file.path(), 4).expect_err("a large file");
        assert_eq!(refused.to_string(), "it is larger than 4 B, the limit for such a file");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_not_a_file_is_named_and_not_waited_for() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let at = |name: &str| directory.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(at("pipe")).status();
        assert!(made.expect("`mkfifo` is there").success());
        std::os::unix::fs::symlink(at("one"), at("other")).expect("a link");
        std::os::unix::fs::symlink(at("other"), at("one")).expect("a link");
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("a socket");
        std::fs::write(at("file"), b"").expect("a writable directory");
        for (path, why) in [
            (at("pipe"), "it is a pipe, not a regular file"),
            (at("socket"), "it is a socket, not a regular file"),
            (at(""), "it is a directory, not a regular file"),
            ("/dev/zero".into(), "it is a device, not a regular file"),
            (at("one"), "its links lead in a circle"),
            (at(&"n".repeat(300)), "its name is too long"),
            (at("file/below"), "a part of its path is a file, not a directory"),
            (at("a\0b"), "its name has a zero byte"),
            (at("none"), "there is no such file"),
            // The file reports a length of 0, and has many bytes.
            ("/proc/self/maps".into(), "it is larger than 1 B, the limit for such a file"),
        ] {
            let refused = read_regular(&path, 1).expect_err("a refusal");
            assert_eq!(refused.to_string(), why);
            assert!(!refused.remedy().is_empty());
        }
    }

    #[test]
    fn what_is_taken_back_is_not_listed() {
        let leftovers = Leftovers::default();
        leftovers.clone().add("topic `a`", "delete it");
        leftovers.add("topic `b`", "delete it, too");
        leftovers.remove("topic `a`");
        leftovers.explain("topic `b`", "no answer");
        assert_eq!(leftovers.lines(), ["topic `b`: no answer; delete it, too"]);
    }

    #[test]
    fn a_thread_is_in_a_handler_until_it_returns_or_panics() {
        assert!(!is_in_handler());
        assert_eq!(in_handler(is_in_handler).ok(), Some(true));
        assert!(!is_in_handler());
        assert!(in_handler(|| std::panic::resume_unwind(Box::new(()))).is_err());
        assert!(!is_in_handler());
    }
}
