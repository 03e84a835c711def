//! The layers put together: one running cloud.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use strata_compute::Local;
use strata_platform::access::RootKey;
use strata_platform::training::{Options, Training};
use strata_platform::{Platform, Ports};
use strata_store::{Blobs, Database, SqliteLogs, SqliteMetadata, SqliteMetrics};
use strata_wire::Door;
use strata_wire::server::{self, Limits};
use tokio::net::TcpListener;
use tracing::{error, info};

/// What a cloud is opened with.
pub struct Settings {
    pub data: PathBuf,
    pub keys: RootKey,
    /// Training jobs at the same time; one a core where nothing is said.
    pub jobs: Option<usize>,
}

pub struct Cloud {
    platform: Arc<Platform>,
    door: Arc<Door>,
    database: Database,
}

impl Cloud {
    /// Opens the data folder; what was unfinished goes on from here.
    pub async fn open(settings: Settings) -> Result<Self, String> {
        let Settings { data, keys, jobs } = settings;
        let database = Database::open(&data).await.map_err(|cause| cause.to_string())?;
        let objects = Blobs::open(database.clone(), &data.join("objects"))
            .await
            .map_err(|cause| format!("object store: {cause}"))?;
        let objects = Arc::new(objects);
        let ports = Ports {
            cloud: strata_base::Cloud::default(),
            metadata: Arc::new(SqliteMetadata::new(database.clone())),
            objects: objects.clone(),
            logs: Arc::new(SqliteLogs::new(database.clone())),
            metrics: Arc::new(SqliteMetrics::new(database.clone())),
            compute: Arc::new(Local::new()),
            work: data.join("work"),
            program: std::env::current_exe().map_err(|cause| format!("own program: {cause}"))?,
        };
        let mut platform = Platform::new(ports);
        let mut options = Options { environment: job_environment(), ..Options::default() };
        if let Some(jobs) = jobs {
            options.parallel = jobs.max(1);
        }
        platform.training = Arc::new(Training::with(platform.ports.clone(), options));
        let platform = Arc::new(platform);
        platform.access.open(&keys).await.map_err(|cause| format!("keys: {cause}"))?;
        let endpoints = platform.endpoints.resume().await.map_err(|cause| format!("endpoints: {cause}"))?;
        platform.training.resume().await.map_err(|cause| format!("training jobs: {cause}"))?;
        if endpoints > 0 {
            info!(endpoints, "endpoints come back");
        }
        let door = Arc::new(strata_api::door(&platform, objects));
        Ok(Self { platform, door, database })
    }

    /// Serves until `stop` resolves, then finishes what is in flight and closes the store.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>, grace: Duration) {
        server::serve(listener, self.door, Limits { grace, ..Limits::default() }, stop).await;
        self.platform.training.shutdown().await;
        self.platform.endpoints.flush().await;
        if let Err(cause) = self.platform.endpoints.flush_metrics().await {
            error!(%cause, "the last metrics were not stored");
        }
        self.database.close().await;
    }
}

/// What a job's program inherits: where framework packages are, and how pip reaches its index.
fn job_environment() -> Vec<(String, String)> {
    const NAMES: [&str; 11] = [
        "HOME",
        "TMPDIR",
        "XDG_CACHE_HOME",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
    ];
    const PREFIXES: [&str; 3] = ["STRATA_FRAMEWORKS_", "STRATA_WHEELS", "PIP_"];
    std::env::vars()
        .filter(|(name, _)| {
            NAMES.contains(&name.as_str())
                || name == "STRATA_OFFLINE"
                || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        })
        .collect()
}
