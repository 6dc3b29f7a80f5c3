//! A user's command in a process group of its own, with a time limit.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::base::Clock;
use crate::scenario::known::VARIABLES;

/// Time between two checks whether a command has ended.
const LOOK: Duration = Duration::from_millis(10);

/// A command in the form in which it can be typed: words with special characters are in quotes.
pub(super) fn shown(command: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    let word = |word: &String| match !word.is_empty() && word.chars().all(is_plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Runs a command in a process group of its own until it ends, or kills the group after `limit`. The working directory
/// is `directory`, or that of this process.
///
/// # Errors
/// The command cannot be run, fails, or takes longer than `limit`.
pub(super) fn run_command(
    command: &[String],
    directory: Option<&Path>,
    limit: Duration,
    clock: Clock,
) -> Result<(), String> {
    let [program, arguments @ ..] = command else {
        return Ok(());
    };
    let mut process = Command::new(program);
    // The output of the command must not mix with a report. Its errors are shown.
    process.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    if let Some(directory) = directory {
        process.current_dir(directory);
    }
    // The command must not see the client's secrets.
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(VARIABLES.as_bytes()) {
            process.env_remove(name);
        }
    }
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut process, 0);
    let mut child =
        process.spawn().map_err(|error| format!("`{program}` cannot be run: {error}"))?;
    let deadline = clock.now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return judge(program, status),
            Ok(None) if clock.now() < deadline => std::thread::sleep(LOOK),
            Ok(None) => {
                kill(&mut child);
                return Err(format!(
                    "`{program}` took longer than {} s and was killed; raise `exec.limit` if it needs that long",
                    limit.as_secs_f64()
                ));
            }
            Err(error) => return Err(format!("`{program}` was lost: {error}")),
        }
    }
}

fn judge(program: &str, status: ExitStatus) -> Result<(), String> {
    match status.success() {
        true => Ok(()),
        false => Err(format!("`{program}` ended with {status}")),
    }
}

/// Kills a command and the processes that it has started.
fn kill(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) = rustix::process::Pid::from_raw(child.id() as i32) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &str) -> Vec<String> {
        vec!["sh".to_owned(), "-c".to_owned(), command.to_owned()]
    }

    #[test]
    fn a_command_that_takes_too_long_is_killed_with_its_children() {
        let clock = Clock::start();
        let directory = tempfile::tempdir().expect("a scratch directory");
        let file = directory.path().join("late").display().to_string();
        let command = words(&format!("(sleep 2; touch {file}) & wait"));
        let error = run_command(&command, None, Duration::from_millis(200), clock);
        let error = error.expect_err("too long");
        assert!(error.contains("longer than 0.2 s"), "{error}");
        std::thread::sleep(Duration::from_millis(2500));
        assert!(!Path::new(&file).exists(), "the child lived on");
    }

    #[test]
    fn what_goes_wrong_is_told() {
        let (clock, limit) = (Clock::start(), Duration::from_secs(5));
        assert_eq!(run_command(&words("exit 0"), None, limit, clock), Ok(()));
        let error = run_command(&words("exit 3"), None, limit, clock).expect_err("a failure");
        assert!(error.contains("exit status: 3"), "{error}");
        let missing = vec!["no-such-program-here".to_owned()];
        let error = run_command(&missing, None, limit, clock).expect_err("a failure");
        assert!(error.contains("cannot be run"), "{error}");
    }

    #[test]
    fn a_command_begins_where_it_is_told_to() {
        let (clock, limit) = (Clock::start(), Duration::from_secs(5));
        let directory = tempfile::tempdir().expect("a scratch directory");
        let command = words("touch here");
        assert_eq!(run_command(&command, Some(directory.path()), limit, clock), Ok(()));
        assert!(directory.path().join("here").exists());
    }
}
