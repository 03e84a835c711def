//! `strata frameworks`: the packages that jobs need.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};
use strata_frameworks::{FrameworkError, Shelf};

use crate::cli::Frameworks;
use crate::output;

pub fn run(command: Frameworks, as_json: bool) -> Result<ExitCode, String> {
    match command {
        Frameworks::Ls => list(as_json)?,
        Frameworks::Install { name, wheel } => {
            let start = Instant::now();
            let path = install(&name, wheel).map_err(|cause| cause.to_string())?;
            if as_json {
                output::json(&json!({ "name": name, "path": path }));
            } else {
                println!("{name} is ready at {} ({:.1} s)", path.display(), start.elapsed().as_secs_f32());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// From the given wheel alone, or as jobs do it.
fn install(name: &str, wheel: Option<PathBuf>) -> Result<PathBuf, FrameworkError> {
    let Some(wheel) = wheel else { return strata_frameworks::install(name) };
    let shelf = Shelf::from_env()?;
    Shelf::new(shelf.folder(), vec![wheel], false).install(strata_frameworks::find(name)?)
}

fn list(as_json: bool) -> Result<(), String> {
    let statuses = strata_frameworks::packages()
        .iter()
        .map(|package| strata_frameworks::status(&package.name))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| cause.to_string())?;
    if as_json {
        let list: Vec<Value> = statuses
            .iter()
            .map(|status| {
                json!({
                    "name": status.name,
                    "version": status.version,
                    "licence": status.licence,
                    "library": status.library,
                    "remedy": status.remedy,
                })
            })
            .collect();
        output::json(&Value::Array(list));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = statuses
        .into_iter()
        .map(|status| {
            let place = match (status.library, status.remedy) {
                (Some(library), _) => library.display().to_string(),
                (None, remedy) => remedy.unwrap_or_else(|| "not installed".into()),
            };
            vec![status.name.into(), status.version.into(), status.licence.into(), place]
        })
        .collect();
    output::table(&["NAME", "VERSION", "LICENCE", "INSTALLED AT"], &rows);
    Ok(())
}
