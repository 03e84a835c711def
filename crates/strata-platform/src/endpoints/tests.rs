//! Endpoints from creation to deletion, on a cloud in memory.

use std::sync::atomic::{AtomicBool, AtomicUsize};

use bytes::Bytes;
use strata_base::metadata::ListQuery;

use super::*;
use crate::toy::{World, archive, new_endpoint, new_model};

fn request(body: &'static [u8]) -> Request {
    Request { body: Bytes::from_static(body), ..Request::default() }
}

async fn finish(invocation: Invocation) -> Result<Invoked, InvokeError> {
    match invocation {
        Invocation::Now(result) => result,
        Invocation::Later(answer) => answer.await,
    }
}

/// `variant: answer`, or the error.
async fn ask(world: &World, endpoint: &str, target: Option<&str>, body: &'static [u8]) -> String {
    match finish(world.endpoints.invoke(endpoint, target, request(body), Instant::now())).await {
        Ok(invoked) => format!(
            "{}: {}",
            String::from_utf8_lossy(&invoked.variant),
            String::from_utf8_lossy(&invoked.answer.body)
        ),
        Err(InvokeError::Model { status, message, .. }) => format!("{status} {message}"),
        Err(error) => error.to_string(),
    }
}

fn update(name: &str, config: &str) -> Update {
    Update { name: name.into(), config: config.into(), ..Update::default() }
}

fn shown(endpoint: &Endpoint) -> String {
    let config = endpoint.state.serving.as_ref().map_or("nothing", |serving| &serving.config);
    let failure = endpoint.state.failure.as_deref().unwrap_or("-");
    format!("{} {config} {failure}", endpoint.state.phase.word())
}

#[tokio::test]
async fn variants_answer_by_weight_and_by_name() {
    let world = World::new();
    world.model("one", "1").await;
    world.model("two", "2").await;
    world.config("c", "a:one:90 b:two:10 idle:two:0").await;
    assert_eq!(shown(&world.endpoint("e", "c").await), "InService c -");

    let mut counts = [0_usize; 2];
    for _ in 0..1000 {
        match ask(&world, "e", None, b"x").await.as_str() {
            "a: 1" => counts[0] += 1,
            "b: 2" => counts[1] += 1,
            other => panic!("{other}"),
        }
    }
    assert!(counts[0].abs_diff(900) <= 2, "{counts:?}");
    assert_eq!(ask(&world, "e", Some("idle"), b"x").await, "idle: 2");
    assert_eq!(
        ask(&world, "e", Some("c"), b"x").await,
        "Variant c of endpoint e not found: it has a, b, idle."
    );
    assert_eq!(ask(&world, "none", None, b"x").await, "Endpoint none of account 123456789012 not found.");

    let half = |variant: &str| Adjustment { variant: variant.into(), weight: Some(5.0), instances: Some(2) };
    world.endpoints.adjust("e", vec![half("a"), half("b")]).await.unwrap();
    let mut to_a = 0_usize;
    for _ in 0..1000 {
        to_a += usize::from(ask(&world, "e", None, b"x").await == "a: 1");
    }
    assert!(to_a.abs_diff(500) <= 2, "{to_a}");
    let serving = world.endpoints.describe("e").await.unwrap().state.serving.unwrap();
    assert_eq!((serving.variants[0].weight, serving.variants[0].instances), (5.0, 2));

    let adjust = |variant: &str, weight, instances| {
        let changes = vec![Adjustment { variant: variant.into(), weight, instances }];
        world.endpoints.adjust("e", changes)
    };
    assert_eq!(
        adjust("z", Some(1.0), None).await.unwrap_err().to_string(),
        r#"The variant name(s) "z" is/are not present within Endpoint configuration "c"."#
    );
    assert!(matches!(adjust("a", None, Some(0)).await, Err(EndpointError::NoInstances(_))));
    adjust("a", Some(0.0), None).await.unwrap();
    assert!(matches!(adjust("b", Some(0.0), None).await, Err(EndpointError::Config(ConfigError::NoWeight))));
    assert_eq!(ask(&world, "e", None, b"x").await, "b: 2");
}

#[tokio::test]
async fn names_clash_and_missing_things_are_named() {
    let world = World::new();
    world.model("m", "1").await;
    world.config("c", "v:m:1").await;
    world.endpoint("e", "c").await;
    let endpoints = &world.endpoints;
    let said = [
        endpoints.create(new_endpoint("e", "c")).await.unwrap_err().to_string(),
        endpoints.create(new_endpoint("f", "none")).await.unwrap_err().to_string(),
        endpoints.describe("none").await.unwrap_err().to_string(),
        endpoints.update(update("none", "c")).await.unwrap_err().to_string(),
        endpoints.delete("none").await.unwrap_err().to_string(),
        endpoints.configs.delete("none").await.unwrap_err().to_string(),
        world.models.create(new_model("m")).await.unwrap_err().to_string(),
        world.models.create(new_model("nodata")).await.unwrap_err().to_string(),
        world.models.delete("none").await.unwrap_err().to_string(),
    ];
    insta::assert_snapshot!(said.join("\n"), @r#"
    Cannot create already existing endpoint "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e".
    Could not find endpoint configuration "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/none".
    Could not find endpoint "arn:aws:sagemaker:us-east-1:123456789012:endpoint/none".
    Could not find endpoint "arn:aws:sagemaker:us-east-1:123456789012:endpoint/none".
    Could not find endpoint "arn:aws:sagemaker:us-east-1:123456789012:endpoint/none".
    Could not find endpoint configuration "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/none".
    Cannot create already existing model "arn:aws:sagemaker:us-east-1:123456789012:model/m".
    Could not find model data at s3://b/nodata.tar.gz.
    Could not find model "arn:aws:sagemaker:us-east-1:123456789012:model/none".
    "#);
}

#[tokio::test]
async fn broken_models_fail_with_their_reason() {
    let world = World::new();
    for (name, body) in [
        ("nomodel", archive(&[("other", b"x")])),
        ("panics", archive(&[("model", b"panic")])),
        ("notar", b"{\"not\": \"a tar\"}".repeat(100)),
        ("cut", archive(&[("model", &[7; 100_000])])[..60].to_vec()),
    ] {
        world.objects.insert("b", &format!("{name}.tar.gz"), body);
        world.models.create(new_model(name)).await.unwrap();
        world.config(name, &format!("v:{name}:1")).await;
        let endpoint = world.endpoint(name, name).await;
        assert_eq!(endpoint.state.phase, Phase::Failed, "{name}");
    }
    world.model("gone", "x").await;
    world.config("gone", "v:gone:1").await;
    world.objects.insert("b", "gone.tar.gz", b"".as_slice());
    world.endpoint("gone", "gone").await;
    let mut said = String::new();
    for name in ["nomodel", "panics", "notar", "cut", "gone"] {
        said += &shown(&world.endpoints.describe(name).await.unwrap());
        said += "\n";
    }
    insta::assert_snapshot!(said, @r#"
    Failed nothing Production variant "v", model "nomodel": Failed to load the model of container "primary" from URL "s3://b/nomodel.tar.gz" with toy: file "model": No such file or directory (os error 2)
    Failed nothing Production variant "v", model "panics": Failed to load the model of container "primary" from URL "s3://b/panics.tar.gz" with toy: loading it panicked: told to panic
    Failed nothing Production variant "v", model "notar": Failed to extract model data archive for container "primary" from URL "s3://b/notar.tar.gz": it is neither a gzip-compressed nor a plain tar archive. Please ensure that the object located at the URL is a valid tar.gz archive.
    Failed nothing Production variant "v", model "cut": Failed to extract model data archive for container "primary" from URL "s3://b/cut.tar.gz": it is truncated or damaged (it ends too early). Please ensure that the object located at the URL is a valid tar.gz archive.
    Failed nothing Production variant "v", model "gone": Failed to extract model data archive for container "primary" from URL "s3://b/gone.tar.gz": it is empty. Please ensure that the object located at the URL is a valid tar.gz archive.
    "#);
    assert!(world.log("notar").await.contains("[error] model notar: Failed to extract"));
    let leftovers = std::fs::read_dir(world.work.path().join("models")).unwrap().count();
    assert_eq!(leftovers, 0, "unpacked files are cleared away");

    // A failed endpoint can be given a model that works, or be deleted.
    world.model("good", "1").await;
    world.config("good", "v:good:1").await;
    world.endpoints.update(update("cut", "good")).await.unwrap();
    assert_eq!(shown(&world.endpoints.settled("cut").await.unwrap()), "InService good -");
    world.endpoints.delete("notar").await.unwrap();
    assert!(matches!(world.endpoints.describe("notar").await, Err(EndpointError::Missing(_))));
}

#[tokio::test]
async fn a_failed_update_leaves_the_old_variants_serving() {
    let world = World::new();
    world.model("good", "1").await;
    world.model("bad", "panic").await;
    world.config("old", "v:good:1").await;
    world.config("new", "v:bad:1").await;
    world.endpoint("e", "old").await;
    world.endpoints.update(update("e", "new")).await.unwrap();
    let endpoint = world.endpoints.settled("e").await.unwrap();
    let failure = endpoint.state.failure.unwrap();
    assert_eq!(endpoint.state.phase, Phase::InService);
    assert_eq!(endpoint.state.serving.unwrap().config, "old");
    assert!(failure.contains("loading it panicked"), "{failure}");
    assert_eq!(ask(&world, "e", None, b"x").await, "v: 1");
}

#[tokio::test]
async fn retained_properties_stay() {
    let world = World::new();
    world.model("m", "1").await;
    world.config("old", "a:m:3 b:m:1").await;
    world.config("new", "a:m:1 c:m:7").await;
    world.endpoint("e", "old").await;
    let retain = Update { retain_weights: true, ..update("e", "new") };
    world.endpoints.update(retain).await.unwrap();
    let serving = world.endpoints.settled("e").await.unwrap().state.serving.unwrap();
    let weights: Vec<f64> = serving.variants.iter().map(|variant| variant.weight).collect();
    assert_eq!(weights, [3.0, 7.0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn updates_under_load_lose_no_request() {
    let world = Arc::new(World::new());
    world.model("m0", "0").await;
    world.model("m1", "1").await;
    world.config("c0", "v:m0:1").await;
    world.config("c1", "v:m1:3 w:m1:1").await;
    world.endpoint("e", "c0").await;
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..4)
        .map(|at| {
            let (world, stop, answered) = (world.clone(), stop.clone(), answered.clone());
            tokio::spawn(async move {
                // Large bodies take the pool and are under way while variants change.
                let body: &'static [u8] = if at == 0 { vec![b'x'; 100_000].leak() } else { b"x" };
                while !stop.load(Relaxed) {
                    let said = ask(&world, "e", None, body).await;
                    assert!(["v: 0", "v: 1", "w: 1"].contains(&said.as_str()), "{said}");
                    answered.fetch_add(1, Relaxed);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for round in 0..20 {
        let config = if round % 2 == 0 { "c1" } else { "c0" };
        world.endpoints.update(update("e", config)).await.unwrap();
        assert_eq!(shown(&world.endpoints.settled("e").await.unwrap()), format!("InService {config} -"));
    }
    stop.store(true, Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    world.endpoints.flush_metrics().await.unwrap();
    let data = world.metrics.data.lock().unwrap();
    let invocations: f64 =
        data.iter().filter(|datum| datum.series.metric == "Invocations").map(|datum| datum.sum).sum();
    assert_eq!(invocations, answered.load(Relaxed) as f64);
}

#[tokio::test]
async fn errors_of_the_model_are_told_counted_and_logged() {
    let world = World::new();
    world.model("m", "1").await;
    world.config("c", "v:m:1").await;
    world.endpoint("e", "c").await;
    assert_eq!(ask(&world, "e", None, b"bad").await, "400 could not read \"bad\"");
    assert_eq!(
        ask(&world, "e", None, b"panic").await,
        "500 the model failed on this request: toy panicked: told to panic"
    );
    assert_eq!(ask(&world, "e", None, b"fine").await, "v: 1");
    let log = world.log("e").await;
    assert!(log.contains("[info] model m of s3://b/m.tar.gz is loaded with toy: 1 bytes"), "{log}");
    assert!(log.contains("[error] invocation failed with 400: could not read \"bad\""), "{log}");
    assert!(log.contains("[error] invocation failed with 500"), "{log}");
    let data = world.metrics.data.lock().unwrap();
    let sum = |metric: &str| {
        data.iter().filter(|datum| datum.series.metric == metric).map(|datum| datum.sum).sum::<f64>()
    };
    assert_eq!((sum("Invocations"), sum("Invocation4XXErrors"), sum("Invocation5XXErrors")), (3.0, 1.0, 1.0));
}

#[tokio::test]
async fn endpoints_in_service_outlive_their_sources_and_a_restart() {
    let world = World::new();
    world.model("m", "1").await;
    world.model("n", "2").await;
    world.config("c", "v:m:1 w:n:0").await;
    world.endpoint("e", "c").await;
    let adjusted = Adjustment { variant: "w".into(), weight: Some(1.0), instances: None };
    let idle = Adjustment { variant: "v".into(), weight: Some(0.0), instances: None };
    world.endpoints.adjust("e", vec![adjusted, idle]).await.unwrap();
    world.models.delete("m").await.unwrap();
    world.endpoints.configs.delete("c").await.unwrap();
    assert_eq!(ask(&world, "e", Some("v"), b"x").await, "v: 1");

    let again = world.restarted();
    assert_eq!(ask(&again, "e", None, b"x").await, "Endpoint e of account 123456789012 not found.");
    assert_eq!(again.endpoints.resume().await.unwrap(), 1);
    assert_eq!(
        ask(&again, "e", None, b"x").await,
        "Endpoint e is being loaded after a restart. Try your call again."
    );
    assert_eq!(shown(&again.endpoints.settled("e").await.unwrap()), "InService c -");
    assert_eq!(ask(&again, "e", None, b"x").await, "w: 2", "weights are those set last");

    // Data that is gone takes the endpoint out of service until it is back.
    world.objects.insert("b", "m.tar.gz", b"broken".as_slice());
    let third = world.restarted();
    third.endpoints.resume().await.unwrap();
    let endpoint = third.endpoints.settled("e").await.unwrap();
    assert_eq!(endpoint.state.phase, Phase::OutOfService);
    assert!(endpoint.state.failure.unwrap().contains("Failed to extract"));
    assert_eq!(ask(&third, "e", None, b"x").await, "Endpoint e of account 123456789012 not found.");
    world.objects.insert("b", "m.tar.gz", archive(&[("model", b"1")]));
    let fourth = world.restarted();
    fourth.endpoints.resume().await.unwrap();
    while fourth.endpoints.describe("e").await.unwrap().state.phase != Phase::InService {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&fourth, "e", Some("v"), b"x").await, "v: 1");
}

#[tokio::test]
async fn what_was_being_loaded_goes_on_after_a_restart() {
    let world = World::new();
    world.model("m", "1").await;
    world.model("n", "2").await;
    world.config("c", "v:m:1").await;
    world.config("d", "v:n:1").await;
    world.endpoint("old", "c").await;
    // As a killed process leaves them: asked for, and nothing loaded yet.
    let asked = world.endpoints.configs.deployment("d", None).await.unwrap();
    let (record, state) = world.endpoints.read("old").await.unwrap();
    world.endpoints.change(record, &state, Change::Ask(asked.clone())).await.unwrap();
    let state = State::created(asked);
    let record = Record::new(KIND, "new", world.endpoints.arn("new"), "Creating", Value::Null, json!(state));
    world.ports.metadata.create(&record, None).await.unwrap();

    let again = world.restarted();
    assert!(matches!(again.endpoints.delete("new").await, Err(EndpointError::InProgress(_))));
    assert!(matches!(again.endpoints.update(update("old", "c")).await, Err(EndpointError::InProgress(_))));
    again.endpoints.resume().await.unwrap();
    for name in ["old", "new"] {
        assert_eq!(shown(&again.endpoints.settled(name).await.unwrap()), "InService d -");
        assert_eq!(ask(&again, name, None, b"x").await, "v: 2");
    }
}

#[tokio::test]
async fn the_same_data_is_loaded_once() {
    let world = World::new();
    world.model("m", "1").await;
    let container = world.models.describe("m").await.unwrap().container;
    let loader = &world.models.loader;
    let (first, second) = tokio::join!(loader.load(&container), loader.load(&container));
    let first = first.unwrap();
    assert!(Arc::ptr_eq(&first, &second.unwrap()));
    world.objects.insert("b", "m.tar.gz", archive(&[("model", b"changed")]));
    let changed = loader.load(&container).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &changed), "new bytes are a new model");
    assert_eq!(changed.bytes, 7);
}

#[tokio::test]
async fn deleted_endpoints_are_gone_with_their_tags() {
    let world = World::new();
    world.model("m", "1").await;
    world.config("c", "v:m:1").await;
    let tagged = NewEndpoint { tags: vec![("k".into(), "v".into())], ..new_endpoint("e", "c") };
    let arn = world.endpoints.create(tagged).await.unwrap();
    world.endpoints.settled("e").await.unwrap();
    let tags = Tags::new(world.ports.clone());
    assert_eq!(tags.list(&arn).await.unwrap(), [("k".to_string(), "v".to_string())]);
    world.endpoints.delete("e").await.unwrap();
    assert!(tags.list(&arn).await.is_err());
    assert_eq!(ask(&world, "e", None, b"x").await, "Endpoint e of account 123456789012 not found.");
    assert!(world.endpoints.list(ListQuery::default()).await.unwrap().records.is_empty());
}

#[tokio::test]
async fn models_stored_unpacked() {
    use crate::models::{Container, Data};
    let world = World::new();
    world.objects.insert("b", "m/model", b"folder".as_slice());
    world.objects.insert("b", "m/code/x.py", b"pass".as_slice());
    world.objects.insert("b", "m/", b"".as_slice());
    let container =
        |data| Container { image: "toy".into(), data: Some(data), environment: Default::default() };
    let load = |data| {
        let container = container(data);
        let loader = world.models.loader.clone();
        async move { loader.load(&container).await.map(|loaded| loaded.bytes).map_err(|e| e.to_string()) }
    };
    assert_eq!(load(Data::Folder("s3://b/m/".into())).await, Ok(6));
    assert_eq!(load(Data::File("s3://b/m/model".into())).await, Ok(6));
    assert_eq!(
        load(Data::Folder("s3://b/none/".into())).await,
        Err("Could not find model data at s3://b/none/.".into())
    );
    world.objects.insert("b", "evil/../../model", b"x".as_slice());
    let refused = load(Data::Folder("s3://b/evil/".into())).await.unwrap_err();
    assert!(refused.contains("makes no file name"), "{refused}");
}
