//! Lines out of a stream of bytes, each of bounded length.

/// The longest line that is kept whole. CloudWatch Logs takes 256 KB an event; nobody reads
/// a line of 64 KiB, and a program that prints without line ends must not fill our memory.
pub const LONGEST: usize = 64 * 1024;

/// Cuts bytes, as they come in pieces of any size, into lines.
#[derive(Default)]
pub struct Lines {
    bytes: Vec<u8>,
    /// Bytes of the present line that were thrown away.
    dropped: usize,
    /// `bytes[..searched]` holds no line end.
    searched: usize,
}

impl Lines {
    /// Takes the next piece of the stream. Call [`next`](Self::next) until it is dry before
    /// the next piece, so that no more than a piece and a line is ever held.
    pub fn feed(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// The next whole line, without its line end.
    pub fn next(&mut self) -> Option<String> {
        match self.bytes[self.searched..].iter().position(|byte| *byte == b'\n') {
            Some(found) => {
                let end = self.searched + found;
                let line = self.text(end);
                self.bytes.drain(..=end);
                self.searched = 0;
                Some(line)
            }
            None => {
                // Nothing behind the longest line is kept while its end is awaited.
                self.dropped += self.bytes.len().saturating_sub(LONGEST);
                self.bytes.truncate(LONGEST);
                self.searched = self.bytes.len();
                None
            }
        }
    }

    /// What is left when the stream ended without a line end.
    pub fn last(&mut self) -> Option<String> {
        let line = (!self.bytes.is_empty()).then(|| self.text(self.bytes.len()));
        *self = Self::default();
        line
    }

    fn text(&mut self, end: usize) -> String {
        let kept = end.min(LONGEST);
        let dropped = std::mem::take(&mut self.dropped) + (end - kept);
        let line = &self.bytes[..kept];
        let mut text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
        if dropped > 0 {
            text.push_str(&format!(" [{dropped} bytes cut]"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in pieces {
            lines.feed(piece);
            while let Some(line) = lines.next() {
                found.push(line);
            }
            assert!(lines.bytes.len() <= LONGEST);
        }
        found.extend(lines.last());
        found
    }

    #[test]
    fn pieces_do_not_matter() {
        assert_eq!(cut(&[b"a\nb", b"c\r\n", b"\n", b"d"]), ["a", "bc", "", "d"]);
        assert_eq!(cut(&[b"a\n"]), ["a"]);
        assert_eq!(cut(&[]), [""; 0]);
        assert_eq!(cut(&[b"\xff\xfe\n"]), ["\u{fffd}\u{fffd}"]);
    }

    #[test]
    fn long_lines_are_cut_and_say_so() {
        let long = vec![b'x'; LONGEST];
        let cut_line = |dropped: usize| format!("{} [{dropped} bytes cut]", "x".repeat(LONGEST));
        assert_eq!(cut(&[&long, b"\nnext\n"]), ["x".repeat(LONGEST), "next".into()]);
        assert_eq!(cut(&[&long, &long, b"xyz\nnext"]), [cut_line(LONGEST + 3), "next".into()]);
        assert_eq!(cut(&[&[&long[..], b"yy\nnext\n"].concat()]), [cut_line(2), "next".into()]);
        assert_eq!(cut(&[&long, b"y"]), [cut_line(1)]);
    }
}
