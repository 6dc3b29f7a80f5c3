//! Merges the files that grow of several directories, in the order of times.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The time in a line of the files.
#[derive(Deserialize)]
struct LineTime {
    #[serde(alias = "from_s")]
    at_s: f64,
}

/// The lines of a file, with the time of the next one.
struct Lines {
    reader: BufReader<File>,
    time: fn(&str) -> Option<f64>,
    next: String,
    next_s: Option<f64>,
}

impl Lines {
    /// Reads the next line. An incomplete line ends the file.
    fn advance(&mut self) -> io::Result<()> {
        self.next.clear();
        self.reader.read_line(&mut self.next)?;
        self.next_s = if self.next.ends_with('\n') { (self.time)(&self.next) } else { None };
        Ok(())
    }
}

/// Merges the files that grow of all `directories`, with these names, into `outs` by the times of their lines. The
/// header of a log of distributions is that of the first directory.
pub(super) fn merge_lines(
    directories: &[PathBuf],
    names: [&str; 3],
    mut outs: [&mut dyn Write; 3],
) -> io::Result<()> {
    for (name, out) in names.into_iter().zip(&mut outs) {
        let of_json = |line: &str| Some(serde_json::from_str::<LineTime>(line).ok()?.at_s);
        let of_log = |line: &str| line.split(',').nth(1)?.parse().ok();
        let is_json = Path::new(name).extension().is_some_and(|ending| ending == "jsonl");
        let time: fn(&str) -> Option<f64> = if is_json { of_json } else { of_log };
        let mut all = Vec::new();
        for (number, directory) in directories.iter().enumerate() {
            // A missing file has no lines.
            let Ok(file) = File::open(directory.join(name)) else { continue };
            let reader = BufReader::new(file);
            let mut lines = Lines { reader, time, next: String::new(), next_s: None };
            lines.advance()?;
            while !is_json && !lines.next.is_empty() && !lines.next.starts_with("Tag=") {
                if number == 0 {
                    out.write_all(lines.next.as_bytes())?;
                }
                lines.advance()?;
            }
            all.push(lines);
        }
        let first = |all: &[Lines]| {
            let times = all.iter().enumerate().filter_map(|(id, lines)| Some((lines.next_s?, id)));
            times.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, id)| id)
        };
        while let Some(id) = first(&all) {
            out.write_all(all[id].next.as_bytes())?;
            all[id].advance()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["events.jsonl", "seconds.jsonl", "latency.hlog"];

    #[test]
    fn lines_of_several_files_come_in_the_order_of_their_times() {
        let scratch = tempfile::tempdir().expect("a directory");
        let files = [
            [
                "{\"at_s\":1.0,\"a\":1}\n{\"at_s\":3.0}\n",
                "{\"from_s\":0.0}\n",
                "#x\n\"L\"\nTag=p0.response,2.0,1.0,1,H\n",
            ],
            [
                "{\"at_s\":2.0}\n{\"at_s\":4.0}\n{\"at_s\":5",
                "",
                "#y\n\"L\"\nTag=p1.response,1.0,1.0,1,H\n",
            ],
        ];
        let directories: Vec<PathBuf> =
            (0..2).map(|id| scratch.path().join(id.to_string())).collect();
        for (directory, texts) in directories.iter().zip(files) {
            std::fs::create_dir(directory).expect("made");
            for (name, text) in NAMES.into_iter().zip(texts) {
                std::fs::write(directory.join(name), text).expect("written");
            }
        }
        let (mut events, mut seconds, mut latency) = (Vec::new(), Vec::new(), Vec::new());
        merge_lines(&directories, NAMES, [&mut events, &mut seconds, &mut latency])
            .expect("merged");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        assert_eq!(
            text(events),
            "{\"at_s\":1.0,\"a\":1}\n{\"at_s\":2.0}\n{\"at_s\":3.0}\n{\"at_s\":4.0}\n"
        );
        assert_eq!(text(seconds), "{\"from_s\":0.0}\n");
        assert_eq!(
            text(latency),
            "#x\n\"L\"\nTag=p1.response,1.0,1.0,1,H\nTag=p0.response,2.0,1.0,1,H\n"
        );
    }
}
