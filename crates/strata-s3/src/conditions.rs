//! Conditional requests (RFC 9110, with S3's order of precedence), and byte ranges.

use s3s::dto::{ETag, ETagCondition, LastModified, Range, Timestamp as Time};
use s3s::{S3ErrorCode, S3Result};
use strata_base::Timestamp;
use strata_base::objects::Precondition;

use crate::fault::{fault, refused};

/// What a reader says of the object it wants.
#[derive(Default)]
pub struct Conditions {
    pub if_match: Option<ETagCondition>,
    pub if_none_match: Option<ETagCondition>,
    pub if_modified_since: Option<Time>,
    pub if_unmodified_since: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Go,
    NotModified,
    Failed,
}

impl Conditions {
    pub fn judge(&self, etag: &str, modified: Timestamp) -> Verdict {
        let modified = seconds(modified);
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(wanted), _) if !matches(wanted, etag) => return Verdict::Failed,
            // A match makes the date irrelevant.
            (None, Some(since)) if modified > time(since) => return Verdict::Failed,
            _ => {}
        }
        match (&self.if_none_match, &self.if_modified_since) {
            (Some(unwanted), _) if matches(unwanted, etag) => Verdict::NotModified,
            (None, Some(since)) if modified <= time(since) => Verdict::NotModified,
            _ => Verdict::Go,
        }
    }

    /// For the source of a copy nothing is "not modified": it fails.
    pub fn judge_source(&self, etag: &str, modified: Timestamp) -> S3Result<()> {
        match self.judge(etag, modified) {
            Verdict::Go => Ok(()),
            _ => Err(failed()),
        }
    }
}

pub fn failed() -> s3s::S3Error {
    let message = "At least one of the pre-conditions you specified did not hold";
    fault(S3ErrorCode::PreconditionFailed, message)
}

fn matches(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(wanted) => wanted.value() == etag,
    }
}

/// HTTP dates have whole seconds.
fn seconds(at: Timestamp) -> i64 {
    at.0.div_euclid(1000)
}

fn time(at: &Time) -> i64 {
    time::OffsetDateTime::from(at.clone()).unix_timestamp()
}

/// What a writer says of the object it replaces.
pub fn precondition(
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
) -> S3Result<Precondition> {
    let if_none_match = match if_none_match {
        None => false,
        Some(ETagCondition::Any) => true,
        Some(ETagCondition::ETag(_)) => {
            return Err(refused("If-None-Match of a write must be *: an ETag is not implemented, as in AWS"));
        }
    };
    Ok(Precondition { if_match: if_match.map(wanted), if_none_match })
}

/// The ETag that a condition asks for, or `*`.
pub fn wanted(condition: ETagCondition) -> String {
    match condition {
        ETagCondition::Any => "*".into(),
        ETagCondition::ETag(etag) => etag.into_value(),
    }
}

/// First byte and length of a range of an object of this size.
pub fn cut(range: &Range, size: u64) -> S3Result<(u64, u64)> {
    let range = range.check(size).ok().filter(|range| !range.is_empty());
    let message = "The requested range is not satisfiable";
    let range = range.ok_or_else(|| fault(S3ErrorCode::InvalidRange, message))?;
    Ok((range.start, range.end - range.start))
}

/// A time as S3 shows it: to the second, the same in listings and headers.
pub fn shown(at: Timestamp) -> LastModified {
    let at =
        time::OffsetDateTime::from_unix_timestamp(seconds(at)).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    at.into()
}

pub fn strong(etag: &str) -> ETag {
    ETag::Strong(etag.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precedence() {
        let is = |etag: &str| Some(ETagCondition::ETag(ETag::Strong(etag.into())));
        let at = |seconds: i64| Some(Time::from(time::OffsetDateTime::from_unix_timestamp(seconds).unwrap()));
        let none = Conditions::default;
        let judge = |conditions: Conditions| conditions.judge("e", Timestamp(10_500));
        assert_eq!(judge(none()), Verdict::Go);
        assert_eq!(judge(Conditions { if_match: is("e"), ..none() }), Verdict::Go);
        assert_eq!(judge(Conditions { if_match: Some(ETagCondition::Any), ..none() }), Verdict::Go);
        assert_eq!(judge(Conditions { if_match: is("x"), ..none() }), Verdict::Failed);
        assert_eq!(judge(Conditions { if_unmodified_since: at(9), ..none() }), Verdict::Failed);
        assert_eq!(judge(Conditions { if_unmodified_since: at(10), ..none() }), Verdict::Go);
        assert_eq!(
            judge(Conditions { if_match: is("e"), if_unmodified_since: at(9), ..none() }),
            Verdict::Go
        );
        assert_eq!(judge(Conditions { if_none_match: is("e"), ..none() }), Verdict::NotModified);
        assert_eq!(judge(Conditions { if_modified_since: at(10), ..none() }), Verdict::NotModified);
        assert_eq!(judge(Conditions { if_modified_since: at(9), ..none() }), Verdict::Go);
        assert_eq!(
            judge(Conditions { if_none_match: is("x"), if_modified_since: at(10), ..none() }),
            Verdict::Go
        );
        assert_eq!(
            judge(Conditions { if_match: is("x"), if_none_match: is("e"), ..none() }),
            Verdict::Failed
        );
    }

    #[test]
    fn ranges() {
        let cut = |text: &str, size| cut(&Range::parse(text).unwrap(), size).ok();
        assert_eq!(cut("bytes=0-0", 3), Some((0, 1)));
        assert_eq!(cut("bytes=1-", 3), Some((1, 2)));
        assert_eq!(cut("bytes=1-99", 3), Some((1, 2)));
        assert_eq!(cut("bytes=-2", 3), Some((1, 2)));
        assert_eq!(cut("bytes=-9", 3), Some((0, 3)));
        assert_eq!(cut("bytes=3-", 3), None);
        assert_eq!(cut("bytes=0-", 0), None);
        assert_eq!(cut("bytes=-1", 0), None);
    }
}
