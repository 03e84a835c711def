use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixtures {
    cases: Vec<Case>,
    refused: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Case {
    model: String,
    rows: Vec<Vec<Option<f32>>>,
    predictions: Vec<Vec<f32>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/xgboost")
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

fn model(name: &str) -> Model {
    Model::read(&bytes(name)).unwrap_or_else(|problem| panic!("{name} {problem}"))
}

fn fixtures() -> Fixtures {
    serde_json::from_slice(&bytes("cases.json")).unwrap()
}

fn request(content_type: &str, accept: &str, body: &str) -> Request {
    Request {
        content_type: content_type.into(),
        accept: accept.into(),
        custom_attributes: None,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn ask(name: &str, content_type: &str, accept: &str, body: &str) -> String {
    match model(name).score(&request(content_type, accept, body)) {
        Ok(answer) => format!("{}: {}", answer.content_type, std::str::from_utf8(&answer.body).unwrap()),
        Err(error) => format!("{error:?}"),
    }
}

fn check(case: &Case, found: &[f32], how: &str) {
    let expected: Vec<f32> = case.predictions.concat();
    assert_eq!(found.len(), expected.len(), "{} {how}", case.model);
    for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let error = (found - expected).abs() / expected.abs().max(1.0);
        assert!(error <= 1e-6, "{} {how}: number {place} is {found}, not {expected}", case.model);
    }
}

#[test]
fn predictions_equal_the_librarys() {
    let cases = fixtures().cases;
    assert!(cases.len() > 30);
    for case in cases {
        let model = model(&case.model);
        let values: Vec<f32> = case.rows.iter().flatten().map(|value| value.unwrap_or(f32::NAN)).collect();
        check(&case, &model.predict(&values).unwrap(), "all rows at once");
        // Enough rows for several blocks and a remainder.
        let many = values.repeat(15);
        let found = model.predict(&many).unwrap();
        for part in found.chunks(found.len() / 15) {
            check(&case, part, "in blocks");
        }
        let single: Vec<f32> =
            values.chunks(model.width()).flat_map(|row| model.predict(row).unwrap()).collect();
        check(&case, &single, "row by row");
        let sparse: Vec<String> = case
            .rows
            .iter()
            .map(|row| {
                let named = row.iter().enumerate().filter_map(|(place, value)| Some((place, (*value)?)));
                let items: Vec<String> = named.map(|(place, value)| format!("{place}:{value}")).collect();
                format!("0 {}", items.join(" "))
            })
            .collect();
        check(&case, &model.predict_sparse(sparse.join("\n").as_bytes()).unwrap(), "sparse");
    }
}

#[test]
fn what_cannot_be_served_is_refused_with_the_reason() {
    for (name, reason) in fixtures().refused {
        let problem = Model::read(&bytes(&name)).unwrap_err();
        assert!(problem.contains(&reason), "{name}: {problem}");
    }
    let refused = |bytes: &[u8]| Model::read(bytes).unwrap_err();
    assert_eq!(refused(b""), "is empty");
    assert!(refused(b"\x80\x03cxgboost.core\nBooster").contains("save it again with Booster.save_model"));
    assert!(refused(b"binf\x00\x00").contains("save it again with Booster.save_model"));
    assert!(refused(b"{\"a\": 1}").contains("missing field `learner`"));
}

/// One member of a good model changed.
fn broken(pointer: &str, value: serde_json::Value) -> String {
    let mut document: serde_json::Value = serde_json::from_slice(&bytes("missing.json")).unwrap();
    *document.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    Model::read(document.to_string().as_bytes()).unwrap_err()
}

#[test]
fn a_model_is_checked_when_it_is_loaded() {
    use serde_json::json;
    let tree = "/learner/gradient_booster/model/trees/0";
    let at = |member: &str| format!("{tree}/{member}/0");
    assert_eq!(broken(&at("left_children"), json!(0)), "tree 0 is no tree: node 0 is reached twice");
    assert_eq!(broken(&at("left_children"), json!(2)), "tree 0 is no tree: node 2 is reached twice");
    assert_eq!(broken(&at("left_children"), json!(99)), "tree 0 has a child outside it at node 0");
    assert_eq!(broken(&at("left_children"), json!(-1)), "tree 0 has a child outside it at node 0");
    assert_eq!(broken(&at("split_indices"), json!(5)), "tree 0 splits on feature 5 of 5");
    assert_eq!(broken(&format!("{tree}/split_indices"), json!([])), "tree 0 has lists of different lengths");
    assert!(broken(&at("split_conditions"), json!("x")).contains("is not an XGBoost model: invalid type"));
    assert_eq!(
        broken("/learner/gradient_booster/model/tree_info/0", json!(1)),
        "tree 0 adds to output 1 of 1"
    );
    assert_eq!(
        broken("/learner/gradient_booster/model/tree_info", json!([])),
        "4 trees, but tree_info for 0"
    );
    assert_eq!(
        broken("/learner/gradient_booster/name", json!("gbforest")),
        "has the unknown booster gbforest; gbtree, dart and gblinear are served"
    );
    assert!(
        broken("/learner/objective/name", json!("reg:new"))
            .starts_with("the objective reg:new is not served")
    );
    let parameter = |name: &str| format!("/learner/learner_model_param/{name}");
    assert_eq!(broken(&parameter("base_score"), json!("[2E0]")), "base_score 2 is not between 0 and 1");
    assert_eq!(
        broken(&parameter("base_score"), json!("x")),
        "has the base_score \"x\", which is not a number"
    );
    assert_eq!(broken(&parameter("base_score"), json!("[1,2]")), "has 2 base scores for 1 outputs");
    assert_eq!(broken(&parameter("num_feature"), json!("0")), "has no features");
    assert_eq!(
        broken(&parameter("num_feature"), json!("4000000000")),
        "has 4000000000 features; at most 10000000 are served"
    );
}

#[test]
fn older_files_are_read() {
    // Before 2.0 there was no iteration_indptr; before 1.7 default_left held booleans and
    // base_score was one number.
    let mut document: serde_json::Value = serde_json::from_slice(&bytes("stopped-early.json")).unwrap();
    let model = document.pointer_mut("/learner/gradient_booster/model").unwrap();
    model.as_object_mut().unwrap().remove("iteration_indptr");
    for tree in model["trees"].as_array_mut().unwrap() {
        for flag in tree["default_left"].as_array_mut().unwrap() {
            *flag = (flag == &serde_json::json!(1)).into();
        }
    }
    let score = document.pointer_mut("/learner/learner_model_param/base_score").unwrap();
    *score = score.as_str().unwrap().trim_matches(['[', ']']).into();
    let old = Model::read(document.to_string().as_bytes()).unwrap();
    let new = self::model("stopped-early.json");
    assert_eq!(old.trees(), new.trees());
    let row = [0.1, -0.3, 1.5, 0.0, f32::NAN];
    assert_eq!(old.predict(&row), new.predict(&row));
}

#[test]
fn answers_have_the_containers_forms() {
    let row = "0.1,-1.2,0.5,,1";
    let two = "0.1,-1.2,0.5,,1\n1,1,1,1,1\n";
    assert_eq!(ask("missing.json", "text/csv", "", row), "text/csv: 0.35366547107696533\n");
    assert_eq!(
        ask("missing.json", "text/csv; charset=utf-8", "*/*", two),
        "text/csv: 0.35366547107696533\n0.6622564792633057\n"
    );
    assert_eq!(
        ask("missing.json", "", "application/json", two),
        "application/json: {\"predictions\": [{\"score\": 0.35366547107696533}, {\"score\": 0.6622564792633057}]}"
    );
    assert_eq!(
        ask("missing.json", "text/libsvm", "application/jsonlines", "0:0.1 1:-1.2 2:0.5 4:1"),
        "application/jsonlines: {\"score\": 0.35366547107696533}\n"
    );
    assert_eq!(
        ask("multi-softprob.json", "text/csv", "text/csv", two),
        "text/csv: 0.580039918422699,0.2609471380710602,0.15901289880275726\n0.21615278720855713,0.33346253633499146,0.45038461685180664\n"
    );
    assert_eq!(
        ask("multi-softprob.json", "text/csv", "application/json", row),
        "application/json: {\"predictions\": [{\"score\": [0.580039918422699,0.2609471380710602,0.15901289880275726]}]}"
    );
    assert_eq!(ask("multi-softmax.json", "text/csv", "text/csv", two), "text/csv: 0.0\n2.0\n");
}

#[test]
fn bad_requests_name_the_cause() {
    assert_eq!(
        ask("missing.json", "application/json", "", "{}"),
        "UnsupportedContentType(\"Content-type application/json not supported. Supported content-type is text/csv, text/libsvm\")"
    );
    assert_eq!(
        ask("missing.json", "text/csv", "image/png", "1,2,3,4,5"),
        "NotAcceptable(\"Accept type image/png is not supported. Please use supported accept types: text/csv, application/json, application/jsonlines.\")"
    );
    assert_eq!(
        ask("missing.json", "text/csv", "", "1,2,3,4"),
        "BadRequest(\"row 1 has 4 features, the model needs 5\")"
    );
    assert_eq!(
        ask("missing.json", "text/csv", "", "1,2,3,4,x"),
        "BadRequest(\"row 1, column 5: \\\"x\\\" is not a number\")"
    );
    assert_eq!(ask("missing.json", "text/csv", "", ""), "BadRequest(\"the request has no rows\")");
    assert_eq!(
        ask("missing.json", "text/libsvm", "", "5:1"),
        "BadRequest(\"row 1 names feature 5, the model has features 0 to 4\")"
    );
}

#[test]
fn a_folder_holds_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let problem = || load(folder.path()).err().unwrap();
    assert!(problem().starts_with("the model folder is empty"));
    fs::write(folder.path().join("a.ubj"), bytes("missing-ubj.ubj")).unwrap();
    assert!(load(folder.path()).unwrap().size() > 100);
    fs::write(folder.path().join("b.json"), b"x").unwrap();
    assert!(problem().starts_with("the model folder has several files"));
    fs::write(folder.path().join("xgboost-model"), &bytes("missing.json")[..500]).unwrap();
    assert!(
        problem().starts_with("model file \"xgboost-model\" is not an XGBoost model: EOF"),
        "{}",
        problem()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A model read from changed bytes may be refused or predict anything, but not panic or hang.
    #[test]
    fn changed_models_never_panic(
        name in prop::sample::select(vec!["missing.json", "missing-ubj.ubj", "dart-ubj.ubj", "categories-100.ubj",
            "categories-1.json", "linear-missing.ubj", "linear.json", "classes-ubj.ubj"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = bytes(name);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            // Digits for digits keep many JSON files readable.
            bytes[place] = if bytes[place].is_ascii_digit() { b'0' + byte % 10 } else { byte };
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(model) = Model::read(&bytes) && model.width() < 100 {
            for value in [0.0, -1.5, 3.0, f32::NAN] {
                let _ = model.predict(&vec![value; model.width() * 9]);
            }
            let _ = model.predict_sparse(b"0:1\n1:3");
        }
    }

    /// The same with text: members that are lists of integers, set to any number.
    #[test]
    fn changed_trees_never_panic(
        member in prop::sample::select(vec!["left_children", "right_children", "split_indices", "default_left",
            "split_type", "categories", "categories_nodes", "categories_segments", "categories_sizes"]),
        place in any::<prop::sample::Index>(),
        value in prop_oneof![-2i64..12, Just(i64::from(i32::MAX)), any::<i64>()],
    ) {
        let mut document: serde_json::Value = serde_json::from_slice(&bytes("categories-1.json")).unwrap();
        let list = document.pointer_mut("/learner/gradient_booster/model/trees/1").unwrap()[member].as_array_mut().unwrap();
        if !list.is_empty() {
            let place = place.index(list.len());
            list[place] = value.into();
        }
        if let Ok(model) = Model::read(document.to_string().as_bytes()) {
            for value in [0.0, -1.5, 3.0, f32::NAN] {
                let _ = model.predict(&vec![value; model.width() * 9]);
            }
        }
    }
}
