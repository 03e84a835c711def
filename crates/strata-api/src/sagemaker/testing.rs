//! A platform in memory with a toy algorithm, and calls to its operations, for tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use strata_algorithms::{Algorithm, Card, Job, TrainError};
use strata_base::Cloud;
use strata_base::doubles::{MemoryLogs, MemoryMetrics, MemoryObjects, NoCompute};
use strata_base::memory::MemoryMetadata;
use strata_base::predictor::{Answer, PredictError, Request, Scorer};
use strata_platform::endpoints::Endpoints;
use strata_platform::models::Models;
use strata_platform::{Platform, Ports};
use strata_wire::{Call, Caller, Fault, Reply};

/// Answers every request with its own body.
struct Echo;

static CARD: Card =
    Card { name: "echo", images: &[], summary: "Echoes.", hyperparameters: &[], channels: &[], metrics: &[] };

impl Algorithm for Echo {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn train(&self, _job: &Job) -> Result<(), TrainError> {
        Err(TrainError::Client("nothing to learn".into()))
    }

    fn load(&self, _model: &Path) -> Result<Box<dyn Scorer>, String> {
        Ok(Box::new(Echo))
    }
}

impl Scorer for Echo {
    fn score(&self, request: &Request) -> Result<Answer, PredictError> {
        match &*request.body {
            b"bad" => Err(PredictError::BadRequest("could not read \"bad\"".into())),
            b"break" => Err(PredictError::Failed("it broke".into())),
            _ => Ok(Answer {
                content_type: request.content_type.clone(),
                body: request.body.clone(),
                custom_attributes: request.custom_attributes.clone(),
            }),
        }
    }

    fn size(&self) -> usize {
        0
    }
}

pub struct World {
    pub platform: Arc<Platform>,
    pub objects: Arc<MemoryObjects>,
    _work: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        let work = tempfile::tempdir().expect("a folder for the test");
        let objects = Arc::<MemoryObjects>::default();
        let mut platform = Platform::new(Ports {
            cloud: Cloud::default(),
            metadata: Arc::new(MemoryMetadata::default()),
            objects: objects.clone(),
            logs: Arc::new(MemoryLogs::default()),
            metrics: Arc::new(MemoryMetrics::default()),
            compute: Arc::new(NoCompute),
            work: work.path().into(),
            program: PathBuf::new(),
        });
        let echo: &'static dyn Algorithm = &Echo;
        let resolver = Arc::new(move |image: &str| (image == "echo").then_some(echo));
        platform.models = Arc::new(Models::with_resolver(platform.ports.clone(), resolver));
        platform.endpoints = Arc::new(Endpoints::new(platform.ports.clone(), platform.models.clone()));
        Self { platform: Arc::new(platform), objects, _work: work }
    }

    /// Calls an operation as the door would, its document being valid.
    pub async fn call(&self, operation: &'static str, document: Value) -> Result<Value, Fault> {
        let reply = self.call_whole("sagemaker", operation, document, Bytes::new(), HeaderMap::new()).await?;
        Ok(reply.document)
    }

    pub async fn call_whole(
        &self,
        service: &'static str,
        operation: &'static str,
        document: Value,
        payload: Bytes,
        headers: HeaderMap,
    ) -> Result<Reply, Fault> {
        let services: Vec<_> =
            crate::operations().into_iter().map(|operations| operations.bind(&self.platform)).collect();
        let service = services.iter().find(|known| known.name == service).expect("a service");
        let handler = service.operations[operation].handler.as_ref().expect("a handler");
        let caller = Caller {
            access_key: String::new(),
            arn: String::new(),
            user_id: String::new(),
            account: "123456789012".into(),
        };
        handler(Call {
            service: service.name,
            operation,
            caller,
            request_id: String::new(),
            region: "us-east-1".into(),
            document,
            payload,
            headers,
        })
        .await
    }

    /// The fault's sentence, or the answer as text.
    pub async fn said(&self, operation: &'static str, document: Value) -> String {
        match self.call(operation, document).await {
            Ok(answer) => answer.to_string(),
            Err(fault) => fault.to_string(),
        }
    }

    /// An endpoint `e` in service, with a variant `v`.
    pub async fn with_endpoint() -> Self {
        let world = Self::new();
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        builder.append_data(&mut header, "model", b"x".as_slice()).expect("writing to memory");
        world.objects.insert("b", "m.tar.gz", builder.into_inner().expect("writing to memory"));
        let container = serde_json::json!({ "Image": "echo", "ModelDataUrl": "s3://b/m.tar.gz" });
        let variant = serde_json::json!({
            "VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"
        });
        for (operation, document) in [
            ("CreateModel", serde_json::json!({ "ModelName": "m", "PrimaryContainer": container })),
            (
                "CreateEndpointConfig",
                serde_json::json!({ "EndpointConfigName": "c", "ProductionVariants": [variant] }),
            ),
            ("CreateEndpoint", serde_json::json!({ "EndpointName": "e", "EndpointConfigName": "c" })),
        ] {
            world.call(operation, document).await.expect(operation);
        }
        world.platform.endpoints.settled("e").await.expect("an endpoint");
        world
    }
}
