//! The life of training jobs, on fakes; and on real child processes.

use std::path::PathBuf;

use serde_json::json;
use strata_base::Cloud;
use strata_base::compute::{Compute, Exit, Signal};

use super::fakes::{
    Counter, Ends, MemoryLogs, MemoryMetrics, MemoryObjects, Script, ScriptedCompute, WatchedMetadata,
    locked, spec,
};
use super::spec::Channel;
use super::*;

/// A cloud on fakes, and what is behind it.
struct World {
    folder: tempfile::TempDir,
    metadata: Arc<WatchedMetadata>,
    objects: Arc<MemoryObjects>,
    logs: Arc<MemoryLogs>,
    metrics: Arc<MemoryMetrics>,
    options: Options,
    program: PathBuf,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = folder.path().join("objects");
        std::fs::create_dir(&blobs).expect("a folder");
        Self {
            metadata: Arc::default(),
            objects: Arc::new(MemoryObjects::with("b", &[("t/a.csv", "1,2\n")]).on_disk(&blobs)),
            logs: Arc::default(),
            metrics: Arc::default(),
            options: Options {
                parallel: 2,
                threads: 4,
                resolver: Arc::new(|image| {
                    (ImageUri::parse(image).repository == "counter").then_some(&Counter as &dyn Algorithm)
                }),
                ..Options::default()
            },
            program: "/bin/false".into(),
            folder,
        }
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Starts the cloud; it can be started again on the same record.
    fn start(&self, compute: Arc<dyn Compute>) -> Training {
        let ports = Ports {
            cloud: Cloud::default(),
            metadata: self.metadata.clone(),
            objects: self.objects.clone(),
            logs: self.logs.clone(),
            metrics: self.metrics.clone(),
            compute,
            work: self.work(),
            program: self.program.clone(),
        };
        Training::with(Arc::new(ports), self.options.clone())
    }

    /// Waits until the job is in the phase that the pattern means.
    async fn until(&self, training: &Training, name: &str, wanted: impl Fn(&Phase) -> bool) -> Job {
        let mut changes = self.metadata.changes.subscribe();
        loop {
            let (job, _) = training.describe(name).await.expect("the job");
            if wanted(&job.state.phase) {
                return job;
            }
            changes.changed().await.expect("a sender");
        }
    }

    async fn over(&self, training: &Training, name: &str) -> Job {
        self.until(training, name, Phase::is_over).await
    }
}

async fn create(training: &Training, name: &str) {
    let document = json!({"TrainingJobName": name});
    training.create(spec(name), &[], document).await.expect("it is accepted");
}

async fn statuses(training: &Training, name: &str) -> Vec<&'static str> {
    let (_, history) = training.describe(name).await.expect("the job");
    history.iter().map(|transition| transition.status).collect()
}

fn trains() -> Script {
    Script {
        lines: vec!["round 1 loss=0.5", "", "round 2 loss=0.25"],
        files: vec![("model/weights", "1 2 3"), ("output/data/report", "fine")],
        ends: Ends::With(Exit::Code(0)),
    }
}

fn ends(ends: Ends) -> Script {
    Script { ends, ..trains() }
}

#[tokio::test]
async fn a_job_goes_from_data_to_model() {
    let world = World::new();
    let compute = Arc::new(ScriptedCompute::default().with("job", trains()));
    let training = world.start(compute.clone());
    create(&training, "job").await;
    let job = world.over(&training, "job").await;

    assert_eq!(job.state.phase, Phase::Completed);
    assert_eq!(job.arn, "arn:aws:sagemaker:us-east-1:123456789012:training-job/job");
    assert_eq!(job.state.model.as_deref(), Some("s3://b/out/job/output/model.tar.gz"));
    assert!(world.objects.content("b", "out/job/output/model.tar.gz").is_some());
    assert!(world.objects.content("b", "out/job/output/output.tar.gz").is_some());
    assert_eq!(job.state.metrics["train:loss"].value, 0.25);
    assert_eq!(locked(&world.metrics.0).len(), 2);
    assert_eq!(world.logs.of("job"), ["round 1 loss=0.5", "", "round 2 loss=0.25"]);
    assert_eq!(job.seconds(), Some(1));
    assert_eq!(
        statuses(&training, "job").await,
        ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    );

    let program = locked(&compute.launched)[0].clone();
    let folder = program.folder.display().to_string();
    assert_eq!(program.argv, ["/bin/false", "algorithm", "counter", "train", "--opt-ml", &folder]);
    let env: std::collections::HashMap<_, _> = program.env.into_iter().collect();
    assert_eq!(env["TRAINING_JOB_NAME"], "job");
    assert_eq!(env["TRAINING_JOB_ARN"], job.arn);
    assert_eq!(env["STRATA_THREADS"], "4");
    assert_eq!(env["GREETING"], "hello");

    training.shutdown().await;
    assert_eq!(std::fs::read_dir(world.work().join("jobs")).expect("a folder").count(), 0);
}

#[tokio::test]
async fn a_failure_says_why() {
    let world = World::new();
    let script = Script {
        files: vec![("output/failure", "ClientError: row 17 is ragged\n"), ("model/half", "x")],
        ends: Ends::With(Exit::Code(3)),
        ..trains()
    };
    let training = world.start(Arc::new(ScriptedCompute::default().with("job", script)));
    create(&training, "job").await;
    let job = world.over(&training, "job").await;
    assert_eq!(job.state.phase, Phase::Failed("ClientError: row 17 is ragged, exit code: 3".into()));
    assert_eq!(job.state.model, None);
    assert_eq!(world.objects.content("b", "out/job/output/model.tar.gz"), None);
    assert_eq!(job.state.metrics["train:loss"].value, 0.25);
}

#[tokio::test]
async fn a_bucket_that_goes_away_fails_the_job() {
    let world = World::new();
    let training =
        world.start(Arc::new(ScriptedCompute::default().with("job", ends(Ends::Asked(Exit::Code(0))))));
    create(&training, "job").await;
    world.until(&training, "job", |phase| *phase == Phase::Training).await;
    world.objects.remove_bucket("b");
    training.stop("job").await.expect("it is asked");
    let job = world.over(&training, "job").await;
    let expected = "ClientError: Artifact upload failed:could not store s3://b/out/job/output/model.tar.gz: \
                    bucket \"b\" does not exist";
    assert_eq!(job.state.phase, Phase::Failed(expected.into()));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_job_keeps_what_it_saved() {
    let world = World::new();
    let compute = Arc::new(ScriptedCompute::default().with("job", ends(Ends::Asked(Exit::Signal(15)))));
    let training = world.start(compute.clone());
    create(&training, "job").await;
    world.until(&training, "job", |phase| *phase == Phase::Training).await;
    training.stop("job").await.expect("it is asked");
    training.stop("job").await.expect("asking twice is no error");
    let job = world.over(&training, "job").await;
    assert_eq!(job.state.phase, Phase::Stopped);
    assert!(world.objects.content("b", "out/job/output/model.tar.gz").is_some());
    assert_eq!(*locked(&compute.signals), [Signal::Terminate]);
    assert_eq!(
        statuses(&training, "job").await,
        ["Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"]
    );
    let refused = training.stop("job").await.expect_err("it is over");
    assert_eq!(
        refused.to_string(),
        "The request was rejected because the training job is in status Stopped."
    );
}

#[tokio::test(start_paused = true)]
async fn a_program_that_will_not_end_is_killed_after_its_grace() {
    let world = World::new();
    let compute = Arc::new(ScriptedCompute::default().with("job", ends(Ends::Killed)));
    let training = world.start(compute.clone());
    create(&training, "job").await;
    world.until(&training, "job", |phase| *phase == Phase::Training).await;
    let asked = tokio::time::Instant::now();
    training.stop("job").await.expect("it is asked");
    assert_eq!(world.over(&training, "job").await.state.phase, Phase::Stopped);
    assert!(asked.elapsed() >= Duration::from_secs(120));
    assert_eq!(*locked(&compute.signals), [Signal::Terminate, Signal::Kill]);
}

#[tokio::test(start_paused = true)]
async fn a_job_ends_when_its_time_is_up() {
    let world = World::new();
    let compute = Arc::new(ScriptedCompute::default().with("job", ends(Ends::Asked(Exit::Code(0)))));
    let training = world.start(compute);
    let began = tokio::time::Instant::now();
    create(&training, "job").await;
    let job = world.over(&training, "job").await;
    assert_eq!(job.state.phase, Phase::MaxRuntimeExceeded);
    assert_eq!(job.state.phase.status(), "Stopped");
    assert!(began.elapsed() >= Duration::from_secs(3600));
    assert!(job.state.model.is_some());
}

#[tokio::test]
async fn jobs_beyond_the_places_wait_and_can_be_stopped_there() {
    let world = World::new();
    let mut compute = ScriptedCompute::default();
    for name in ["a", "b", "c", "d"] {
        compute = compute.with(name, ends(Ends::Asked(Exit::Code(0))));
    }
    let compute = Arc::new(compute);
    let training = world.start(compute.clone());
    for name in ["a", "b"] {
        create(&training, name).await;
        world.until(&training, name, |phase| *phase == Phase::Training).await;
    }
    for name in ["c", "d"] {
        create(&training, name).await;
        world.until(&training, name, |phase| *phase == Phase::Pending).await;
    }
    training.stop("c").await.expect("it is asked");
    assert_eq!(world.over(&training, "c").await.state.phase, Phase::Stopped);
    assert_eq!(statuses(&training, "c").await, ["Starting", "Pending", "Stopping", "Uploading", "Stopped"]);
    training.stop("a").await.expect("it is asked");
    world.until(&training, "d", |phase| *phase == Phase::Training).await;
    let names: Vec<String> = locked(&compute.launched).iter().map(|program| program.name.clone()).collect();
    assert_eq!(names, ["a", "b", "d"]);
    training.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_leaves_jobs_to_the_next_start() {
    let world = World::new();
    let script = || {
        let compute = ScriptedCompute::default();
        let compute = compute.with("obeys", ends(Ends::Asked(Exit::Code(0))));
        compute.with("stubborn", ends(Ends::Killed)).with("waits", ends(Ends::Killed))
    };
    let training = world.start(Arc::new(script()));
    for name in ["obeys", "stubborn", "waits"] {
        create(&training, name).await;
        let wanted = if name == "waits" { Phase::Pending } else { Phase::Training };
        world.until(&training, name, |phase| *phase == wanted).await;
    }
    training.shutdown().await;
    for name in ["obeys", "stubborn", "waits"] {
        let (job, _) = training.describe(name).await.expect("the job");
        assert_eq!(job.state.phase.status(), "InProgress", "{name}");
    }

    let again = world.start(Arc::new(ScriptedCompute::default()));
    again.resume().await.expect("the record is readable");
    for name in ["obeys", "stubborn", "waits"] {
        assert_eq!(world.over(&again, name).await.state.phase, Phase::Completed, "{name}");
    }
    let history = statuses(&again, "obeys").await;
    assert_eq!(history[..4], ["Starting", "Downloading", "Training", "Restarting"]);
    assert_eq!(history[history.len() - 3..], ["Training", "Uploading", "Completed"]);
}

/// A cloud that is gone from one moment to the next: its tasks are dropped where they stand.
#[tokio::test]
async fn whatever_a_killed_cloud_did_the_next_one_finishes() {
    let world = World::new();
    let jobs = Jobs::new(world.metadata.clone());
    // Records as they stand at each step, with the folder that a cloud would have left.
    let steps: [(&str, &[Event], &str); 7] = [
        ("starting", &[], "Completed"),
        ("pending", &[Event::Queued], "Completed"),
        ("downloading", &[Event::Downloading], "Completed"),
        ("training", &[Event::Downloading, Event::Launched], "Completed"),
        ("uploading", &[Event::Downloading, Event::Launched, Event::Exited { failure: None }], "Completed"),
        ("stopping", &[Event::Downloading, Event::Launched, Event::StopAsked], "Stopped"),
        ("timeup", &[Event::Downloading, Event::Launched, Event::TimeUp], "MaxRuntimeExceeded"),
    ];
    for (name, events, _) in steps {
        let state = State {
            id: "id".into(),
            spec: spec(name),
            phase: Phase::Starting,
            started: None,
            ended: None,
            stream: None,
            model: None,
            metrics: Default::default(),
        };
        jobs.create(name, format!("arn/{name}"), json!({}), &state).await.expect("create");
        for event in events {
            jobs.apply(name, event, |_| {}).await.expect("apply");
        }
        let folder = world.work().join("jobs").join(format!("{name}-id"));
        std::fs::create_dir_all(folder.join("model")).expect("folders");
        std::fs::write(folder.join("model/saved"), "before the kill").expect("write");
    }
    std::fs::create_dir_all(world.work().join("jobs/forgotten-id/model")).expect("folders");

    let compute = Arc::new(ScriptedCompute::default());
    let training = world.start(compute.clone());
    training.resume().await.expect("the record is readable");
    for (name, _, secondary) in steps {
        let job = world.over(&training, name).await;
        assert_eq!(job.state.phase.secondary(), secondary, "{name}");
        // Only what had ended, or was being ended, has its files; the others began anew.
        let kept = ["uploading", "stopping", "timeup"].contains(&name);
        assert_eq!(job.state.model.is_some(), kept, "{name}");
    }
    let mut launched: Vec<String> = locked(&compute.launched).iter().map(|p| p.name.clone()).collect();
    launched.sort();
    assert_eq!(launched, ["downloading", "pending", "starting", "training"]);
    assert_eq!(statuses(&training, "training").await[3], "Restarting");
    training.shutdown().await;
    assert_eq!(std::fs::read_dir(world.work().join("jobs")).expect("a folder").count(), 0);
}

#[tokio::test]
async fn a_model_whose_folder_is_lost_is_trained_again() {
    let world = World::new();
    let jobs = Jobs::new(world.metadata.clone());
    let training = world.start(Arc::new(ScriptedCompute::default().with("job", trains())));
    create(&training, "job").await;
    world.over(&training, "job").await;
    // The same job, had the cloud died before the upload and its work folder been wiped.
    let (job, _) = training.describe("job").await.expect("the job");
    let state = State { spec: spec("lost"), phase: Phase::Starting, model: None, ..job.state };
    jobs.create("lost", "arn".into(), json!({}), &state).await.expect("create");
    for event in [Event::Downloading, Event::Launched, Event::Exited { failure: None }] {
        jobs.apply("lost", &event, |_| {}).await.expect("apply");
    }
    training.resume().await.expect("the record is readable");
    assert_eq!(world.over(&training, "lost").await.state.phase, Phase::Completed);
    assert!(statuses(&training, "lost").await.contains(&"Restarting"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_a_while_loses_nothing() {
    let world = World::new();
    let compute = Arc::new(ScriptedCompute::default().with("job", trains()));
    let training = world.start(compute.clone());
    create(&training, "job").await;
    *locked(&world.metadata.failures) = 6;
    assert_eq!(world.over(&training, "job").await.state.phase, Phase::Completed);
    assert_eq!(locked(&compute.launched).len(), 1, "the program ran once");
}

#[tokio::test]
async fn what_cannot_be_is_refused_at_create() {
    let world = World::new();
    let training = world.start(Arc::new(ScriptedCompute::default()));
    let check = async |change: fn(&mut Spec), expected: &str| {
        let mut spec = spec("job");
        change(&mut spec);
        let document = json!({"RoleArn": "arn:aws:iam::123456789012:role/r"});
        let why = training.create(spec, &[], document).await.expect_err(expected).to_string();
        assert!(why.contains(expected), "{why:?} does not contain {expected:?}");
    };
    check(|spec| spec.image = "host/pytorch-training:2.1".into(), "\"pytorch-training\" names no built-in")
        .await;
    check(|spec| spec.hyperparameters.clear(), "rounds").await;
    check(|spec| drop(spec.hyperparameters.insert("x".into(), "1".into())), "x").await;
    check(|spec| spec.channels.clear(), "needs a channel named \"train\"").await;
    check(|spec| spec.channels.push(spec.channels[0].clone()), "\"train\" is given twice").await;
    check(|spec| spec.channels[0].content_type = "text/html".into(), "it reads text/csv").await;
    check(
        |spec| {
            let extra =
                Channel { name: "extra".to_string().try_into().expect("a name"), ..spec.channels[0].clone() };
            spec.channels.push(extra);
        },
        "its channels are train, validation",
    )
    .await;
    check(|spec| spec.max_runtime_seconds = 29 * 86_400, "between 1 and 2419200").await;
    check(|spec| drop(spec.environment.insert("LD_PRELOAD".into(), "x".into())), "LD_PRELOAD is reserved")
        .await;
    check(
        |spec| spec.metrics.push(MetricDefinition { name: "m".into(), regex: "(?<!x)y".into() }),
        "metric definition \"m\": regular expression",
    )
    .await;
    check(
        |spec| spec.output = "s3://nowhere/out".to_string().try_into().expect("an S3 URI"),
        "bucket \"nowhere\" does not exist",
    )
    .await;
    for uri in ["s3://b/nothing", "s3://nowhere/t"] {
        let mut spec = spec("job");
        spec.channels[0].source = Source::Prefix(uri.to_string().try_into().expect("an S3 URI"));
        let why = training.create(spec, &[], json!({"RoleArn": "arn:r"})).await.expect_err(uri).to_string();
        assert!(
            why.starts_with(&format!(
                "No S3 objects found under S3 URL \"{uri}\" given in input data source. "
            )),
            "{why}"
        );
    }
    assert!(matches!(training.describe("job").await, Err(TrainingError::Missing)), "nothing was recorded");
}

#[tokio::test]
async fn names_are_taken_once_until_deleted() {
    let world = World::new();
    let compute = ScriptedCompute::default().with("job", ends(Ends::Asked(Exit::Code(0))));
    let training = world.start(Arc::new(compute));
    create(&training, "job").await;
    let taken = training.create(spec("job"), &[], json!({})).await.expect_err("it exists").to_string();
    assert!(
        taken.starts_with("Training job names must be unique within an AWS account and region"),
        "{taken}"
    );
    assert!(taken.ends_with("(arn:aws:sagemaker:us-east-1:123456789012:training-job/job)"), "{taken}");
    assert!(matches!(training.delete("job").await, Err(TrainingError::NotOver("InProgress"))));
    training.stop("job").await.expect("it is asked");
    world.over(&training, "job").await;
    training.delete("job").await.expect("it is over");
    assert!(matches!(training.delete("job").await, Err(TrainingError::Missing)));
    assert!(matches!(training.stop("job").await, Err(TrainingError::Missing)));
    create(&training, "job").await;
    training.shutdown().await;
}

#[tokio::test]
async fn unfinished_jobs_are_bounded() {
    let mut world = World::new();
    world.options.most_unfinished = 1;
    let compute = ScriptedCompute::default().with("a", ends(Ends::Asked(Exit::Code(0))));
    let training = world.start(Arc::new(compute));
    create(&training, "a").await;
    assert!(matches!(training.create(spec("b"), &[], json!({})).await, Err(TrainingError::TooMany(1))));
    training.shutdown().await;
}

/// The same with real child processes: `/bin/sh` stands for the program.
mod real {
    use std::os::unix::fs::PermissionsExt;

    use strata_compute::Local;

    use super::*;

    /// A program that ignores its arguments but for the folder, `$5`, and runs the script there.
    fn program(world: &mut World, script: &str) {
        let path = world.folder.path().join("program");
        let text = format!(
            "#!/bin/sh\n[ \"$1 $2 $3 $4\" = 'algorithm counter train --opt-ml' ] || exit 99\ncd \"$5\" || exit 98\n{script}\n"
        );
        std::fs::write(&path, text).expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
        world.program = path;
    }

    #[tokio::test]
    async fn a_child_trains() {
        let mut world = World::new();
        program(
            &mut world,
            "echo loss=0.125 >&2; cat input/data/train/a.csv; echo $GREETING $TRAINING_JOB_NAME; pwd | grep -c /job-; \
             cp input/data/train/a.csv model/weights",
        );
        let training = world.start(Arc::new(Local::new()));
        create(&training, "job").await;
        let job = world.over(&training, "job").await;
        assert_eq!(world.logs.of("job"), ["loss=0.125", "1,2", "hello job", "1"]);
        assert_eq!(job.state.phase, Phase::Completed);
        assert_eq!(job.state.metrics["train:loss"].value, 0.125);
    }

    #[tokio::test]
    async fn a_child_that_fails_says_why() {
        let mut world = World::new();
        program(&mut world, "echo 'AlgorithmError: no way' > output/failure; exit 4");
        let training = world.start(Arc::new(Local::new()));
        create(&training, "job").await;
        let job = world.over(&training, "job").await;
        assert_eq!(job.state.phase, Phase::Failed("AlgorithmError: no way, exit code: 4".into()));
    }

    #[tokio::test]
    async fn a_child_saves_when_it_is_told_to_end() {
        let mut world = World::new();
        program(
            &mut world,
            "trap 'echo saved > model/weights; exit 1' TERM; echo loss=1; while :; do sleep 1000 & wait; done",
        );
        let training = world.start(Arc::new(Local::new()));
        create(&training, "job").await;
        // Once its first line is in the log, the trap is set.
        world.logs.batches.subscribe().wait_for(|count| *count > 0).await.expect("a sender");
        training.stop("job").await.expect("it is asked");
        let job = world.over(&training, "job").await;
        assert_eq!(job.state.phase, Phase::Stopped);
        assert!(job.state.model.is_some());
    }

    #[tokio::test]
    async fn a_flood_of_lines_arrives_whole_in_few_batches() {
        let mut world = World::new();
        program(&mut world, "i=0; while [ $i -lt 5000 ]; do echo line $i loss=$i; i=$((i+1)); done");
        let training = world.start(Arc::new(Local::new()));
        create(&training, "job").await;
        let job = world.over(&training, "job").await;
        let lines = world.logs.of("job");
        assert_eq!(lines.len(), 5000);
        assert_eq!(lines[4999], "line 4999 loss=4999");
        assert_eq!(job.state.metrics["train:loss"].value, 4999.0);
        let batches = *world.logs.batches.borrow();
        assert!(batches < 500, "{batches}");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let mut world = World::new();
        world.program = "/no/such/strata".into();
        let training = world.start(Arc::new(Local::new()));
        create(&training, "job").await;
        let Phase::Failed(reason) = world.over(&training, "job").await.state.phase else { panic!("it ran") };
        assert!(
            reason.starts_with("InternalServerError: could not start program \"/no/such/strata\""),
            "{reason}"
        );
    }
}
