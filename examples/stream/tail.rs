//! A file that grows, line by line; also if it is cut short, or another one takes its name, as rotating logs do.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait before looking again for what is not there yet.
pub const PAUSE: Duration = Duration::from_millis(50);

/// The end of a file.
pub struct Tail {
    path: PathBuf,
    file: BufReader<File>,
    /// A line whose end has not been written yet.
    line: Vec<u8>,
}

impl Tail {
    /// Opens a file for reading from its last lines on.
    pub fn open(path: &Path, last: usize) -> io::Result<Self> {
        let mut tail = Tail { path: path.to_owned(), file: BufReader::new(File::open(path)?), line: Vec::new() };
        let lines = tail.count_lines()?;
        tail.file.rewind()?;
        for _ in last..lines {
            tail.file.skip_until(b'\n')?;
        }
        Ok(tail)
    }

    fn count_lines(&mut self) -> io::Result<usize> {
        let mut lines = 0;
        while self.file.skip_until(b'\n')? > 0 {
            lines += 1;
        }
        Ok(lines)
    }

    /// The next line without its end, or `None` if there is none yet.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        self.file.read_until(b'\n', &mut self.line)?;
        if self.line.pop_if(|end| *end == b'\n').is_some() {
            let line = String::from_utf8_lossy(&self.line).into_owned();
            self.line.clear();
            return Ok(Some(line));
        }
        self.follow_rotation()?;
        Ok(None)
    }

    /// At the end: is this still the file of that name, and as long as what was read of it?
    fn follow_rotation(&mut self) -> io::Result<()> {
        let here = self.file.get_ref().metadata()?;
        if self.file.stream_position()? > here.len() {
            self.line.clear();
            self.file.seek(SeekFrom::Start(0))?;
        }
        match File::open(&self.path) {
            Ok(file) if file.metadata()?.ino() != here.ino() => {
                self.line.clear();
                self.file = BufReader::new(file);
            }
            _ => {} // The same one, or between two of them.
        }
        Ok(())
    }
}
