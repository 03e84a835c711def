//! `strata doctor`: what is installed, what is missing, how to get it.

use std::path::Path;
use std::process::{Command, ExitCode};

use serde_json::{Value, json};
use strata_frameworks::Package;

use crate::config::Running;
use crate::output;

/// One thing looked at.
struct Finding {
    what: String,
    well: bool,
    found: String,
    /// What to do, where something is missing.
    remedy: String,
}

pub fn run(data: &Path, as_json: bool) -> Result<ExitCode, String> {
    let mut findings = vec![data_folder(data), cloud(data), machine()];
    findings.extend(strata_frameworks::packages().iter().map(framework));
    findings.push(python());
    let well = findings.iter().all(|finding| finding.well);
    if as_json {
        let list: Vec<Value> = findings
            .iter()
            .map(|f| json!({ "what": f.what, "ok": f.well, "found": f.found, "remedy": f.remedy }))
            .collect();
        output::json(&Value::Array(list));
    } else {
        let rows: Vec<Vec<String>> = findings
            .into_iter()
            .map(|f| vec![f.what, if f.well { "ok" } else { "missing" }.into(), f.found, f.remedy])
            .collect();
        output::table(&["WHAT", "STATE", "FOUND", "WHAT TO DO"], &rows);
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn data_folder(data: &Path) -> Finding {
    let found = data.display().to_string();
    let what = "data folder".to_string();
    let usable = match std::fs::metadata(data) {
        Ok(meta) if !meta.is_dir() => Err("it is not a folder: give another with --data-dir"),
        Ok(meta) if meta.permissions().readonly() => Err("it is read-only: give another with --data-dir"),
        Ok(_) => Ok(""),
        Err(_) => Ok("made by the first \"strata up\""),
    };
    match usable {
        Ok(remedy) => Finding { what, well: true, found, remedy: remedy.into() },
        Err(remedy) => Finding { what, well: false, found, remedy: remedy.into() },
    }
}

fn cloud(data: &Path) -> Finding {
    let (found, remedy) = match Running::load(data) {
        Some(running) => (format!("runs at {} (process {})", running.url, running.pid), ""),
        None => ("not running".into(), "strata up"),
    };
    Finding { what: "cloud".into(), well: true, found, remedy: remedy.into() }
}

fn machine() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let found = format!("{} {}, {cores} cores", std::env::consts::OS, std::env::consts::ARCH);
    Finding { what: "machine".into(), well: true, found, remedy: String::new() }
}

fn framework(package: &'static Package) -> Finding {
    let what = format!("framework {}", package.name);
    let status = match strata_frameworks::status(&package.name) {
        Ok(status) => status,
        Err(cause) => {
            let remedy = "set STRATA_FRAMEWORKS_DIR to a folder of yours".into();
            return Finding { what, well: false, found: cause.to_string(), remedy };
        }
    };
    match status.library {
        Some(library) => {
            let found = format!("{} at {}", status.version, library.display());
            Finding { what, well: true, found, remedy: String::new() }
        }
        None => Finding {
            what,
            well: false,
            found: "not installed".into(),
            remedy: format!(
                "strata frameworks install {}{}",
                package.name,
                status.remedy.map(|remedy| format!(" ({remedy})")).unwrap_or_default()
            ),
        },
    }
}

/// Packages come through pip, so that the user's own index settings hold.
fn python() -> Finding {
    let what = "python3 with pip".to_string();
    let output = Command::new("python3").args(["-m", "pip", "--version"]).output();
    match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            let found = text.split(" from ").next().unwrap_or_default().trim().to_string();
            Finding { what, well: true, found, remedy: String::new() }
        }
        _ => Finding {
            what,
            well: false,
            found: "not on PATH".into(),
            remedy: "apt-get install python3-pip, or install packages from a wheel: strata frameworks install NAME --wheel FILE".into(),
        },
    }
}
