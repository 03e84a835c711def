//! A toy algorithm and a small cloud around it, for tests of models and endpoints.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use strata_algorithms::{Algorithm, Card, Job, TrainError};
use strata_base::Cloud;
use strata_base::doubles::{MemoryLogs, MemoryMetrics, MemoryObjects, NoCompute};
use strata_base::logs::LogQuery;
use strata_base::memory::MemoryMetadata;
use strata_base::predictor::{Answer, PredictError, Request, Scorer};

use crate::Ports;
use crate::endpoints::{Endpoint, Endpoints, NewConfig, NewEndpoint, VariantSpec};
use crate::models::{Container, Data, Models, NewModel};

/// Answers every request with the text of its file `model`.
pub struct Toy;

static CARD: Card = Card {
    name: "toy",
    images: &[],
    summary: "Says what its file says.",
    hyperparameters: &[],
    channels: &[],
    metrics: &[],
};

impl Algorithm for Toy {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn train(&self, _job: &Job) -> Result<(), TrainError> {
        Err(TrainError::Client("the toy does not learn".into()))
    }

    fn load(&self, model: &Path) -> Result<Box<dyn Scorer>, String> {
        match std::fs::read_to_string(model.join("model")) {
            Err(cause) => Err(format!("file \"model\": {cause}")),
            Ok(text) if text == "panic" => panic!("told to panic"),
            Ok(text) => Ok(Box::new(Says(text))),
        }
    }
}

struct Says(String);

impl Scorer for Says {
    fn score(&self, request: &Request) -> Result<Answer, PredictError> {
        match &*request.body {
            b"bad" => Err(PredictError::BadRequest("could not read \"bad\"".into())),
            b"panic" => panic!("told to panic"),
            _ => Ok(Answer {
                content_type: if request.accept.is_empty() {
                    "text/csv".into()
                } else {
                    request.accept.clone()
                },
                body: self.0.clone().into_bytes().into(),
                custom_attributes: request.custom_attributes.clone(),
            }),
        }
    }

    fn size(&self) -> usize {
        self.0.len()
    }
}

/// A cloud in memory; `restarted` gives another process on the same state.
pub struct World {
    pub objects: Arc<MemoryObjects>,
    pub metrics: Arc<MemoryMetrics>,
    pub ports: Arc<Ports>,
    pub models: Arc<Models>,
    pub endpoints: Arc<Endpoints>,
    pub work: Arc<tempfile::TempDir>,
}

impl World {
    pub fn new() -> Self {
        let work = Arc::new(tempfile::tempdir().expect("a folder for the test"));
        let (objects, metrics) = (Arc::<MemoryObjects>::default(), Arc::<MemoryMetrics>::default());
        let ports = Arc::new(Ports {
            cloud: Cloud::default(),
            metadata: Arc::new(MemoryMetadata::default()),
            objects: objects.clone(),
            logs: Arc::new(MemoryLogs::default()),
            metrics: metrics.clone(),
            compute: Arc::new(NoCompute),
            work: work.path().into(),
            program: PathBuf::new(),
        });
        Self::on(ports, objects, metrics, work)
    }

    pub fn restarted(&self) -> Self {
        Self::on(self.ports.clone(), self.objects.clone(), self.metrics.clone(), self.work.clone())
    }

    fn on(
        ports: Arc<Ports>,
        objects: Arc<MemoryObjects>,
        metrics: Arc<MemoryMetrics>,
        work: Arc<tempfile::TempDir>,
    ) -> Self {
        let toy: &'static dyn Algorithm = &Toy;
        let resolver = Arc::new(move |image: &str| (image == "toy").then_some(toy));
        let models = Arc::new(Models::with_resolver(ports.clone(), resolver));
        let endpoints = Arc::new(Endpoints::new(ports.clone(), models.clone()));
        Self { objects, metrics, ports, models, endpoints, work }
    }

    /// Stores an archive that makes the toy say `text`, and a model of this name on it.
    pub async fn model(&self, name: &str, text: &str) {
        self.objects.insert("b", &format!("{name}.tar.gz"), archive(&[("model", text.as_bytes())]));
        self.models.create(new_model(name)).await.expect("a model");
    }

    /// A configuration of `variant:model:weight` words.
    pub async fn config(&self, name: &str, variants: &str) {
        let variants = variants.split_whitespace().map(|word| {
            let mut parts = word.split(':').map(str::to_string);
            let mut next = || parts.next().unwrap_or_default();
            VariantSpec {
                name: next(),
                model: next(),
                weight: next().parse().unwrap_or(1.0),
                instances: 1,
                instance_type: "ml.m5.large".into(),
                patience: 60,
            }
        });
        let new = NewConfig {
            name: name.into(),
            variants: variants.collect(),
            tags: Vec::new(),
            document: Value::Null,
        };
        self.endpoints.configs.create(new).await.expect("a configuration");
    }

    /// Creates the endpoint and waits for what becomes of it.
    pub async fn endpoint(&self, name: &str, config: &str) -> Endpoint {
        self.endpoints.create(new_endpoint(name, config)).await.expect("an endpoint");
        self.endpoints.settled(name).await.expect("an endpoint")
    }

    /// All messages of an endpoint's log group.
    pub async fn log(&self, endpoint: &str) -> String {
        self.endpoints.flush().await;
        let group = format!("/aws/sagemaker/Endpoints/{endpoint}");
        let query = LogQuery { group, limit: 1000, ..LogQuery::default() };
        let lines = self.ports.logs.read(&query).await.expect("log lines");
        lines.into_iter().map(|line| line.message + "\n").collect()
    }
}

pub fn new_model(name: &str) -> NewModel {
    let data = Some(Data::Archive(format!("s3://b/{name}.tar.gz")));
    NewModel {
        name: name.into(),
        container: Container { image: "toy".into(), data, environment: Default::default() },
        tags: Vec::new(),
        document: Value::Null,
    }
}

pub fn new_endpoint(name: &str, config: &str) -> NewEndpoint {
    NewEndpoint {
        name: name.into(),
        config: config.into(),
        tags: Vec::new(),
        policy: None,
        document: json!({ "EndpointName": name, "EndpointConfigName": config }),
    }
}

/// A `tar.gz` of these files.
pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, body) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *body).expect("writing to memory");
    }
    builder.into_inner().and_then(GzEncoder::finish).expect("writing to memory")
}
