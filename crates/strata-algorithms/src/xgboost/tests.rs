//! Training end to end with the real library, which is installed where it is missing. Where that
//! is impossible (no network and no local wheel) these tests skip themselves by name.
//!
//! `STRATA_TEST_PYTHON` names a Python with xgboost and numpy to compare with.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::ffi::{Booster, Library, Matrix, Reading};
use crate::reader::{self, Features, Layout, Reader};

/// The library, unless it cannot be had here.
fn library(test: &str) -> Option<Library> {
    match strata_frameworks::install("xgboost") {
        Ok(path) => Some(Library::open(&path).unwrap()),
        Err(strata_frameworks::FrameworkError::Fetch { cause, .. }) => {
            println!("skipped {test}: {cause}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A prepared `/opt/ml`.
struct Prepared {
    folder: tempfile::TempDir,
}

impl Prepared {
    /// Hyperparameters as `name=value` words; channels as name, content type and text.
    fn new(hyperparameters: &str, channels: &[(&str, &str, &str)]) -> Self {
        let prepared = Self { folder: tempfile::tempdir().unwrap() };
        let pair = |word: &str| word.split_once('=').map(|(name, value)| (name.to_owned(), json!(value)));
        let values: serde_json::Map<_, _> = hyperparameters.split_whitespace().filter_map(pair).collect();
        prepared.write("input/config/hyperparameters.json", &json!(values).to_string());
        let mut config = serde_json::Map::new();
        for (name, content_type, text) in channels {
            config.insert(
                (*name).to_owned(),
                json!({ "ContentType": content_type, "TrainingInputMode": "File" }),
            );
            prepared.write(&format!("input/data/{name}/data"), text);
        }
        prepared.write("input/config/inputdataconfig.json", &json!(config).to_string());
        prepared
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    fn write(&self, inside: &str, text: &str) {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs the job in this process; the failure, if it failed.
    fn run(&self) -> Result<(), String> {
        let _ = fs::remove_file(self.path("output/failure"));
        crate::run("xgboost", "train", self.folder.path());
        match fs::read_to_string(self.path("output/failure")) {
            Ok(failure) => Err(failure),
            Err(_) => Ok(()),
        }
    }

    fn model(&self) -> Vec<u8> {
        fs::read(self.path("model/xgboost-model")).unwrap()
    }

    /// Runs the job in a child process, as the platform does.
    fn spawn(&self) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "xgboost::tests::child", "--ignored", "--nocapture", "--quiet"])
            .env("STRATA_TEST_OPT_ML", self.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// What `spawn` runs.
#[test]
#[ignore = "the child process of other tests"]
fn child() {
    if let Some(folder) = std::env::var_os("STRATA_TEST_OPT_ML") {
        crate::run("xgboost", "train", Path::new(&folder));
    }
}

/// Rows that can be learnt, the same on every call: label, then three features, some missing.
fn rows(count: usize, label: impl Fn(f64) -> f64) -> String {
    let mut text = String::new();
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    for _ in 0..count {
        let (a, b, c) = (random(), random(), random());
        let missing = if random() < 0.1 { String::new() } else { format!("{c:.4}") };
        let signal = 2.0 * a - b * b + if c > 0.5 { 0.7 } else { 0.0 };
        writeln!(text, "{},{a:.4},{b:.5},{missing}", label(signal)).unwrap();
    }
    text
}

fn libsvm(csv: &str) -> String {
    let line = |(at, line): (usize, &str)| {
        let mut cells = line.split(',');
        let label = cells.next().unwrap_or_default();
        let features = cells.enumerate().filter(|(_, cell)| !cell.is_empty());
        let features: String = features.map(|(column, cell)| format!(" {}:{cell}", column + 1)).collect();
        format!("{label} qid:{}{features}\n", at / 10)
    };
    csv.lines().enumerate().map(line).collect()
}

fn regression() -> String {
    rows(600, |signal| signal)
}

fn classes(count: u32) -> String {
    rows(600, move |signal| (signal.max(0.0) * 1.2).floor().min(f64::from(count - 1)))
}

/// Each way to train: hyperparameters, and the rows.
fn ways() -> Vec<(&'static str, String)> {
    vec![
        ("num_round=8", regression()),
        ("num_round=8 objective=binary:logistic eval_metric=auc,error@0.6 max_depth=3", classes(2)),
        ("num_round=6 objective=multi:softprob num_class=3 eval_metric=mlogloss", classes(3)),
        ("num_round=6 objective=multi:softmax num_class=3", classes(3)),
        ("num_round=6 tree_method=exact eta=0.5 lambda=2 alpha=0.1", regression()),
        ("num_round=6 tree_method=approx max_bin=32", regression()),
        ("num_round=6 tree_method=hist max_bin=16 grow_policy=lossguide max_leaves=7", regression()),
        ("num_round=6 booster=dart rate_drop=0.3 one_drop=1 seed=4", regression()),
        ("num_round=6 booster=gblinear updater=coord_descent", regression()),
        ("num_round=6 subsample=0.5 colsample_bytree=0.7 seed=11", regression()),
        ("num_round=6 objective=count:poisson", classes(3)),
        ("num_round=6 objective=reg:linear base_score=0.3 monotone_constraints=(1,-1,0)", regression()),
        ("num_round=6 num_parallel_tree=3 subsample=0.8", regression()),
    ]
}

#[test]
fn every_way_to_train_gives_a_model_that_predicts() {
    let Some(library) = library("every_way_to_train_gives_a_model_that_predicts") else { return };
    for (hyperparameters, text) in ways() {
        let job = Prepared::new(
            hyperparameters,
            &[("train", "text/csv", &text), ("validation", "text/csv", &text)],
        );
        assert_eq!(job.run(), Ok(()), "{hyperparameters}");
        assert_eq!(job.model().first(), Some(&b'{'), "UBJSON");
        let channel = crate::Channel { folder: job.path("input/data/train"), ..Default::default() };
        let batch = reader::read_all(&channel, &Layout::CSV, 1).unwrap().into_batch();
        let matrix = Matrix::plain(&library, &batch, Reading { threads: 1, max_bin: 256 }).unwrap();
        let booster = Booster::new(&library, &[]).unwrap();
        booster.load(&job.model()).unwrap();
        let predictions = booster.predict(&matrix).unwrap();
        assert_eq!(predictions.values.len(), predictions.outputs * 600);
        assert!(predictions.values.iter().all(|value| value.is_finite()));
        let Features::Dense { values, .. } = &batch.features else { panic!("csv is dense") };
        let served = super::serve::load_model(&job.path("model")).unwrap().predict(values).unwrap();
        assert_eq!(served.len(), predictions.values.len());
        for (served, library) in served.iter().zip(&predictions.values) {
            assert!((served - library).abs() <= 1e-6 * library.abs().max(1.0), "{hyperparameters}");
        }
        let spread = predictions
            .values
            .iter()
            .map(|value| (value * 1000.0) as i64)
            .collect::<std::collections::BTreeSet<_>>();
        assert!(spread.len() > 1, "{hyperparameters}: learnt nothing");
    }
}

/// Trains the same in Python and compares, tree by tree in effect: predictions within 1e-6.
#[test]
fn python_trains_and_predicts_the_same() {
    const NAME: &str = "python_trains_and_predicts_the_same";
    const SCRIPT: &str = r#"
import json, sys, warnings
import numpy as np, xgboost
warnings.simplefilter("ignore")

def apart(folder, kind):
    given = json.load(open(folder + "/input/config/hyperparameters.json"))
    rounds = int(given.pop("num_round"))
    metrics = given.pop("eval_metric", None)
    objective = given.get("objective", "reg:squarederror").replace("reg:linear", "reg:squarederror")
    given.update(nthread=1, objective=objective)
    if metrics:
        given["eval_metric"] = metrics.split(",")
    if kind == "libsvm":
        rows = [line.split() for line in open(folder + "/input/data/train/data")]
        x = np.full((len(rows), 4), np.nan, np.float32)
        for at, row in enumerate(rows):
            for pair in row[2:]:
                x[at, int(pair.split(":")[0])] = float(pair.split(":")[1])
        y, qid = [float(row[0]) for row in rows], [int(row[1][4:]) for row in rows]
        data = xgboost.DMatrix(x, y, qid=qid)
    else:
        cells = np.genfromtxt(folder + "/input/data/train/data", delimiter=",", dtype=np.float32)
        data = xgboost.DMatrix(cells[:, 1:], cells[:, 0])
    theirs = xgboost.train(given, data, rounds)
    ours = xgboost.Booster()
    ours.load_model(folder + "/model/xgboost-model")
    assert ours.num_boosted_rounds() == rounds, ours.num_boosted_rounds()
    return float(np.abs(theirs.predict(data) - ours.predict(data)).max())

for word in sys.argv[1:]:
    print(apart(*word.split("|")))
"#;
    let Some(_) = library(NAME) else { return };
    let Some(python) = std::env::var_os("STRATA_TEST_PYTHON") else {
        println!("skipped {NAME}: STRATA_TEST_PYTHON does not name a Python with xgboost");
        return;
    };
    let mut jobs: Vec<_> = ways().into_iter().map(|(words, text)| (words, "text/csv", text)).collect();
    jobs.push(("num_round=6 objective=rank:ndcg", "text/libsvm", libsvm(&classes(3))));
    jobs.push(("num_round=6 tree_method=exact", "text/libsvm", libsvm(&regression())));
    let mut command = Command::new(&python);
    command.args(["-c", SCRIPT]);
    let prepared = |(words, content_type, text): &(&str, &str, String)| {
        let job = Prepared::new(words, &[("train", content_type, text)]);
        assert_eq!(job.run(), Ok(()), "{words}");
        command.arg(format!("{}|{}", job.folder.path().display(), content_type.trim_start_matches("text/")));
        job
    };
    let folders: Vec<_> = jobs.iter().map(prepared).collect();
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), folders.len());
    for (line, (words, _, _)) in answers.lines().zip(&jobs) {
        let apart: f64 = line.parse().unwrap();
        assert!(apart <= 1e-6, "{words}: predictions are {apart} apart");
    }
}

#[test]
fn the_same_job_gives_the_same_bytes_on_any_number_of_threads() {
    let Some(_) = library("the_same_job_gives_the_same_bytes_on_any_number_of_threads") else { return };
    let text = rows(20_000, |signal| f64::from(signal > 0.9));
    for way in
        ["", "subsample=0.5 colsample_bylevel=0.6 seed=3", "tree_method=approx", "booster=dart rate_drop=0.2"]
    {
        let bytes = |threads: usize| {
            let words = format!("num_round=8 objective=binary:logistic nthread={threads} {way}");
            let job = Prepared::new(&words, &[("train", "text/csv", &text)]);
            assert_eq!(job.run(), Ok(()));
            job.model()
        };
        let once = bytes(1);
        for threads in [1, 2, 4] {
            assert!(bytes(threads) == once, "{threads} threads, {way}");
        }
    }
}

/// Bins built from pieces are the bins of all values at once.
#[test]
fn pieces_give_the_model_of_the_whole() {
    let Some(library) = library("pieces_give_the_model_of_the_whole") else { return };
    let text = rows(60_000, |signal| signal);
    let job = Prepared::new("", &[("train", "text/csv", &text)]);
    let channel = crate::Channel { folder: job.path("input/data/train"), ..Default::default() };
    let reading = Reading { threads: 2, max_bin: 64 };
    let read = || reader::read_all(&channel, &Layout::CSV, 2).unwrap();
    let mut pieces = Vec::new();
    let mut reader = Reader::open(&channel, &Layout::CSV).unwrap();
    while let Some(piece) = reader.next_batch(7_000).unwrap() {
        pieces.push(piece);
    }
    assert_eq!(pieces.len(), 9);
    let train = |matrix: &Matrix| {
        let booster = Booster::new(&library, &[matrix]).unwrap();
        for (name, value) in [("tree_method", "hist"), ("max_bin", "64"), ("nthread", "2")] {
            booster.set(name, value).unwrap();
        }
        (0..5).for_each(|round| booster.update(round, matrix).unwrap());
        booster.save().unwrap()
    };
    let quantised = Matrix::quantised(&library, &pieces, reading, None).unwrap();
    let whole = Matrix::plain(&library, &read().into_batch(), reading).unwrap();
    assert!(train(&quantised) == train(&whole));
}

#[test]
fn early_stopping_keeps_the_best_model() {
    let Some(library) = library("early_stopping_keeps_the_best_model") else { return };
    // the validation labels have nothing to do with the features, so more rounds make it worse
    let noise = rows(300, |signal| (signal * 1e4).rem_euclid(1.0) - 0.5);
    for booster in ["gbtree", "dart"] {
        let words = format!("num_round=200 early_stopping_rounds=4 eval_metric=mae,rmse booster={booster}");
        let job = Prepared::new(
            &words,
            &[("train", "text/csv", &noise), ("validation", "text/csv", &regression())],
        );
        assert_eq!(job.run(), Ok(()));
        let model = Booster::new(&library, &[]).unwrap();
        model.load(&job.model()).unwrap();
        let best: i32 = model.noted("best_iteration").unwrap().unwrap().parse().unwrap();
        assert!(best < 150, "it stopped");
        assert!(model.noted("best_score").unwrap().is_some());
        assert!(model.first_rounds(best + 1).is_ok());
        assert!(model.first_rounds(best + 2).is_err(), "the rounds behind the best are gone");
    }
}

#[test]
fn a_job_goes_on_from_its_checkpoint() {
    let Some(_) = library("a_job_goes_on_from_its_checkpoint") else { return };
    let text = regression();
    let straight = Prepared::new("num_round=9", &[("train", "text/csv", &text)]);
    assert_eq!(straight.run(), Ok(()));
    let job = Prepared::new("num_round=4", &[("train", "text/csv", &text)]);
    fs::create_dir(job.path("checkpoints")).unwrap();
    assert_eq!(job.run(), Ok(()));
    // one that was cut short is passed over
    job.write("checkpoints/xgboost-checkpoint.7", "{");
    job.write("input/config/hyperparameters.json", r#"{"num_round":"9"}"#);
    assert_eq!(job.run(), Ok(()));
    assert!(job.model() == straight.model());
    let mut names: Vec<_> =
        fs::read_dir(job.path("checkpoints")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        [4, 5, 6, 7, 8].map(|round| std::ffi::OsString::from(format!("xgboost-checkpoint.{round}")))
    );
}

#[test]
fn asked_to_end_a_job_saves_the_model_so_far() {
    let Some(library) = library("asked_to_end_a_job_saves_the_model_so_far") else { return };
    let job = Prepared::new("num_round=100000000 max_depth=2", &[("train", "text/csv", &regression())]);
    let mut child = job.spawn();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("xgboost ")).unwrap();
    assert!(first.contains(", library xgboost 3."), "{first}");
    assert!(first.ends_with("threads, channels train"), "{first}");
    let line = lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("[3]")).unwrap();
    assert!(line.starts_with("[3]#011train-rmse:0."), "{line}");
    let signal = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(signal.success());
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    assert!(rest.iter().any(|line| line.starts_with("stopped after ")), "{rest:?}");
    assert!(child.wait().unwrap().success());
    let booster = Booster::new(&library, &[]).unwrap();
    booster.load(&job.model()).unwrap();
    assert!(booster.first_rounds(4).is_ok());
    assert!(!job.path("output/failure").exists());
}

#[test]
fn provenance_lies_beside_the_model() {
    let Some(_) = library("provenance_lies_beside_the_model") else { return };
    let job = Prepared::new("num_round=1 seed=5", &[("train", "text/csv", "1,2\n3,4\n")]);
    assert_eq!(job.run(), Ok(()));
    let text = fs::read_to_string(job.path("model/.provenance.json")).unwrap();
    let origin: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(origin["hyperparameters"]["seed"], "5");
    assert_eq!(origin["library"], strata_frameworks::find("xgboost").unwrap().title());
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest("1,2\n3,4\n"));
    assert_eq!(origin["channels"]["train"][0]["sha256"], digest.as_str());
    assert_eq!(origin["channels"]["train"][0]["bytes"], 8);
}

#[test]
fn weights_in_the_second_column_count() {
    let Some(_) = library("weights_in_the_second_column_count") else { return };
    let plain = classes(2);
    let weighted = |weight: &dyn Fn(usize) -> f32| -> String {
        let line = |(at, line): (usize, &str)| line.replacen(',', &format!(",{},", weight(at)), 1) + "\n";
        plain.lines().enumerate().map(line).collect()
    };
    let train = |words: &str, text: &str, validation: &str| {
        let words = format!("num_round=3 objective=binary:logistic {words}");
        let job =
            Prepared::new(&words, &[("train", "text/csv", text), ("validation", "text/csv", validation)]);
        assert_eq!(job.run(), Ok(()));
        job.model()
    };
    let unweighted = train("", &plain, &plain);
    // a validation channel may have weights or not
    assert!(train("csv_weights=1", &weighted(&|_| 1.0), &plain) == unweighted);
    assert!(
        train("csv_weights=1", &weighted(&|at| 1.0 + (at % 3) as f32), &weighted(&|_| 2.0)) != unweighted
    );
}

/// What a person reads when the input is wrong.
#[test]
fn every_bad_input_has_a_sentence() {
    let good = "1,2,3\n0,3,4\n";
    let check = |words: &str, channels: &[(&str, &str, &str)], expected: &str| {
        let failure = Prepared::new(words, channels).run().unwrap_err();
        assert_eq!(failure, expected);
    };
    let csv = |text: &'static str| [("train", "text/csv", text)];
    check(
        "num_round=1",
        &[],
        "ClientError: channel \"train\" is missing; name it in InputDataConfig (given: none)",
    );
    check(
        "",
        &csv(good),
        "ClientError: Missing required hyperparameter: num_round (integer in the range [1, 2147483647])",
    );
    check(
        "num_round=1 eta=2",
        &csv(good),
        "ClientError: Value 2 of hyperparameter eta is not in the range [0.0, 1.0]",
    );
    check(
        "num_round=1 max_dept=2",
        &csv(good),
        "ClientError: Extraneous hyperparameter found: max_dept; did you mean max_depth?",
    );
    check(
        "num_round=1",
        &[("train", "text/csv", good), ("test", "text/csv", good)],
        "ClientError: Extraneous channel found: test; xgboost reads train, validation",
    );
    check(
        "num_round=1 early_stopping_rounds=2",
        &csv(good),
        "ClientError: hyperparameter early_stopping_rounds needs a channel \"validation\", whose score decides",
    );
    let Some(_) = library("every_bad_input_has_a_sentence (the second half)") else { return };
    check(
        "num_round=1",
        &csv("1,2,3\n0,3,abc\n"),
        "AlgorithmError: channel \"train\", row 2, column 3: \"abc\" is not a number",
    );
    check(
        "num_round=1",
        &csv("1,2,3\n0,3\n"),
        "AlgorithmError: channel \"train\", row 2: has 2 columns, but 3 are expected, as in the first row",
    );
    check(
        "num_round=1",
        &csv(""),
        "ClientError: channel \"train\" has no rows; put at least one file with data under its S3 prefix",
    );
    check("num_round=1", &csv("1\n0\n"), "ClientError: channel \"train\" has labels but no features");
    check(
        "num_round=1 objective=binary:logistic",
        &csv("1,2,3\n2,3,4\n"),
        "ClientError: channel \"train\", row 2: label 2 is not in [0, 1], which objective binary:logistic needs",
    );
    check(
        "num_round=1 objective=multi:softmax num_class=2",
        &csv("1,2,3\n2,3,4\n"),
        "ClientError: channel \"train\", row 2: label 2 is not one of the classes 0 to 1 that num_class=2 of \
         objective multi:softmax means",
    );
    check(
        "num_round=1",
        &[("train", "text/csv", good), ("validation", "text/csv", "1,2\n")],
        "AlgorithmError: channel \"validation\", row 1: has 1 features, but 2 are expected",
    );
    check(
        "num_round=1",
        &[("train", "", good)],
        "AlgorithmError: channel \"train\", row 1, column 1: \"1,2,3\" is not a number; training data has no header \
         row, remove it if this is one; the channel has no ContentType, so text/libsvm was assumed: give text/csv \
         if it is CSV",
    );
    check(
        "num_round=1",
        &[("train", "text/csv;label_size=0", good)],
        "ClientError: channel \"train\": content type \"text/csv;label_size=0\" says that there is no label, but the \
         first column must be one; give text/csv or text/csv;label_size=1",
    );
    check(
        "num_round=1",
        &[("train", "image/png", good)],
        "ClientError: channel \"train\": content type \"image/png\" is not one of text/csv, text/libsvm",
    );
    check(
        "num_round=1 objective=rank:ndcg",
        &[("train", "text/libsvm", "1 qid:2 1:1\n0 qid:1 1:2\n")],
        "ClientError: channel \"train\", row 2: qid 1 comes after a higher one; sort the rows by qid",
    );
    let job = Prepared::new("num_round=1", &csv(good));
    job.write("input/config/resourceconfig.json", r#"{"current_host":"algo-1","hosts":["algo-1","algo-2"]}"#);
    assert_eq!(
        job.run().unwrap_err(),
        "ClientError: XGBoost trains on one instance, and the job has 2; set InstanceCount to 1"
    );
    let job = Prepared::new("num_round=1", &csv(good));
    job.write(
        "input/config/inputdataconfig.json",
        r#"{"train":{"ContentType":"text/csv","TrainingInputMode":"Pipe"}}"#,
    );
    assert_eq!(
        job.run().unwrap_err(),
        "ClientError: channel \"train\" comes in mode Pipe, which is not read; set TrainingInputMode to File"
    );
}
