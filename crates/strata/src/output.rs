//! How commands print: aligned tables for people, JSON for programs.

use serde_json::Value;

/// Prints rows under a header, columns as wide as they need to be.
pub fn table(header: &[&str], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = header.iter().map(|title| title.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (width, cell) in widths.iter().zip(cells) {
            let pad = width - cell.chars().count();
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', pad + 2));
        }
        println!("{}", text.trim_end());
    };
    line(&mut header.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
}

/// One cell of a table; nothing for an absent member.
pub fn cell(name: &str, value: &Value) -> String {
    if value.is_null() { String::new() } else { scalar(name, value).unwrap_or_else(|| value.to_string()) }
}

/// Prints a document, indented.
pub fn json(document: &Value) {
    println!("{document:#}");
}

/// Prints a document as `Name  value` lines, nested members indented: what `show` shows.
pub fn document(document: &Value) {
    members(document, 0);
}

fn members(value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match scalar(name, value) {
                    Some(text) => println!("{indent}{name}: {text}"),
                    None => {
                        println!("{indent}{name}:");
                        members(value, depth + 1);
                    }
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                match scalar("", item) {
                    Some(text) => println!("{indent}- {text}"),
                    None => {
                        println!("{indent}-");
                        members(item, depth + 1);
                    }
                }
            }
        }
        other => println!("{indent}{other}"),
    }
}

/// Text of a value that fits on its line; times, which the API gives as seconds, as dates.
fn scalar(name: &str, value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(match number.as_f64() {
            Some(seconds) if is_time(name) => time(seconds),
            _ => number.to_string(),
        }),
        Value::Bool(_) | Value::Null => Some(value.to_string()),
        Value::Array(items) if items.is_empty() => Some("(none)".into()),
        Value::Object(map) if map.is_empty() => Some("(none)".into()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn is_time(name: &str) -> bool {
    matches!(name, "CreationTime" | "LastModifiedTime" | "StartTime" | "EndTime" | "Timestamp")
        || name.ends_with("StartTime")
        || name.ends_with("EndTime")
}

/// `2026-11-23 00:51:56`, UTC.
pub fn time(seconds: f64) -> String {
    let iso = strata_base::Timestamp::from_seconds(seconds).iso8601();
    iso.get(..19).unwrap_or(&iso).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_dates_and_other_numbers_as_numbers() {
        assert_eq!(scalar("CreationTime", &Value::from(1_700_000_000.5)).unwrap(), "2023-11-14 22:13:20");
        assert_eq!(scalar("BillableTimeInSeconds", &Value::from(3)).unwrap(), "3");
    }
}
