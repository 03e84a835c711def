//! What models and endpoints have in common: list, show, remove.

use serde_json::{Value, json};

use crate::cli::Shelf;
use crate::client::Client;
use crate::output;

/// A kind of resource, by the names the SageMaker API gives to its operations and members.
pub struct Kind {
    /// `Model`: gives ListModels, DescribeModel, DeleteModel, ModelName, Models.
    pub noun: &'static str,
    /// Members of the list's entries to print, with their column titles.
    pub columns: &'static [(&'static str, &'static str)],
    /// Why one cannot be stopped, and what to do instead.
    pub stop: &'static str,
}

pub fn run(cloud: &Client, kind: &Kind, command: Shelf, json: bool) -> Result<(), String> {
    let name_member = format!("{}Name", kind.noun);
    match command {
        Shelf::Ls(args) => {
            let plural = format!("{}s", kind.noun);
            let query =
                json!({ "NameContains": args.contains, "SortBy": "CreationTime", "SortOrder": "Descending" });
            let items = cloud.list(&format!("List{plural}"), &plural, query, args.limit)?;
            print(&items, kind.columns, json);
        }
        Shelf::Show(args) => {
            let answer =
                cloud.sagemaker(&format!("Describe{}", kind.noun), &json!({ name_member: args.name }))?;
            if json { output::json(&answer) } else { output::document(&answer) }
        }
        Shelf::Stop(args) => return Err(format!("{}: {}", args.name, kind.stop)),
        Shelf::Rm(args) => {
            cloud.sagemaker(&format!("Delete{}", kind.noun), &json!({ name_member: args.name }))?;
        }
    }
    Ok(())
}

/// Prints list entries, as JSON or as a table of the given members.
pub fn print(items: &[Value], columns: &[(&str, &str)], json: bool) {
    if json {
        return output::json(&Value::Array(items.to_vec()));
    }
    let header: Vec<&str> = columns.iter().map(|(_, title)| *title).collect();
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| columns.iter().map(|(member, _)| output::cell(member, &item[*member])).collect())
        .collect();
    output::table(&header, &rows);
}
