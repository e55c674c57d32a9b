//! Lines of a file or of standard input, read on a thread of their own, and their parts.
//!
//! Key invariant: a chunk holds whole lines; few chunks wait to be taken. A last line without line feed is a line. What
//! becomes of the lines is left to the command.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use crate::cli::failure::Failure;

/// Bytes of a chunk, unless a line is longer.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that wait.
const CHUNKS_MAX: usize = 4;
/// Bytes of a line: nothing larger fits a batch that any broker accepts.
const LINE_BYTES_MAX: usize = 1 << 30;

/// Whole lines that were read together.
pub(super) struct Chunk {
    data: Bytes,
    /// The number of the first line, from 1.
    first: u64,
}

impl Chunk {
    pub(super) fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The lines without their line feeds, with their numbers.
    pub(super) fn lines(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let whole = self.data.strip_suffix(b"\n").unwrap_or(&self.data);
        whole.split(|byte| *byte == b'\n').zip(self.first..).map(|(line, number)| (number, line))
    }
}

/// The lines of an input.
pub(super) struct Lines {
    chunks: mpsc::Receiver<io::Result<Chunk>>,
    place: String,
}

impl Lines {
    /// Opens `file`, or standard input; the size is a regular file's.
    pub(super) fn open(file: Option<&Path>) -> Result<(Self, Option<u64>), Failure> {
        let place = file.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
        let local = |source| Failure::Local { place: place.clone(), source };
        let (input, size): (Box<dyn Read + Send>, _) = match file {
            Some(path) => {
                let file = File::open(path).map_err(local)?;
                let facts = file.metadata().map_err(local)?;
                if facts.is_dir() {
                    return Err(local(io::ErrorKind::IsADirectory.into()));
                }
                (Box::new(file), facts.is_file().then_some(facts.len()))
            }
            None => (Box::new(io::stdin()), None),
        };
        let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
        std::thread::spawn(move || read_all(input, &sender));
        Ok((Self { chunks, place }, size))
    }

    /// The next lines, or `None` at the end. May be dropped at any point.
    pub(super) async fn next(&mut self) -> Result<Option<Chunk>, Failure> {
        let chunk = self.chunks.recv().await.transpose();
        chunk.map_err(|source| Failure::Local { place: self.place.clone(), source })
    }
}

/// Ends at the end of the input, at its first error, or when nobody takes chunks any more.
fn read_all(mut input: impl Read, chunks: &mpsc::Sender<io::Result<Chunk>>) {
    let mut pending = BytesMut::new();
    let mut first = 1;
    loop {
        let read = read_some(&mut input, &mut pending);
        let ended = matches!(read, Ok(0));
        if let Err(error) = read {
            let _ = chunks.blocking_send(Err(error));
            return;
        }
        let end = if ended {
            pending.len()
        } else {
            pending.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1)
        };
        if end > 0 {
            let data = pending.split_to(end).freeze();
            let lines = data.iter().filter(|byte| **byte == b'\n').count() as u64;
            if chunks.blocking_send(Ok(Chunk { data, first })).is_err() {
                return;
            }
            first += lines;
        }
        if ended {
            return;
        }
        if pending.len() > LINE_BYTES_MAX {
            let _ = chunks.blocking_send(Err(io::Error::other("a line is longer than a record can be")));
            return;
        }
    }
}

/// Appends what can be read now, at most a chunk.
fn read_some(input: &mut impl Read, pending: &mut BytesMut) -> io::Result<usize> {
    let before = pending.len();
    pending.resize(before + CHUNK_BYTES, 0);
    let read = loop {
        match input.read(&mut pending[before..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other,
        }
    };
    pending.truncate(before + read.as_ref().copied().unwrap_or(0));
    read
}

/// What separates the parts of a line.
#[derive(Clone, Copy)]
pub(super) struct Separators<'a> {
    /// Whether headers and a tab stand first.
    pub(super) headers: bool,
    pub(super) key: Option<&'a [u8]>,
}

/// The parts of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) headers: Vec<(&'a [u8], Option<&'a [u8]>)>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: &'a [u8],
}

impl Separators<'_> {
    /// Splits a line, or says what is missing in it.
    pub(super) fn split<'l>(&self, line: &'l [u8]) -> Result<Parts<'l>, &'static str> {
        let (headers, rest) = match self.headers {
            true => split_at(line, b"\t").ok_or("no tab ends its headers")?,
            false => (&line[..0], line),
        };
        let (key, value) = match self.key {
            Some(separator) => {
                let (key, value) = split_at(rest, separator).ok_or("it has no key separator")?;
                (Some(key), value)
            }
            None => (None, rest),
        };
        let each = headers.split(|byte| *byte == b',').filter(|header| !header.is_empty());
        let headers = each.map(|header| {
            split_at(header, b":").map(|(name, value)| (name, Some(value))).ok_or("a header has no ':'")
        });
        Ok(Parts { headers: headers.collect::<Result<_, _>>()?, key, value })
    }
}

/// What is before and after the first `separator`.
fn split_at<'l>(text: &'l [u8], separator: &[u8]) -> Option<(&'l [u8], &'l [u8])> {
    let at = text.windows(separator.len()).position(|window| window == separator)?;
    Some((&text[..at], &text[at + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(input: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let (sender, mut receiver) = mpsc::channel(100);
        read_all(input, &sender);
        drop(sender);
        let mut lines = Vec::new();
        while let Some(chunk) = receiver.blocking_recv() {
            lines.extend(chunk.expect("memory is readable").lines().map(|(n, line)| (n, line.to_vec())));
        }
        lines
    }

    #[test]
    fn every_line_is_kept_as_it_is() {
        let lines = lines_of(b"one\r\n\n\xff\xfe\nlast");
        let expected: [(u64, &[u8]); 4] = [(1, b"one\r"), (2, b""), (3, b"\xff\xfe"), (4, b"last")];
        assert_eq!(lines, expected.map(|(n, line)| (n, line.to_vec())));
        assert!(lines_of(b"").is_empty());
        assert_eq!(lines_of(b"\n"), [(1, Vec::new())]);
    }

    #[test]
    fn lines_longer_than_a_chunk_stay_whole() {
        let long = vec![b'x'; CHUNK_BYTES * 2 + 7];
        let input = [&long[..], b"\nshort\n"].concat();
        assert_eq!(lines_of(&input), [(1, long), (2, b"short".to_vec())]);
    }

    #[test]
    fn lines_have_headers_key_and_value() {
        let both = Separators { headers: true, key: Some(b"=>") };
        let parts = both.split(b"a:1,b:\tkey=>value=>more").expect("complete");
        let headers: Vec<(&[u8], Option<&[u8]>)> = vec![(b"a", Some(b"1")), (b"b", Some(b""))];
        assert_eq!(parts, Parts { headers, key: Some(b"key"), value: b"value=>more" });
        assert!(both.split(b"a:1\tvalue").is_err());
        assert!(both.split(b"key=>value").is_err());
        assert!(both.split(b"a\tkey=>value").is_err());
        let none = Separators { headers: false, key: None };
        assert_eq!(none.split(b"a\tb").expect("complete").value, b"a\tb");
    }
}
