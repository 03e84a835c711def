//! `strata api`: the fidelity ledger, from the very table that serves the operations.

use std::process::ExitCode;

use serde_json::{Value, json};
use strata_wire::Label;
use strata_wire::ledger::Line;

use crate::cli::Api;
use crate::output;

pub fn run(args: &Api, as_json: bool) -> Result<ExitCode, String> {
    let ledger = strata_api::ledger();
    if let Some(service) = &args.service
        && !ledger.iter().any(|line| line.service == service)
    {
        let mut names: Vec<&str> = ledger.iter().map(|line| line.service).collect();
        names.dedup();
        return Err(format!("no service {service:?}; there are {}", names.join(", ")));
    }
    let lines: Vec<Shown> = ledger
        .into_iter()
        .map(Shown::of)
        .filter(|line| args.service.as_ref().is_none_or(|service| line.service == service))
        .filter(|line| args.label.as_ref().is_none_or(|label| line.label == label))
        .collect();
    if as_json {
        let lines: Vec<Value> = lines
            .iter()
            .map(|line| {
                json!({ "service": line.service, "operation": line.operation, "label": line.label, "note": line.note })
            })
            .collect();
        output::json(&Value::Array(lines));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| vec![line.service.into(), line.operation.into(), line.label.into(), line.note.clone()])
        .collect();
    output::table(&["SERVICE", "OPERATION", "LABEL", "NOTE"], &rows);
    let count = |label: &str| lines.iter().filter(|line| line.label == label).count();
    println!("\n{} real, {} partial, {} refused", count("real"), count("partial"), count("refused"));
    Ok(ExitCode::SUCCESS)
}

/// A line of the ledger as it is printed.
struct Shown {
    service: &'static str,
    operation: &'static str,
    label: &'static str,
    note: String,
}

impl Shown {
    fn of(line: Line) -> Self {
        let (label, note) = match line.label {
            Label::Real => ("real", String::new()),
            Label::Partial(lacks) => ("partial", lacks),
            Label::Refused(instead) => ("refused", instead),
        };
        Self { service: line.service, operation: line.operation, label, note }
    }
}
