//! One file a command.

mod algorithm;
mod api;
mod doctor;
mod endpoints;
mod env;
mod frameworks;
mod invoke;
mod jobs;
mod logs;
mod models;
mod shelf;
mod up;

use std::path::Path;
use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::client::Client;
use crate::config;

pub fn run(cli: Cli) -> Result<ExitCode, String> {
    // A job's program: no data folder, no runtime, nothing but the algorithm.
    if let Command::Algorithm(args) = &cli.command {
        return Ok(algorithm::run(args));
    }
    let data = config::data_dir(cli.data_dir)?;
    let json = cli.json;
    match cli.command {
        Command::Up(args) => up::run(&data, args),
        Command::Env => env::run(&data, json),
        Command::Api(args) => api::run(&args, json),
        Command::Doctor => doctor::run(&data, json),
        Command::Frameworks(args) => frameworks::run(args, json),
        Command::Algorithm(args) => Ok(algorithm::run(&args)),
        Command::Jobs(args) => with_cloud(&data, |cloud| jobs::run(cloud, args, json)),
        Command::Models(args) => with_cloud(&data, |cloud| shelf::run(cloud, &models::MODELS, args, json)),
        Command::Endpoints(args) => {
            with_cloud(&data, |cloud| shelf::run(cloud, &endpoints::ENDPOINTS, args, json))
        }
        Command::Logs(args) => with_cloud(&data, |cloud| logs::run(cloud, &args, json)),
        Command::Invoke(args) => with_cloud(&data, |cloud| invoke::run(cloud, &args)),
    }
}

fn with_cloud(data: &Path, act: impl FnOnce(&Client) -> Result<(), String>) -> Result<ExitCode, String> {
    act(&Client::connect(data)?)?;
    Ok(ExitCode::SUCCESS)
}
