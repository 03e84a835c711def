//! The runner: one task a job that asks its record "what next?", does it, and
//! records that it was done, until the job is over.
//!
//! What a task holds in memory may be lost at any moment; the next start of the cloud goes
//! on from the record.

use std::collections::HashMap;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use strata_base::Timestamp;
use strata_base::compute::{ComputeError, Exit, Process, Program, Signal};
use strata_base::logs::{LogLine, TRAINING_JOBS};
use strata_base::metadata::MetadataError;
use strata_base::objects::ObjectError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Options;
use super::inputs::{HOST, InputError, OptMl};
use super::jobs::{ApplyError, Job, Jobs, State};
use super::journal::{Journal, OLDEST};
use super::metrics::{Scraper, definitions};
use super::package::{self, PackageError};
use super::phase::{Event, Illegal, Phase, Why};
use super::reason;
use super::slots::{Place, Slots};
use crate::Ports;

pub struct Runner {
    ports: Arc<Ports>,
    options: Options,
    jobs: Arc<Jobs>,
    slots: Slots,
    /// The tasks, by name of the job.
    running: Mutex<HashMap<String, Arc<watch::Sender<bool>>>>,
    tasks: TaskTracker,
    down: CancellationToken,
}

/// The cloud goes down, or the record of the job is gone: nothing more is to be done now.
struct Interrupted;

/// The first wait for a metadata store that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

type Step<T> = Result<T, Interrupted>;

impl Runner {
    pub fn new(ports: Arc<Ports>, options: Options, jobs: Arc<Jobs>) -> Self {
        let slots = Slots::new(options.parallel, options.threads);
        Self {
            ports,
            options,
            jobs,
            slots,
            running: Mutex::default(),
            tasks: TaskTracker::new(),
            down: CancellationToken::new(),
        }
    }

    pub fn unfinished(&self) -> usize {
        self.locked().len()
    }

    /// Begins to work on a recorded job.
    pub fn start(self: &Arc<Self>, name: &str) {
        if self.down.is_cancelled() {
            return;
        }
        let stop = Arc::new(watch::channel(false).0);
        self.locked().insert(name.into(), stop.clone());
        let (runner, name) = (self.clone(), name.to_string());
        self.tasks.spawn(async move {
            let stopped = stop.subscribe();
            let ended = AssertUnwindSafe(runner.drive(&name, stopped)).catch_unwind().await;
            if ended.is_err() {
                tracing::error!(job = name, "the task of a training job panicked");
                let reason = "InternalServerError: the cloud failed while it ran the job; its log says more";
                let _ = runner.record(&name, &Event::Failed { reason: reason.into() }, |_| {}).await;
            }
            let mut running = runner.locked();
            // A job that was deleted may have a successor of the same name.
            if running.get(&name).is_some_and(|mine| Arc::ptr_eq(mine, &stop)) {
                running.remove(&name);
            }
        });
    }

    /// Wakes the task of a job whose record says that it is to stop.
    pub fn stop(&self, name: &str) {
        if let Some(stop) = self.locked().get(name) {
            stop.send_replace(true);
        }
    }

    /// Takes up every job that is not over, and clears what finished ones left behind.
    pub async fn resume(self: &Arc<Self>) -> Result<(), MetadataError> {
        let unfinished = self.jobs.unfinished().await?;
        self.sweep(&unfinished).await;
        for job in unfinished {
            if matches!(job.state.phase, Phase::Downloading | Phase::Training) {
                tracing::info!(job = job.name, phase = ?job.state.phase, "starting a training job again");
                match self.jobs.apply(&job.name, &Event::Restarted, |_| {}).await {
                    Ok(_) | Err(ApplyError::Illegal(_) | ApplyError::Missing(_)) => {}
                    Err(ApplyError::Store(cause)) => return Err(cause),
                }
            }
            self.start(&job.name);
        }
        Ok(())
    }

    pub async fn shutdown(&self) {
        self.down.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    pub async fn idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    async fn drive(&self, name: &str, mut stop: watch::Receiver<bool>) {
        let mut place = None;
        loop {
            let step = match self.load(name).await {
                Ok(job) => match &job.state.phase {
                    Phase::Starting | Phase::Pending | Phase::Restarting => {
                        self.wait_turn(&job, &mut place, &mut stop).await
                    }
                    Phase::Downloading => self.download(&job, &mut stop).await,
                    Phase::Training => {
                        let threads = place.as_ref().map_or(1, |place: &Place| place.threads);
                        self.train(&job, threads, &mut stop).await
                    }
                    // Its program has ended, or never began.
                    Phase::Stopping(_) => self.record(name, &Event::Exited { failure: None }, |_| {}).await,
                    Phase::Uploading(why) => {
                        place = None;
                        self.upload(&job, *why).await
                    }
                    Phase::Completed | Phase::Failed(_) | Phase::Stopped | Phase::MaxRuntimeExceeded => {
                        if let Err(cause) = self.folder(&job).remove().await {
                            tracing::warn!(job = name, %cause, "work folder was not removed");
                        }
                        return;
                    }
                },
                Err(Interrupted) => Err(Interrupted),
            };
            if let Err(Interrupted) = step {
                return;
            }
        }
    }

    async fn wait_turn(
        &self,
        job: &Job,
        place: &mut Option<Place>,
        stop: &mut watch::Receiver<bool>,
    ) -> Step<()> {
        *place = self.slots.try_take();
        if place.is_none() {
            if job.state.phase != Phase::Pending {
                self.record(&job.name, &Event::Queued, |_| {}).await?;
            }
            tokio::select! {
                taken = self.slots.take() => *place = taken.ok(),
                () = asked(stop) => return Ok(()),
                () = self.down.cancelled() => return Err(Interrupted),
            }
        }
        self.record(&job.name, &Event::Downloading, |_| {}).await
    }

    async fn download(&self, job: &Job, stop: &mut watch::Receiver<bool>) -> Step<()> {
        let folder = self.folder(job);
        let prepared = tokio::select! {
            prepared = folder.prepare(&job.state.spec, &*self.ports.objects) => prepared,
            () = asked(stop) => return Ok(()),
            () = self.down.cancelled() => return Err(Interrupted),
        };
        match prepared {
            Ok(()) => {
                let stream = format!("{}/{HOST}-{}", job.name, Timestamp::now().0 / 1000);
                self.record(&job.name, &Event::Launched, |state| state.stream = Some(stream.clone())).await
            }
            Err(cause) => {
                if let InputError::Machine(cause) = &cause {
                    tracing::error!(job = job.name, cause, "data of a training job could not be laid out");
                }
                self.fail(&job.name, &cause.to_string()).await
            }
        }
    }

    /// Runs the program to its end, whoever brings that about.
    async fn train(&self, job: &Job, threads: usize, stop: &mut watch::Receiver<bool>) -> Step<()> {
        let spec = &job.state.spec;
        let Some(algorithm) = (self.options.resolver)(&spec.image) else {
            let reason = format!("ClientError: image {:?} is not one that this cloud runs", spec.image);
            return self.fail(&job.name, &reason).await;
        };
        let card = algorithm.card();
        let program = self.program(job, card.name, threads);
        let mut process = match self.ports.compute.launch(&program).await {
            Ok(process) => process,
            Err(cause) => return self.fail(&job.name, &format!("InternalServerError: {cause}")).await,
        };
        let signal = process.signaller();
        let scraper = Scraper::new(&job.name, &definitions(spec, card));
        let stream = job.state.stream.clone().unwrap_or_else(|| format!("{}/{HOST}", job.name));
        let mut journal = Journal::new(self.ports.logs.clone(), self.ports.metrics.clone(), stream, scraper);

        let time_up = sleep(Duration::from_secs(spec.max_runtime_seconds));
        tokio::pin!(time_up);
        let (mut ending, mut interrupted, mut eof) = (false, false, false);
        let (mut flush_at, mut kill_at): (Option<Instant>, Option<Instant>) = (None, None);
        let exit = loop {
            tokio::select! {
                output = output(&mut *process, &mut eof) => match output {
                    Output::Line(line) => {
                        if journal.take(line) {
                            journal.flush().await;
                            flush_at = None;
                        } else if flush_at.is_none() {
                            flush_at = Some(Instant::now() + OLDEST);
                        }
                    }
                    Output::Exit(exit) => break exit,
                },
                () = until(flush_at) => {
                    journal.flush().await;
                    flush_at = None;
                }
                () = asked(stop), if !ending => {
                    ending = true;
                    signal(Signal::Terminate);
                    kill_at = Some(Instant::now() + self.options.grace);
                }
                () = &mut time_up, if !ending => {
                    ending = true;
                    self.record(&job.name, &Event::TimeUp, |_| {}).await?;
                    signal(Signal::Terminate);
                    kill_at = Some(Instant::now() + self.options.grace);
                }
                () = until(kill_at) => {
                    signal(Signal::Kill);
                    kill_at = None;
                }
                () = self.down.cancelled(), if !interrupted => {
                    interrupted = true;
                    signal(Signal::Terminate);
                    let soon = Instant::now() + self.options.shutdown_grace;
                    kill_at = Some(kill_at.map_or(soon, |at| at.min(soon)));
                }
            }
        };
        // Before the status turns terminal: clients read the log once more then, and stop.
        if !journal.is_empty() {
            journal.flush().await;
        }
        if interrupted {
            return Err(Interrupted);
        }
        let failure = match exit {
            Ok(exit) => self.failure(job, &exit, &journal.last_line).await,
            Err(cause) => Some(format!("InternalServerError: {cause}")),
        };
        self.make_durable(job).await;
        let metrics = journal.scraper.last;
        self.record(&job.name, &Event::Exited { failure }, |state| state.metrics = metrics.clone()).await
    }

    fn program(&self, job: &Job, algorithm: &str, threads: usize) -> Program {
        let folder = self.folder(job).0;
        let spec = &job.state.spec;
        // The later of two of one name counts.
        let mut env: Vec<(String, String)> = self.options.environment.clone();
        env.extend(spec.environment.iter().map(|(name, value)| (name.clone(), value.clone())));
        let region = &self.ports.cloud.region;
        let path = |below: &str| folder.join(below).display().to_string();
        env.extend(
            [
                ("TRAINING_JOB_NAME", job.name.clone()),
                ("TRAINING_JOB_ARN", job.arn.clone()),
                ("AWS_REGION", region.clone()),
                ("AWS_DEFAULT_REGION", region.clone()),
                ("TMPDIR", path("tmp")),
                ("SM_CURRENT_HOST", HOST.into()),
                ("SM_NUM_CPUS", threads.to_string()),
                ("STRATA_THREADS", threads.to_string()),
                ("OMP_NUM_THREADS", threads.to_string()),
                // Waiting OpenMP threads that spin take the core from those that work.
                ("OMP_WAIT_POLICY", "PASSIVE".into()),
            ]
            .map(|(name, value)| (name.to_string(), value)),
        );
        let words = ["algorithm", algorithm, "train", "--opt-ml"].map(String::from);
        let mut argv = vec![self.ports.program.display().to_string()];
        argv.extend(words);
        argv.push(folder.display().to_string());
        Program { name: job.name.clone(), argv, env, folder, memory: self.options.memory }
    }

    async fn failure(&self, job: &Job, exit: &Exit, last_line: &str) -> Option<String> {
        let path = self.folder(job).failure();
        let said = tokio::task::spawn_blocking(move || reason::read(&path)).await.unwrap_or_default();
        reason::of(exit, &said, last_line, self.options.memory)
    }

    /// The record will say that the program is done: its files must be on disk by then.
    async fn make_durable(&self, job: &Job) {
        let (model, data) = (self.folder(job).model(), self.folder(job).output_data());
        let synced =
            tokio::task::spawn_blocking(move || package::sync(&model).and(package::sync(&data))).await;
        if let Ok(Err(cause)) = synced {
            tracing::warn!(job = job.name, %cause, "what a training job left may not survive a power cut");
        }
    }

    async fn upload(&self, job: &Job, why: Why) -> Step<()> {
        let folder = self.folder(job);
        let output = job.state.spec.output.join(&format!("{}/output", job.name));
        if !folder.0.is_dir() && why == Why::Done {
            return self.record(&job.name, &Event::Restarted, |_| {}).await;
        }
        let objects = &*self.ports.objects;
        let store = async {
            let place = output.join("model.tar.gz");
            let model = package::store(&folder.model(), &place, objects).await?;
            let data = package::store(&folder.output_data(), &output.join("output.tar.gz"), objects).await?;
            let left_out =
                [("model", &model), ("output/data", &data)].into_iter().flat_map(|(of, packed)| {
                    let names = packed.iter().flat_map(|packed| &packed.left_out);
                    names.map(move |name| format!("left out of the archive of {of}: {name}"))
                });
            let left_out: Vec<String> = left_out.collect();
            Ok((model.map(|_| place.to_string()), left_out))
        };
        let stored: Result<_, PackageError> = tokio::select! {
            stored = store => stored,
            () = self.down.cancelled() => return Err(Interrupted),
        };
        match stored {
            Ok((model, left_out)) => {
                self.note(job, left_out).await;
                let event = Event::Stored { model: model.clone() };
                self.record(&job.name, &event, |state| state.model.clone_from(&model)).await
            }
            Err(cause) => {
                let class = match &cause {
                    PackageError::Store { cause: ObjectError::NoBucket(_), .. } => {
                        "ClientError: Artifact upload failed:"
                    }
                    _ => "InternalServerError: ",
                };
                tracing::error!(job = job.name, %cause, "artefacts of a training job were not stored");
                self.fail(&job.name, &format!("{class}{cause}")).await
            }
        }
    }

    /// Writes lines of the cloud's own to the job's log.
    async fn note(&self, job: &Job, lines: Vec<String>) {
        let Some(stream) = job.state.stream.as_ref().filter(|_| !lines.is_empty()) else { return };
        let at = Timestamp::now();
        let lines: Vec<LogLine> = lines.into_iter().map(|message| LogLine { at, message }).collect();
        if let Err(cause) = self.ports.logs.append(TRAINING_JOBS, stream, &lines).await {
            tracing::error!(stream, %cause, "log lines lost");
        }
    }

    async fn fail(&self, name: &str, reason: &str) -> Step<()> {
        let reason = reason::cut(reason, "");
        self.record(name, &Event::Failed { reason }, |_| {}).await
    }

    /// Records what happened. Where the phase does not take the event any more, somebody else
    /// changed the job (it is to stop, it has failed): the next look at the record tells.
    async fn record(&self, name: &str, event: &Event, edit: impl Fn(&mut State) + Send + Sync) -> Step<()> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.jobs.apply(name, event, &edit).await {
                Ok(_) => return Ok(()),
                Err(ApplyError::Illegal(Illegal { phase, event })) => {
                    tracing::debug!(job = name, ?phase, ?event, "overtaken");
                    return Ok(());
                }
                Err(ApplyError::Missing(_)) => return Err(Interrupted),
                Err(ApplyError::Store(cause)) => self.pause(name, &cause, &mut pause).await?,
            }
        }
    }

    async fn load(&self, name: &str) -> Step<Job> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.jobs.get(name).await {
                Ok(job) => return job.ok_or(Interrupted),
                Err(cause) => self.pause(name, &cause, &mut pause).await?,
            }
        }
    }

    /// Waits for a store that fails, ever longer: what was done must not be forgotten, and not
    /// be done twice, because a disk was full for a minute.
    async fn pause(&self, name: &str, cause: &MetadataError, pause: &mut Duration) -> Step<()> {
        tracing::error!(job = name, %cause, ?pause, "a training job waits for the metadata store");
        tokio::select! {
            () = sleep(*pause) => {}
            () = self.down.cancelled() => return Err(Interrupted),
        }
        *pause = (*pause * 2).min(Duration::from_secs(30));
        Ok(())
    }

    fn folder(&self, job: &Job) -> OptMl {
        OptMl(self.ports.work.join("jobs").join(format!("{}-{}", job.name, job.state.id)))
    }

    /// Removes the folders of jobs that are over: the cloud went down before it could.
    async fn sweep(&self, unfinished: &[Job]) {
        let Ok(mut folders) = tokio::fs::read_dir(self.ports.work.join("jobs")).await else { return };
        while let Ok(Some(folder)) = folders.next_entry().await {
            if !unfinished.iter().any(|job| self.folder(job).0 == folder.path())
                && let Err(cause) = tokio::fs::remove_dir_all(folder.path()).await
            {
                tracing::warn!(folder = %folder.path().display(), %cause, "old work folder was not removed");
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<String, Arc<watch::Sender<bool>>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Output {
    Line(String),
    Exit(Result<Exit, ComputeError>),
}

/// What the program does next. Nothing is lost when this is dropped half-way.
async fn output(process: &mut dyn Process, eof: &mut bool) -> Output {
    if !*eof {
        if let Some(line) = process.line().await {
            return Output::Line(line);
        }
        *eof = true;
    }
    Output::Exit(process.wait().await)
}

/// Waits until the job is asked to stop.
async fn asked(stop: &mut watch::Receiver<bool>) {
    // The sender lives as long as the job's task.
    let _ = stop.wait_for(|asked| *asked).await;
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
