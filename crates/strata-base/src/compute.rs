//! The `Compute` port: where programs run. A child process here; a Slurm or
//! Kubernetes job later.

use std::path::PathBuf;

use async_trait::async_trait;

/// A program to run, with everything it may see.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// For logs and accounting, e.g. the name of the training job.
    pub name: String,
    /// What to run and its arguments; the first is a path or found on PATH.
    pub argv: Vec<String>,
    /// The whole environment; nothing is inherited but PATH and the locale.
    pub env: Vec<(String, String)>,
    /// Working folder.
    pub folder: PathBuf,
    /// Most resident memory in bytes, where the place can enforce it.
    pub memory: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Asks the program to end (SIGTERM to its whole process group).
    Terminate,
    /// Ends it (SIGKILL to its whole process group).
    Kill,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    #[error("could not start program {program:?}: {cause}")]
    Start { program: String, cause: String },
    #[error("program {program:?}: {cause}")]
    Lost { program: String, cause: String },
}

#[async_trait]
pub trait Compute: Send + Sync + 'static {
    /// Starts the program in a process group of its own. It ends with the cloud: no child
    /// outlives a cloud that was killed.
    async fn launch(&self, program: &Program) -> Result<Box<dyn Process>, ComputeError>;
}

/// A program that runs. Nothing is lost when a future of `line` or `wait` is dropped before
/// its end. Dropping the process ends the program.
#[async_trait]
pub trait Process: Send {
    /// The next line of standard output or error, as they come, lossily decoded and cut to a
    /// bounded length; `None` after the last.
    async fn line(&mut self) -> Option<String>;

    /// Waits for the end. To be called after the last line.
    async fn wait(&mut self) -> Result<Exit, ComputeError>;

    /// A handle to signal it from elsewhere.
    fn signaller(&self) -> Box<dyn Fn(Signal) + Send + Sync>;
}
