//! The commands and options, with the words a person reads in `--help`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const EXAMPLES: &str = "\
First steps:
  strata up                      start the cloud (leave it running)
  eval \"$(strata env)\"           in another terminal: point boto3, the AWS CLI and SDKs at it
  aws s3 mb s3://my-bucket       use it
  strata jobs ls                 look at it
";

/// The machine learning cloud you can carry: AWS-compatible, in one program.
#[derive(Parser)]
#[command(name = "strata", version, about, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// Folder that holds everything the cloud knows [default: the platform's data folder + /strata]
    #[arg(long, global = true, env = "STRATA_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Start the cloud and serve until SIGTERM or Ctrl-C
    Up(Up),
    /// Print the exports that point AWS tools at this cloud, for eval "$(strata env)"
    Env,
    /// Show the fidelity ledger: what every operation does here, and what it does not
    Api(Api),
    /// Training jobs: list, show, stop, remove
    #[command(subcommand)]
    Jobs(Jobs),
    /// Models: list, show, remove
    #[command(subcommand)]
    Models(Shelf),
    /// Endpoints: list, show, remove
    #[command(subcommand)]
    Endpoints(Shelf),
    /// Print the log of a training job or an endpoint
    Logs(Logs),
    /// Send one request to an endpoint and print the answer
    Invoke(Invoke),
    /// Framework packages: list, install
    #[command(subcommand)]
    Frameworks(Frameworks),
    /// Say what is installed, what is missing, and how to get it
    Doctor,
    /// Run a built-in algorithm in a prepared /opt/ml folder (what a training job runs)
    #[command(hide = true)]
    Algorithm(Algorithm),
}

#[derive(Args)]
pub struct Up {
    /// Port to listen on; 0 takes a free one and says which
    #[arg(long, default_value_t = 7410, env = "STRATA_PORT")]
    pub port: u16,

    /// Address to listen on; keep to loopback unless the network is yours
    #[arg(long, default_value = "127.0.0.1", env = "STRATA_BIND", value_name = "ADDRESS")]
    pub bind: IpAddr,

    /// Developer mode: log every request
    #[arg(long)]
    pub dev: bool,

    /// Training jobs that run at the same time [default: one a core]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
}

#[derive(Args)]
pub struct Api {
    /// Only this service, e.g. sagemaker
    pub service: Option<String>,

    /// Only operations with this label
    #[arg(long, value_parser = ["real", "partial", "refused"])]
    pub label: Option<String>,
}

#[derive(Subcommand)]
pub enum Jobs {
    /// List training jobs, newest first
    Ls(Ls),
    /// Show one training job: status, metrics, times, model
    Show(Name),
    /// Stop a training job; what it saved is kept
    Stop(Name),
    /// Remove a training job that has ended
    Rm(Name),
}

#[derive(Subcommand)]
pub enum Shelf {
    /// List, newest first
    Ls(Ls),
    /// Show one
    Show(Name),
    /// Only jobs can be stopped; says what to do instead
    Stop(Name),
    /// Remove one
    Rm(Name),
}

#[derive(Args)]
pub struct Ls {
    /// Only names that contain this text
    pub contains: Option<String>,

    /// Most lines to print
    #[arg(long, short = 'n', default_value_t = 100)]
    pub limit: usize,
}

#[derive(Args)]
pub struct Name {
    pub name: String,
}

#[derive(Args)]
pub struct Logs {
    /// A training job or an endpoint
    pub name: String,

    /// Go on printing lines as they come, until the job ends or Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
}

#[derive(Args)]
pub struct Invoke {
    /// The endpoint
    pub name: String,

    /// The request: text, @FILE, or @- for standard input
    #[arg(long, value_name = "BODY")]
    pub body: String,

    #[arg(long, default_value = "text/csv", value_name = "TYPE")]
    pub content_type: String,

    /// The type of answer you want, e.g. application/json
    #[arg(long, value_name = "TYPE")]
    pub accept: Option<String>,

    /// Ask this production variant, whatever the weights
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
}

#[derive(Subcommand)]
pub enum Frameworks {
    /// List framework packages and whether they are installed
    Ls,
    /// Install one now (jobs install what they need on first use)
    Install {
        name: String,
        /// A wheel file, or a folder of wheels, to take instead of the package index
        #[arg(long, value_name = "PATH")]
        wheel: Option<PathBuf>,
    },
}

#[derive(Args)]
pub struct Algorithm {
    /// E.g. xgboost
    pub name: String,

    /// What to do: train
    #[arg(value_parser = ["train"])]
    pub verb: String,

    /// The folder that stands for /opt/ml
    #[arg(long, default_value = "/opt/ml", value_name = "DIR")]
    pub opt_ml: PathBuf,
}
