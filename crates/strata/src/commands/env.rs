//! `strata env`: the exports that point AWS tools at this cloud.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Map, Value};

use crate::config::{self, Running};
use crate::output;

pub fn run(data: &Path, json: bool) -> Result<ExitCode, String> {
    let keys = config::keys(data)?;
    let url = Running::load(data).map_or_else(|| config::DEFAULT_URL.to_string(), |running| running.url);
    let region = strata_base::Cloud::default().region;
    let variables = [
        ("AWS_ENDPOINT_URL", url.as_str()),
        ("AWS_ACCESS_KEY_ID", &keys.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key),
        ("AWS_DEFAULT_REGION", &region),
        ("AWS_REGION", &region),
    ];
    if json {
        let map: Map<String, Value> =
            variables.iter().map(|(name, value)| (name.to_string(), Value::from(*value))).collect();
        output::json(&Value::Object(map));
    } else {
        for (name, value) in variables {
            println!("export {name}={}", quoted(value));
        }
        // A token of another account would spoil the signature of these keys.
        println!("unset AWS_SESSION_TOKEN AWS_PROFILE");
    }
    Ok(ExitCode::SUCCESS)
}

/// The value as one word of a POSIX shell.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:+=@%".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_string();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn values_survive_the_shell() {
        assert_eq!(quoted("http://127.0.0.1:7410"), "http://127.0.0.1:7410");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
