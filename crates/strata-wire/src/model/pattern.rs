//! Patterns of the models: Java regular expressions that must match the whole value.
//!
//! Most read the same in the `regex` crate after a small translation. Look-around, surrogate
//! pairs and the like do not: those stand in [`PATCHES`], each with its reason. A test
//! compiles every pattern of every model, so a new botocore cannot bring one unseen.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

pub struct Pattern {
    /// As the model has it; error messages repeat it.
    pub source: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub fn new(source: &'static str) -> Self {
        Self { source, compiled: OnceLock::new() }
    }

    /// Whether the pattern matches the whole of `value`. Compiles at the first call.
    pub fn matches(&self, value: &str) -> bool {
        match self.compiled.get_or_init(|| self.compile().ok()) {
            Some(regex) => regex.is_match(value),
            // Cannot happen (the test compiles all); if it did, the domain still checks.
            None => true,
        }
    }

    fn compile(&self) -> Result<Regex, regex::Error> {
        let patch = PATCHES.iter().find(|(source, _)| *source == self.source);
        let body = match patch {
            Some((_, rewritten)) => (*rewritten).to_owned(),
            None => translate(self.source),
        };
        RegexBuilder::new(&format!("\\A(?:{body})\\z"))
            // In Java a dot matches no carriage return either.
            .crlf(true)
            .size_limit(SIZE_LIMIT)
            // Patterns are many and most are rare: small caches keep an idle cloud small.
            .dfa_size_limit(256 << 10)
            .build()
    }
}

/// Bytes that one compiled pattern may take. Larger ones belong into the table.
const SIZE_LIMIT: usize = 4 << 20;

/// Patterns that cannot be said the same way: the model's, and one for the `regex` crate
/// that matches the same whole values.
const PATCHES: &[(&str, &str)] = &[
    // iam accountAliasType: no two hyphens in a row. The 3 to 63 characters are the shape's
    // own length bound too.
    (r"^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$", r"[a-z0-9](?:-?[a-z0-9])+"),
    // sagemaker AIResourceIdentifier, ArnOrName, VersionedArnOrName: the name, bare or after
    // an ARN, does not end in a hyphen.
    (
        r"(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*/)?([a-zA-Z0-9]([a-zA-Z0-9\-]){0,62})(?<!-)",
        r"(?:arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*/)?[a-zA-Z0-9](?:[a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])?",
    ),
    (
        r"(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*\/)?([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)",
        r"(?:arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*/)?[a-zA-Z0-9](?:[a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])?",
    ),
    (
        r"(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*\/)?([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)(\/[0-9]{1,9})?",
        r"(?:arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*/)?[a-zA-Z0-9](?:[a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])?(?:/[0-9]{1,9})?",
    ),
    // sagemaker AlarmName, NonEmptyString256, NonEmptyString64: not only blanks.
    (r"(?!\s*$).+", r".*[^ \t\n\x0B\f\r].*"),
    // sagemaker AthenaCatalog, Catalog, Database, TableName: the last range is written as
    // surrogate pairs.
    (
        r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*",
        r"[\x{20}-\x{D7FF}\x{E000}-\x{FFFD}\x{10000}-\x{10FFFF}\t]*",
    ),
    // sagemaker CfnStackId, CfnTemplateName, CfnTemplateURL, ClusterAccountingDatabaseEndpoint:
    // the look-ahead repeats the shape's own length bound.
    (
        r"(?=.{1,256}$)arn:aws[a-z\-]*:cloudformation:[a-z0-9\-]*:[0-9]{12}:stack/[a-zA-Z][a-zA-Z0-9-]{0,127}/.*",
        r"arn:aws[a-z\-]*:cloudformation:[a-z0-9\-]*:[0-9]{12}:stack/[a-zA-Z][a-zA-Z0-9-]{0,127}/.*",
    ),
    (r"(?=.{1,32}$)[a-zA-Z0-9](-*[a-zA-Z0-9])*", r"[a-zA-Z0-9](?:-*[a-zA-Z0-9])*"),
    (r"(?=.{1,1024}$)(https)://([^/]+)/(.+)", r"https://[^/\r\n]+/.+"),
    (
        r"(?=.{1,255}$)([a-zA-Z0-9]([a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])?)(\.[a-zA-Z0-9]([a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])?)*",
        r"[a-zA-Z0-9](?:[a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])?)*",
    ),
    // sagemaker CfnStackParameterValue, CfnStackStatusMessage, ModelPackageSourceUri: counting
    // that far takes megabytes, and the shape's own length bound counts the same.
    (r".{0,4096}", r".*"),
    (r".{1,4096}", r".+"),
    (r"[\p{L}\p{M}\p{Z}\p{N}\p{P}]{0,1024}", r"[\p{L}\p{M}\p{Z}\p{N}\p{P}]*"),
    // sagemaker MetricsEndpointPath: no two dots in a row.
    (r"/(?!.*\.\.)[a-zA-Z0-9/_.\-]+", r"/(?:(?:\.?[a-zA-Z0-9/_\-])+\.?|\.)"),
    // sagemaker SageMakerImageVersionAlias: does not begin with a dot or hyphen.
    (r"(?!^[.-])^([a-zA-Z0-9-_.]+)", r"[a-zA-Z0-9_][a-zA-Z0-9\-_.]*"),
    // sagemaker-runtime FilenameHeader: at most one dot.
    (r"^(?!.*\..*\.)[a-zA-Z0-9][a-zA-Z0-9-_\.]*$", r"[a-zA-Z0-9][a-zA-Z0-9\-_]*(?:\.[a-zA-Z0-9\-_]*)?"),
    // sagemaker-runtime S3OutputPathExtensionHeader: what is looked for has a colon, which the
    // class has not.
    (r"^(?!s3:|https:)[a-zA-Z0-9!_.*'()/-]+$", r"[a-zA-Z0-9!_.*'()/-]+"),
];

/// Rewrites what Java and the `regex` crate read differently.
fn translate(java: &str) -> String {
    let mut out = String::with_capacity(java.len() + 16);
    let mut classes = 0_u32;
    let mut rest = java.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                // Java's shorthands are ASCII only.
                Some('d') => out.push_str("[0-9]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('w') => out.push_str("[0-9A-Za-z_]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('s') => out.push_str(r"[ \t\n\x0B\f\r]"),
                Some('S') => out.push_str(r"[^ \t\n\x0B\f\r]"),
                Some('Z') => out.push_str(r"\z"),
                Some('u') => {
                    let digits: String = rest.by_ref().take(4).collect();
                    out.push_str(&format!("\\u{{{digits}}}"));
                }
                Some('p') if rest.peek() == Some(&'{') => {
                    rest.next();
                    let name: String = rest.by_ref().take_while(|c| *c != '}').collect();
                    match posix(&name) {
                        Some(class) => out.push_str(class),
                        None => out.push_str(&format!("\\p{{{name}}}")),
                    }
                }
                Some(other) => {
                    out.push('\\');
                    out.push(other);
                }
                None => out.push_str(r"\\"),
            },
            '[' => {
                classes += 1;
                out.push('[');
            }
            ']' => {
                classes = classes.saturating_sub(1);
                out.push(']');
            }
            // `--` and `~~` are set operators to the regex crate, plain characters to Java.
            '-' if classes > 0 && rest.peek() == Some(&'-') => {
                rest.next();
                out.push_str(r"-\-");
            }
            '~' if classes > 0 => out.push_str(r"\~"),
            other => out.push(other),
        }
    }
    out
}

/// Java's POSIX classes, which are ASCII only.
fn posix(name: &str) -> Option<&'static str> {
    Some(match name {
        "Alnum" => "[0-9A-Za-z]",
        "Alpha" => "[A-Za-z]",
        "ASCII" => r"[\x00-\x7F]",
        "Blank" => r"[ \t]",
        "Digit" => "[0-9]",
        "Graph" => "[!-~]",
        "Lower" => "[a-z]",
        "Print" => "[ -~]",
        "Punct" => r"[!-/:-@\[-`{-~]",
        "Space" => r"[ \t\n\x0B\f\r]",
        "Upper" => "[A-Z]",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Api, Kind};

    #[test]
    fn every_pattern_of_every_model_compiles() {
        let mut broken = Vec::new();
        let mut used = std::collections::HashSet::new();
        for api in Api::all() {
            for shape in api.model().shapes() {
                let Kind::Text(text) = &shape.kind else { continue };
                let Some(pattern) = &text.pattern else { continue };
                used.insert(pattern.source);
                if let Err(cause) = pattern.compile() {
                    let last = cause.to_string();
                    let last = last.lines().last().unwrap_or_default();
                    broken.push(format!("{} {} {}: {last}", api.name, shape.name, pattern.source));
                }
            }
        }
        assert!(broken.is_empty(), "{} of {}:\n{}", broken.len(), used.len(), broken.join("\n"));
        for (source, _) in PATCHES {
            assert!(used.contains(source), "the patch for {source} has no pattern any more");
        }
    }

    #[track_caller]
    fn check(service: &str, shape: &str, good: &[&str], bad: &[&str]) {
        let model = Api::named(service).unwrap().model();
        let shape = model.shapes().iter().find(|s| s.name == shape).unwrap();
        let Kind::Text(text) = &shape.kind else { panic!("{} is no string", shape.name) };
        let pattern = text.pattern.as_ref().unwrap();
        for value in good {
            assert!(pattern.matches(value), "{} should match {value:?}", pattern.source);
        }
        for value in bad {
            assert!(!pattern.matches(value), "{} should not match {value:?}", pattern.source);
        }
    }

    #[test]
    fn patched_patterns_mean_the_same() {
        let arn = "arn:aws:sagemaker:us-east-1:123456789012:project/p1";
        check("iam", "accountAliasType", &["abc", "a-b", "a-b-c"], &["a--b", "-ab", "ab-", "a"]);
        check("sagemaker", "AIResourceIdentifier", &["a", "a--b", arn], &["a-", "", "-a", "a_b"]);
        check("sagemaker", "ArnOrName", &["a", "a-b", arn], &["a-", "arn:aws:iam::1:x/p1"]);
        check("sagemaker", "VersionedArnOrName", &["a/1", "a-b", arn], &["a-/1", "a/", "a/1234567890"]);
        check("sagemaker", "AlarmName", &["a", " a ", " é"], &["", "  ", "\t", "a\nb"]);
        check("sagemaker", "TableName", &["", "a b", "\u{1F600}"], &["\n", "\u{FFFF}", "\u{1}"]);
        check("sagemaker", "CfnTemplateName", &["a", "a--b"], &["a-", ""]);
        check(
            "sagemaker",
            "CfnTemplateURL",
            &["https://h/x"],
            &["http://h/x", "https://h/", "https://h\n/x"],
        );
        check("sagemaker", "ClusterAccountingDatabaseEndpoint", &["a.b-c"], &["a..b", "a-.b", ""]);
        check("sagemaker", "MetricsEndpointPath", &["/m", "/a.b/c.", "/."], &["/", "/..", "/a..b", "m"]);
        check("sagemaker", "SageMakerImageVersionAlias", &["1.0", "_"], &[".1", "-1", ""]);
        check("sagemaker-runtime", "FilenameHeader", &["a", "a.csv", "a."], &["a.b.c", ".a", ""]);
        check("sagemaker-runtime", "S3OutputPathExtensionHeader", &["a/b", "s3"], &["s3:x", "https:a"]);
    }

    #[test]
    fn java_classes_are_ascii() {
        check(
            "sagemaker",
            "TrainingRepositoryCredentialsProviderArn",
            &["arn:aws:lambda:r:123456789012:function:f"],
            &["arn:aws:lambda:é:123456789012:function:f"],
        );
        check("sagemaker-runtime", "InferenceId", &["a b~", "é"], &[" a", "aé", ""]);
        check("sagemaker-runtime", "CustomAttributesHeader", &["", "k=v"], &["é"]);
    }
}
