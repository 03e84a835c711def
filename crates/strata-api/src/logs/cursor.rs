//! Page tokens of log events: a direction and a place between two lines.

use strata_base::logs::StoredLine;

/// Which way a page goes from its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Forward,
    Backward,
}

/// A place in the order of time and arrival, written `f/…/s` or `b/…/s` as AWS's tokens are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub way: Way,
    /// A page holds lines behind this (forward) or before it (backward), never this itself.
    pub at: i64,
    pub sequence: i64,
}

impl Cursor {
    /// Behind this line, or before it.
    pub fn beside(way: Way, line: &StoredLine) -> Self {
        Self { way, at: line.at.0, sequence: line.sequence }
    }

    /// Where a reader starts that goes this way over everything.
    pub fn outermost(way: Way) -> Self {
        match way {
            Way::Forward => Self { way, at: i64::MIN, sequence: i64::MIN },
            Way::Backward => Self { way, at: i64::MAX, sequence: i64::MAX },
        }
    }

    /// The way back, over the very line that this cursor stands beside.
    pub fn turned(self) -> Self {
        match self.way {
            Way::Forward => Self { way: Way::Backward, sequence: self.sequence.saturating_add(1), ..self },
            Way::Backward => Self { way: Way::Forward, sequence: self.sequence.saturating_sub(1), ..self },
        }
    }

    pub fn token(self) -> String {
        let way = match self.way {
            Way::Forward => 'f',
            Way::Backward => 'b',
        };
        format!("{way}/{:016x}{:016x}/s", self.at, self.sequence)
    }

    /// The inverse of [`token`](Self::token).
    pub fn parse(token: &str) -> Option<Self> {
        let (way, rest) = token.split_once('/')?;
        let way = match way {
            "f" => Way::Forward,
            "b" => Way::Backward,
            _ => return None,
        };
        let place = rest.strip_suffix("/s")?;
        if place.len() != 32 || !place.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let number = |text: Option<&str>| u64::from_str_radix(text?, 16).ok().map(|bits| bits as i64);
        Some(Self { way, at: number(place.get(..16))?, sequence: number(place.get(16..))? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tokens_come_back(forward: bool, at: i64, sequence: i64) {
            let way = if forward { Way::Forward } else { Way::Backward };
            let cursor = Cursor { way, at, sequence };
            prop_assert_eq!(Cursor::parse(&cursor.token()), Some(cursor));
        }

        #[test]
        fn any_text_is_read_without_harm(text in "\\PC*") {
            if let Some(cursor) = Cursor::parse(&text) {
                prop_assert_eq!(cursor.token(), text);
            }
        }
    }

    #[test]
    fn turning_takes_the_line_along() {
        let behind = Cursor { way: Way::Forward, at: 5, sequence: 7 };
        assert_eq!(behind.turned(), Cursor { way: Way::Backward, at: 5, sequence: 8 });
        assert_eq!(behind.turned().turned(), behind);
        assert_eq!(Cursor::outermost(Way::Backward).turned().way, Way::Forward);
    }
}
