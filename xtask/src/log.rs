//! What is shown of the programs that we run: everything at a terminal, a log file elsewhere, and
//! the end of that file when something went wrong.

use crate::Result;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// So many lines of a log are shown after a failure.
const TAIL_LINES: usize = 120;

/// A step that takes longer says so each time this has passed.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// So many characters of a command line are shown with its failure.
const SHORT_CHARS: usize = 80;

/// Where the output of a step goes.
pub(crate) enum Log {
    /// Straight to the person who looks on.
    Terminal,
    /// Into a file.
    File { path: PathBuf, file: File },
}

impl Log {
    /// A fresh log file, `target/xtask/{name}.log`.
    pub(crate) fn file(target: &Path, name: &str) -> Result<Self> {
        let folder = target.join("xtask");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{name}.log"));
        let file = File::create(&path)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(Self::File { path, file })
    }

    /// Runs a program to its end; its failure is an error that names its command line.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result {
        let line = command_line(command);
        self.say(&format!("$ {line}"))?;
        if let Self::File { file, .. } = self {
            command.stdout(Stdio::from(file.try_clone()?));
            command.stderr(Stdio::from(file.try_clone()?));
        }
        let program = command.get_program().to_string_lossy().into_owned();
        let status =
            command.status().map_err(|error| format!("cannot start {program}: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("`{}`: {status}", short(&line)).into()) }
    }

    /// Adds a line of our own. It is not for terminals: there the programs speak for themselves.
    pub(crate) fn say(&mut self, line: &str) -> Result {
        if let Self::File { file, .. } = self {
            writeln!(file, "{line}")?;
        }
        Ok(())
    }

    /// The last lines of the file.
    pub(crate) fn tail(&self) -> String {
        let Self::File { path, .. } = self else { return String::new() };
        let bytes = fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let shown = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        let mut tail = String::new();
        if shown.len() < lines.len() {
            tail += &format!("  (the last {TAIL_LINES} lines of {})\n", path.display());
        }
        for line in shown {
            tail += &format!("  | {line}\n");
        }
        tail
    }
}

/// Does `work`; whenever it has taken long, `heartbeat` is told for how long.
pub(crate) fn timed<T>(
    heartbeat: impl Fn(Duration) + Send,
    work: impl FnOnce() -> T,
) -> (T, Duration) {
    let started = Instant::now();
    let (done, is_done) = mpsc::channel::<()>();
    let result = thread::scope(|scope| {
        scope.spawn(move || {
            while is_done.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
                heartbeat(started.elapsed());
            }
        });
        let result = work();
        drop(done);
        result
    });
    (result, started.elapsed())
}

/// Enough of a command line to know it again.
fn short(line: &str) -> String {
    match line.char_indices().nth(SHORT_CHARS) {
        Some((end, _)) => format!("{} ..", &line[..end]),
        None => line.to_owned(),
    }
}

fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line += " ";
        line += &argument.to_string_lossy();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_shows_its_end_and_says_that_there_is_more() {
        let folder = std::env::temp_dir().join(format!("referee-log-{}", std::process::id()));
        let mut log = Log::file(&folder, "step").unwrap();
        for line in 0..=TAIL_LINES {
            log.say(&line.to_string()).unwrap();
        }
        let tail = log.tail();
        assert!(tail.contains("last 120 lines"), "{tail}");
        assert!(!tail.contains("| 0\n") && tail.contains("| 1\n") && tail.ends_with("| 120\n"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_failing_program_is_named_with_its_arguments() {
        let error = Log::Terminal.run(Command::new("cargo").arg("no-such-command")).unwrap_err();
        assert!(error.to_string().contains("`cargo no-such-command`"), "{error}");
        let error = Log::Terminal.run(&mut Command::new("no-such-program")).unwrap_err();
        assert!(error.to_string().contains("cannot start no-such-program"), "{error}");
    }
}
