//! Endpoints: models in service behind a name, split by weight, replaced without a gap.
//!
//! [`Endpoints`] records what callers ask and does the loading; [`live`] answers requests
//! from memory; [`phase`] says what may follow what.

mod config;
mod histogram;
mod inprocess;
mod journal;
mod live;
mod meters;
mod phase;
mod shares;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures::FutureExt;
use futures::future::try_join_all;
use serde_json::{Value, json};
use strata_base::metadata::{ListQuery, Metadata, MetadataError, Page, Record};
use strata_base::metrics::{Metrics, MetricsError};
use strata_base::predictor::Request;
use strata_base::{Cloud, Timestamp};
use tokio::sync::watch;

pub use config::{ConfigError, EndpointConfig, EndpointConfigs, NewConfig, VariantSpec};
pub use live::{Invocation, InvokeError, Invoked};
pub use phase::{Deployment, Phase, State, Variant};

use crate::Ports;
use crate::models::Models;
use crate::tags::{TagError, Tags};
use inprocess::{InProcess, Pool};
use journal::{Journal, Place};
use live::{LiveEndpoint, LiveVariant, Parts};
use meters::Meters;
use phase::Change;

const KIND: &str = "endpoint";
/// How often counters go to CloudWatch. Readers flush first, so this bounds only what a
/// power loss may take.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// AWS's limit for one invocation.
const INVOKE_TIME: Duration = Duration::from_secs(60);
/// Most bytes of a FailureReason.
const LONGEST_REASON: usize = 1024;

pub struct Endpoints {
    pub configs: EndpointConfigs,
    cloud: Cloud,
    metadata: Arc<dyn Metadata>,
    metrics: Arc<dyn Metrics>,
    models: Arc<Models>,
    tags: Tags,
    live: ArcSwap<HashMap<String, Slot>>,
    meters: Meters,
    journal: Arc<Journal>,
    pool: Arc<Pool>,
    /// Held from reading a record to replacing its entry in `live`, so that both tell the
    /// same story. Loading happens outside.
    changing: tokio::sync::Mutex<()>,
    /// Counts changes; who waits for an endpoint looks again at each.
    changes: watch::Sender<u64>,
    invoke_time: Duration,
}

/// What the request path finds under an endpoint's name.
#[derive(Clone)]
enum Slot {
    /// In service before the restart, being loaded again.
    Waking,
    Serving(Arc<LiveEndpoint>),
}

/// What CreateEndpoint asks for.
#[derive(Clone, Debug)]
pub struct NewEndpoint {
    pub name: String,
    pub config: String,
    pub tags: Vec<(String, String)>,
    /// `DeploymentConfig`, echoed by Describe.
    pub policy: Option<Value>,
    pub document: Value,
}

/// What UpdateEndpoint asks for.
#[derive(Clone, Debug, Default)]
pub struct Update {
    pub name: String,
    pub config: String,
    /// Variants that keep their name keep their weight.
    pub retain_weights: bool,
    /// Variants that keep their name keep their instance count.
    pub retain_instances: bool,
    pub policy: Option<Value>,
    pub retain_policy: bool,
}

/// New weight and instance count of one variant, where given.
#[derive(Clone, Debug)]
pub struct Adjustment {
    pub variant: String,
    pub weight: Option<f64>,
    pub instances: Option<u32>,
}

/// An endpoint as recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    pub name: String,
    pub arn: String,
    pub created: Timestamp,
    pub modified: Timestamp,
    pub state: State,
    pub document: Value,
}

#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("Cannot create already existing endpoint {0:?}.")]
    Exists(String),
    #[error("Could not find endpoint {0:?}.")]
    Missing(String),
    #[error("Cannot update in-progress endpoint {0:?}.")]
    InProgress(String),
    #[error(
        "Cannot change weights of endpoint {arn:?} while it is {}: update it with an endpoint configuration \
         whose models load, or delete it.", .phase.word()
    )]
    NotServing { arn: String, phase: Phase },
    #[error("The variant name(s) {names:?} is/are not present within Endpoint configuration {config:?}.")]
    UnknownVariants { names: String, config: String },
    #[error("Variant {0:?} is named twice.")]
    TwinVariants(String),
    #[error("DesiredInstanceCount of variant {0:?} must be at least 1.")]
    NoInstances(String),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tags(TagError),
    #[error("NextToken {0:?} is not one that this operation returned")]
    Token(String),
    #[error("{0}")]
    Store(String),
}

impl From<MetadataError> for EndpointError {
    fn from(error: MetadataError) -> Self {
        match error {
            MetadataError::Cursor(token) => Self::Token(token),
            error => Self::Store(error.to_string()),
        }
    }
}

impl From<TagError> for EndpointError {
    fn from(error: TagError) -> Self {
        match error {
            TagError::Store(error) => error.into(),
            error => Self::Tags(error),
        }
    }
}

impl Endpoints {
    pub fn new(ports: Arc<Ports>, models: Arc<Models>) -> Self {
        Self {
            configs: EndpointConfigs::new(ports.clone(), models.clone()),
            cloud: ports.cloud.clone(),
            metadata: ports.metadata.clone(),
            metrics: ports.metrics.clone(),
            models,
            live: ArcSwap::default(),
            meters: Meters::default(),
            journal: Arc::new(Journal::new(ports.logs.clone())),
            pool: Arc::default(),
            changing: tokio::sync::Mutex::default(),
            changes: watch::Sender::new(0),
            invoke_time: INVOKE_TIME,
            tags: Tags::new(ports),
        }
    }

    pub fn arn(&self, name: &str) -> String {
        self.cloud.sagemaker_arn(KIND, name)
    }

    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    // The request path.

    /// Answers a request from memory: no lock, no database. `received` is when it arrived.
    pub fn invoke(
        &self,
        name: &str,
        target: Option<&str>,
        request: Request,
        received: Instant,
    ) -> Invocation {
        match self.live.load().get(name) {
            Some(Slot::Serving(endpoint)) => endpoint.invoke(target, request, received),
            Some(Slot::Waking) => Invocation::Now(Err(InvokeError::Unavailable(format!(
                "Endpoint {name} is being loaded after a restart. Try your call again."
            )))),
            // AWS says the same of an endpoint that is not in service yet or any more.
            None => Invocation::Now(Err(InvokeError::NoEndpoint {
                endpoint: name.into(),
                account: self.cloud.account.clone(),
            })),
        }
    }

    /// Stores what was counted and noted so far. Readers of metrics and logs call it first,
    /// and so does a shutdown.
    pub async fn flush(&self) {
        self.journal.flush().await;
        if let Err(cause) = self.flush_metrics().await {
            tracing::warn!(%cause, "could not store metrics of endpoints; the next flush carries them");
        }
    }

    pub async fn flush_metrics(&self) -> Result<(), MetricsError> {
        self.meters.flush(&*self.metrics).await
    }

    /// Counters of all variants in Prometheus' text format.
    pub fn prometheus(&self) -> String {
        self.meters.prometheus()
    }

    // What callers ask.

    /// Records an endpoint and returns its ARN at once; its models are loaded meanwhile.
    pub async fn create(self: &Arc<Self>, new: NewEndpoint) -> Result<String, EndpointError> {
        Tags::check(&new.tags)?;
        let arn = self.arn(&new.name);
        // The name before the configuration: a second create of the same endpoint says so.
        if self.metadata.get(KIND, &new.name).await?.is_some() {
            return Err(EndpointError::Exists(arn));
        }
        let pending = self.configs.deployment(&new.config, new.policy).await?;
        let event = json!({ "phase": Phase::Creating, "config": pending.config });
        let state = State::created(pending);
        let record =
            Record::new(KIND, &new.name, arn.clone(), state.phase.word(), new.document, json!(state));
        match self.metadata.create(&record, Some(&event)).await {
            Ok(()) => {}
            Err(MetadataError::Exists { .. }) => return Err(EndpointError::Exists(arn)),
            Err(error) => return Err(error.into()),
        }
        self.tags.put(&arn, &new.tags).await?;
        self.announce();
        tokio::spawn(self.clone().deploy(new.name));
        Ok(arn)
    }

    /// Records other variants to serve and returns at once; the present ones answer until the
    /// others can.
    pub async fn update(self: &Arc<Self>, update: Update) -> Result<String, EndpointError> {
        let _changing = self.changing.lock().await;
        let (record, state) = self.read(&update.name).await?;
        if state.phase.in_progress() {
            return Err(EndpointError::InProgress(record.arn));
        }
        let mut deployment = self.configs.deployment(&update.config, update.policy).await?;
        if let Some(serving) = &state.serving {
            for variant in &mut deployment.variants {
                let Some(before) = serving.variants.iter().find(|before| before.name == variant.name) else {
                    continue;
                };
                if update.retain_weights {
                    variant.weight = before.weight;
                }
                if update.retain_instances {
                    variant.instances = before.instances;
                }
            }
            if update.retain_policy && deployment.policy.is_none() {
                deployment.policy.clone_from(&serving.policy);
            }
        }
        if !deployment.variants.iter().any(|variant| variant.weight > 0.0) {
            return Err(ConfigError::NoWeight.into());
        }
        let arn = record.arn.clone();
        self.change(record, &state, Change::Ask(deployment)).await?;
        tokio::spawn(self.clone().deploy(update.name));
        Ok(arn)
    }

    /// Sets weights and instance counts; they hold when this returns.
    pub async fn adjust(&self, name: &str, changes: Vec<Adjustment>) -> Result<String, EndpointError> {
        let _changing = self.changing.lock().await;
        let (record, state) = self.read(name).await?;
        if state.phase.in_progress() {
            return Err(EndpointError::InProgress(record.arn));
        }
        let Some(serving) = state.serving.as_ref().filter(|_| state.phase == Phase::InService) else {
            return Err(EndpointError::NotServing { arn: record.arn, phase: state.phase });
        };
        let unknown: Vec<&str> = changes
            .iter()
            .map(|change| change.variant.as_str())
            .filter(|name| !serving.variants.iter().any(|variant| variant.name == *name))
            .collect();
        if !unknown.is_empty() {
            let (names, config) = (unknown.join(", "), serving.config.clone());
            return Err(EndpointError::UnknownVariants { names, config });
        }
        for (at, change) in changes.iter().enumerate() {
            if changes[..at].iter().any(|earlier| earlier.variant == change.variant) {
                return Err(EndpointError::TwinVariants(change.variant.clone()));
            }
            if change.instances == Some(0) {
                return Err(EndpointError::NoInstances(change.variant.clone()));
            }
        }
        let arn = record.arn.clone();
        let changes = changes.into_iter().map(|change| (change.variant, change.weight, change.instances));
        let change = Change::Adjust(changes.collect());
        let next = state.next(change.clone()).map_err(|error| EndpointError::Store(error.to_string()))?;
        let Some(deployment) = next.serving.filter(|serving| serving.variants.iter().any(|v| v.weight > 0.0))
        else {
            return Err(ConfigError::NoWeight.into());
        };
        self.change(record, &state, change).await?;
        // While it wakes after a restart there is nothing to change; it will read the record.
        let serving = match self.live.load().get(name) {
            Some(Slot::Serving(endpoint)) => Some(endpoint.clone()),
            _ => None,
        };
        if let Some(endpoint) = serving {
            let variants = deployment.variants.iter().filter_map(|variant| {
                let live = endpoint.variant(&variant.name)?;
                self.meters.of(name, &variant.name).instances.store(variant.instances as usize, Relaxed);
                Some((live.clone(), variant.weight))
            });
            if let Some(endpoint) = LiveEndpoint::new(name.into(), variants.collect()) {
                self.place(name, Some(Slot::Serving(Arc::new(endpoint))));
            }
        }
        Ok(arn)
    }

    /// Removes the endpoint; requests that it has are still answered.
    pub async fn delete(&self, name: &str) -> Result<(), EndpointError> {
        let _changing = self.changing.lock().await;
        let (record, state) = self.read(name).await?;
        if state.phase.in_progress() {
            return Err(EndpointError::InProgress(record.arn));
        }
        match self.metadata.delete(KIND, name, Some(record.version)).await {
            Ok(()) => {}
            Err(MetadataError::Missing { .. }) => return Err(EndpointError::Missing(record.arn)),
            Err(error) => return Err(error.into()),
        }
        self.place(name, None);
        self.announce();
        self.tags.remove(&record.arn).await?;
        Ok(())
    }

    pub async fn describe(&self, name: &str) -> Result<Endpoint, EndpointError> {
        let (record, state) = self.read(name).await?;
        Ok(Endpoint {
            name: record.name,
            arn: record.arn,
            created: record.created,
            modified: record.modified,
            state,
            document: record.document,
        })
    }

    /// `kind` of the query is ours to set.
    pub async fn list(&self, query: ListQuery) -> Result<Page, EndpointError> {
        Ok(self.metadata.list(&ListQuery { kind: KIND.into(), ..query }).await?)
    }

    /// Waits until nothing is being loaded for this endpoint, and describes it.
    pub async fn settled(&self, name: &str) -> Result<Endpoint, EndpointError> {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let endpoint = self.describe(name).await?;
            let waking = matches!(self.live.load().get(name), Some(Slot::Waking));
            if !endpoint.state.phase.in_progress() && !waking {
                return Ok(endpoint);
            }
            if changes.changed().await.is_err() {
                return Ok(endpoint);
            }
        }
    }

    // The work behind it.

    /// Takes up what was there before a restart: endpoints in service are loaded again, what
    /// was being loaded goes on. Returns as soon as all is under way. To be called once, before
    /// requests are served.
    pub async fn resume(self: &Arc<Self>) -> Result<usize, EndpointError> {
        self.models.loader.clear().await;
        let mut count = 0;
        let mut query = ListQuery { kind: KIND.into(), limit: 500, ..ListQuery::default() };
        loop {
            let page = self.metadata.list(&query).await?;
            for record in page.records {
                let name = record.name.clone();
                let state = match state_of(&record) {
                    Ok(state) => state,
                    Err(cause) => {
                        tracing::error!(endpoint = name, %cause, "could not take up an endpoint");
                        continue;
                    }
                };
                count += 1;
                let serves = state.phase == Phase::InService || state.before == Some(Phase::InService);
                if serves {
                    self.place(&name, Some(Slot::Waking));
                }
                let endpoints = self.clone();
                tokio::spawn(async move {
                    if serves || state.phase == Phase::OutOfService {
                        endpoints.clone().wake(name.clone()).await;
                    }
                    if state.phase.in_progress() {
                        endpoints.deploy(name).await;
                    }
                });
            }
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => break,
            }
        }
        tokio::spawn(keep_flushing(Arc::downgrade(self)));
        Ok(count)
    }

    /// Loads the pending variants of an endpoint and lets them take over, or records why not.
    async fn deploy(self: Arc<Self>, name: String) {
        let deployment = match self.read(&name).await {
            Ok((_, State { pending: Some(deployment), phase, .. })) if phase.in_progress() => deployment,
            Ok(_) => return,
            Err(cause) => {
                tracing::error!(endpoint = name, %cause, "could not read an endpoint that is to be loaded");
                return;
            }
        };
        let loaded = self.load(&name, &deployment).await;
        if let Err(cause) = self.take_over(&name, &deployment, loaded).await {
            tracing::error!(
                endpoint = name, %cause,
                "could not record that its models are loaded; the next start tries again"
            );
        }
        self.announce();
    }

    async fn take_over(
        &self,
        name: &str,
        deployment: &Deployment,
        loaded: Result<Vec<Arc<LiveVariant>>, String>,
    ) -> Result<(), EndpointError> {
        let _changing = self.changing.lock().await;
        let (record, state) = self.read(name).await?;
        let live = loaded.and_then(|variants| self.assemble(name, variants, deployment));
        match live {
            Ok(endpoint) => {
                // Answers come before Describe says so, never after.
                let before = self.place(name, Some(Slot::Serving(Arc::new(endpoint))));
                let changed = self.change(record, &state, Change::Ready).await;
                if changed.is_err() {
                    self.place(name, before);
                }
                changed
            }
            Err(reason) => self.change(record, &state, Change::Broken(reason)).await,
        }
    }

    /// Loads the serving variants of an endpoint again, after a restart.
    async fn wake(self: Arc<Self>, name: String) {
        let Ok((_, State { serving: Some(deployment), .. })) = self.read(&name).await else { return };
        let loaded = self.load(&name, &deployment).await;
        if let Err(cause) = self.woken(&name, &deployment, loaded).await {
            tracing::error!(endpoint = name, %cause, "could not record the state of an endpoint");
        }
        self.announce();
    }

    async fn woken(
        &self,
        name: &str,
        deployment: &Deployment,
        loaded: Result<Vec<Arc<LiveVariant>>, String>,
    ) -> Result<(), EndpointError> {
        let _changing = self.changing.lock().await;
        // Deleted or replaced while we loaded: then this is nobody's business any more.
        if matches!(self.live.load().get(name), Some(Slot::Serving(_))) {
            return Ok(());
        }
        let (record, state) = self.read(name).await?;
        let Some(serving) = state
            .serving
            .clone()
            .filter(|serving| serving.config == deployment.config && serving.asked == deployment.asked)
        else {
            return Ok(());
        };
        match loaded.and_then(|variants| self.assemble(name, variants, &serving)) {
            Ok(endpoint) => {
                self.place(name, Some(Slot::Serving(Arc::new(endpoint))));
                if state.phase == Phase::OutOfService {
                    self.change(record, &state, Change::Found).await?;
                }
            }
            Err(reason) => {
                self.place(name, None);
                if state.phase != Phase::OutOfService {
                    self.change(record, &state, Change::Lost(reason)).await?;
                }
            }
        }
        Ok(())
    }

    /// Loads all variants of a deployment at once; the first failure is the reason for all.
    async fn load(&self, name: &str, deployment: &Deployment) -> Result<Vec<Arc<LiveVariant>>, String> {
        let endpoint: Arc<str> = name.into();
        let all = deployment.variants.iter().map(|variant| self.load_variant(&endpoint, variant));
        // A panic while loading must not leave the endpoint in progress for ever.
        match AssertUnwindSafe(try_join_all(all)).catch_unwind().await {
            Ok(loaded) => loaded,
            Err(_) => Err("Loading the models failed unexpectedly; the cloud's own log says more.".into()),
        }
    }

    async fn load_variant(&self, endpoint: &Arc<str>, variant: &Variant) -> Result<Arc<LiveVariant>, String> {
        let place = Arc::new(Place::new(endpoint, &variant.name));
        let begun = Instant::now();
        let patience = Duration::from_secs(variant.patience);
        let loaded = match tokio::time::timeout(patience, self.models.loader.load(&variant.container)).await {
            Ok(Ok(loaded)) => Ok(loaded),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("Loading took longer than the {} s it may take.", variant.patience)),
        };
        let model = loaded.map_err(|reason| {
            self.journal.write(&place, format!("[error] model {}: {reason}", variant.model));
            format!("Production variant {:?}, model {:?}: {reason}", variant.name, variant.model)
        })?;
        self.journal.write(
            &place,
            format!(
                "[info] model {} of {} is loaded with {}: {} bytes in {:.1} ms",
                variant.model,
                model.source,
                model.algorithm,
                model.bytes,
                begun.elapsed().as_secs_f64() * 1000.0
            ),
        );
        Ok(Arc::new(LiveVariant::new(Parts {
            endpoint: endpoint.clone(),
            name: &variant.name,
            predictor: Arc::new(InProcess::new(model, self.pool.clone())),
            default_accept: variant.container.default_accept(),
            patience: self.invoke_time,
            meters: self.meters.of(endpoint, &variant.name),
            journal: self.journal.clone(),
            place,
        })))
    }

    /// Loaded variants with the weights and counts of their deployment.
    fn assemble(
        &self,
        name: &str,
        variants: Vec<Arc<LiveVariant>>,
        deployment: &Deployment,
    ) -> Result<LiveEndpoint, String> {
        for variant in &deployment.variants {
            self.meters.of(name, &variant.name).instances.store(variant.instances as usize, Relaxed);
        }
        let weights = deployment.variants.iter().map(|variant| variant.weight);
        LiveEndpoint::new(name.into(), variants.into_iter().zip(weights).collect())
            .ok_or_else(|| ConfigError::NoWeight.to_string())
    }

    /// Replaces what requests find under a name; returns what was there.
    fn place(&self, name: &str, slot: Option<Slot>) -> Option<Slot> {
        let before = self.live.load().get(name).cloned();
        self.live.rcu(|live| {
            let mut live = HashMap::clone(live);
            match &slot {
                Some(slot) => live.insert(name.to_string(), slot.clone()),
                None => live.remove(name),
            };
            live
        });
        before
    }

    async fn read(&self, name: &str) -> Result<(Record, State), EndpointError> {
        let record = self.metadata.get(KIND, name).await?;
        let record = record.ok_or_else(|| EndpointError::Missing(self.arn(name)))?;
        let state = state_of(&record)?;
        Ok((record, state))
    }

    /// Records a change of state together with its event. The caller holds `changing`.
    async fn change(&self, record: Record, state: &State, change: Change) -> Result<(), EndpointError> {
        let mut next = state.next(change).map_err(|error| EndpointError::Store(error.to_string()))?;
        if let Some(reason) = &mut next.failure {
            reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
        }
        let config = next.pending.as_ref().or(next.serving.as_ref()).map(|deployment| &deployment.config);
        let event = json!({ "phase": next.phase, "config": config, "reason": next.failure });
        let record = Record {
            phase: next.phase.word().into(),
            modified: Timestamp::now(),
            state: json!(next),
            ..record
        };
        self.metadata.update(&record, Some(&event)).await?;
        self.announce();
        Ok(())
    }

    fn announce(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

fn state_of(record: &Record) -> Result<State, EndpointError> {
    serde_json::from_value(record.state.clone())
        .map_err(|cause| EndpointError::Store(format!("record of endpoint {:?}: {cause}", record.name)))
}

/// Flushes counters now and then, as long as the endpoints exist.
async fn keep_flushing(endpoints: Weak<Endpoints>) {
    let mut ticks = tokio::time::interval(FLUSH_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match endpoints.upgrade() {
            Some(endpoints) => endpoints.flush().await,
            None => return,
        }
    }
}
