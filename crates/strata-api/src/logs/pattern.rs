//! Filter patterns of FilterLogEvents, as far as they are about words.
//!
//! `ERROR timeout` wants both words, `"out of memory"` the phrase, `-DEBUG` the absence of a word,
//! `?ERROR ?WARN` at least one of the words. Case counts. Next to other terms AWS ignores the
//! optional ones, and so do we.

/// A parsed pattern.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pattern {
    all: Vec<String>,
    none: Vec<String>,
    any: Vec<String>,
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum PatternError {
    #[error("Invalid filter pattern: the quotation mark at character {0} has no partner")]
    OpenQuote(usize),
    #[error("Invalid filter pattern: a term is missing behind {0:?}")]
    NoTerm(char),
    #[error(
        "Invalid filter pattern: patterns over {0} are not understood by this cloud; \
         use words, \"phrases\", -exclusions and ?options"
    )]
    NotUnderstood(&'static str),
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let mut pattern = Self::default();
        let mut rest = Rest { text, at: 0 };
        match rest.skip_space() {
            Some('{') => return Err(PatternError::NotUnderstood("the members of JSON events ({...})")),
            Some('[') => return Err(PatternError::NotUnderstood("the columns of events ([...])")),
            Some('%') => return Err(PatternError::NotUnderstood("regular expressions (%...%)")),
            _ => (),
        }
        while let Some(first) = rest.skip_space() {
            let terms = match first {
                '-' => &mut pattern.none,
                '?' => &mut pattern.any,
                _ => &mut pattern.all,
            };
            if matches!(first, '-' | '?') {
                rest.take();
            }
            let term = match rest.peek() {
                Some('"') => rest.phrase()?,
                Some('%') => return Err(PatternError::NotUnderstood("regular expressions (%...%)")),
                _ => rest.word(),
            };
            if term.is_empty() && matches!(first, '-' | '?') {
                return Err(PatternError::NoTerm(first));
            }
            terms.push(term);
        }
        if !(pattern.all.is_empty() && pattern.none.is_empty()) {
            pattern.any.clear();
        }
        Ok(pattern)
    }

    pub fn matches(&self, message: &str) -> bool {
        let has = |term: &String| message.contains(term.as_str());
        self.all.iter().all(has)
            && !self.none.iter().any(has)
            && (self.any.is_empty() || self.any.iter().any(has))
    }

    /// Whether every line matches.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.none.is_empty() && self.any.is_empty()
    }
}

/// What of the text is still to be read.
struct Rest<'a> {
    text: &'a str,
    at: usize,
}

impl Rest<'_> {
    fn left(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.left().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn skip_space(&mut self) -> Option<char> {
        while self.peek()?.is_whitespace() {
            self.take();
        }
        self.peek()
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(next) = self.peek().filter(|next| !next.is_whitespace() && *next != '"') {
            word.push(next);
            self.take();
        }
        word
    }

    /// From quotation mark to quotation mark; `\"` and `\\` stand for what they escape.
    fn phrase(&mut self) -> Result<String, PatternError> {
        let start = self.text.get(..self.at).unwrap_or("").chars().count() + 1;
        let mut phrase = String::new();
        self.take();
        loop {
            match self.take() {
                None => return Err(PatternError::OpenQuote(start)),
                Some('"') => return Ok(phrase),
                Some('\\') if matches!(self.peek(), Some('"' | '\\')) => phrase.extend(self.take()),
                Some(other) => phrase.push(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let parsed = Pattern::parse(pattern).unwrap();
        for message in yes {
            assert!(parsed.matches(message), "{pattern} should match {message:?}");
        }
        for message in no {
            assert!(!parsed.matches(message), "{pattern} should not match {message:?}");
        }
    }

    #[test]
    fn words_phrases_exclusions_and_options() {
        check("", &["anything", ""], &[]);
        check("   ", &["anything"], &[]);
        check("ERROR", &["[ERROR 400] BAD", "ERROR"], &["error", "ERR"]);
        check("ERROR timeout", &["timeout: ERROR"], &["ERROR", "timeout"]);
        check(r#""out of memory""#, &["was out of memory now"], &["out  of memory", "memory out of"]);
        check(r#"ERROR -"exit code 0""#, &["ERROR exit code 1"], &["ERROR exit code 0"]);
        check("-DEBUG", &["INFO", ""], &["DEBUG x"]);
        check("?ERROR ?WARN", &["a WARN", "ERROR"], &["INFO"]);
        check("?ERROR REQUEST", &["REQUEST"], &["ERROR"]);
        check(r#""say \"hi\" \\ there""#, &[r#"I say "hi" \ there"#], &["say hi"]);
        check("validation-rmse", &["[1] validation-rmse:0.5"], &["validation rmse"]);
        check("größe", &["die größe"], &["grosse"]);
        check(r#"a"b c"d"#, &["xa b c d"], &["a b", "d"]);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (pattern, says) in [
            (r#"{ $.level = "ERROR" }"#, "JSON"),
            ("[ip, user, ...]", "columns"),
            ("%ERR.*%", "regular"),
            ("-%ERR%", "regular"),
            (r#"word "open"#, "character 6"),
            ("-", "missing"),
            ("a ? b", "missing"),
        ] {
            let error = Pattern::parse(pattern).unwrap_err().to_string();
            assert!(error.contains(says), "{pattern}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "\\PC{0,60}", message in "\\PC{0,60}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                pattern.matches(&message);
            }
        }

        #[test]
        fn a_quoted_text_is_searched_as_it_is(text in "\\PC{1,30}", other in "\\PC{0,30}") {
            let quoted = format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""));
            let pattern = Pattern::parse(&quoted).unwrap();
            let around = format!("{other}{text}{other}");
            prop_assert!(pattern.matches(&around));
            prop_assert_eq!(pattern.matches(&other), other.contains(&text));
            let excluded = Pattern::parse(&format!("-{quoted}")).unwrap();
            prop_assert!(!excluded.matches(&around));
        }
    }
}
