//! `strata up`: starts the cloud and serves until it is told to stop.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use tracing_subscriber::EnvFilter;

use crate::cli::Up;
use crate::config::{self, Running};
use crate::wiring::{self, Settings};

/// How long requests in flight may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(30);
/// How long the lock of a cloud that has ended may live on: a child process that was being
/// started at that moment holds a copy of it until it runs its program.
const LINGER: Duration = Duration::from_secs(2);

pub fn run(data: &Path, args: Up) -> Result<ExitCode, String> {
    start_log(args.dev);
    let keys = config::keys(data)?;
    let _lock = lock(data)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|cause| format!("could not start the runtime: {cause}"))?;
    runtime.block_on(async {
        // Before the port opens: from then on a signal means a graceful end.
        let stop = stop_signal()?;
        let settings = Settings { data: data.to_path_buf(), keys, jobs: args.jobs };
        let cloud = wiring::Cloud::open(settings).await?;
        let address = SocketAddr::new(args.bind, args.port);
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|cause| format!("could not listen on {address}: {cause}; choose another --port"))?;
        let address = listener.local_addr().map_err(|cause| cause.to_string())?;
        let url = format!("http://{address}");
        Running { url: url.clone(), pid: std::process::id() }.save(data)?;
        println!("listening on {url}");
        println!("data in {}", data.display());
        println!("in another terminal: eval \"$(strata env --data-dir {})\"", data.display());
        cloud.serve(listener, stop, GRACE).await;
        Running::remove(data);
        info!("stopped");
        Ok(ExitCode::SUCCESS)
    })
}

/// Log lines go to standard error; `STRATA_LOG` filters them (e.g. `strata=debug`).
fn start_log(dev: bool) {
    let default = if dev { "info,s3s=off,strata_wire=debug" } else { "info,s3s=off" };
    let filter = EnvFilter::try_from_env("STRATA_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// Two clouds on one data folder would spoil each other's work: the second one is refused.
fn lock(data: &Path) -> Result<File, String> {
    fs::create_dir_all(data).map_err(|cause| format!("data folder {}: {cause}", data.display()))?;
    let path = data.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|cause| format!("could not open {}: {cause}", path.display()))?;
    let patience = Instant::now() + LINGER;
    let mut locked = file.try_lock();
    while matches!(locked, Err(TryLockError::WouldBlock)) && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(10));
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let who = Running::load(data)
                .map(|running| format!(" (process {}, {})", running.pid, running.url))
                .unwrap_or_default();
            Err(format!(
                "another cloud{who} runs on {}; stop it, or give --data-dir another folder",
                data.display()
            ))
        }
        Err(TryLockError::Error(cause)) => Err(format!("could not lock {}: {cause}", path.display())),
    }
}

/// Resolves at the first SIGTERM or SIGINT.
fn stop_signal() -> Result<impl Future<Output = ()>, String> {
    let listen = |kind| signal(kind).map_err(|cause| format!("could not listen for signals: {cause}"));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
