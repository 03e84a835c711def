use serde_json::json;

use super::*;
use crate::model::Api;

fn run(service: &str, operation: &str, mut document: Value) -> Result<Value, Fault> {
    let api = Api::named(service).unwrap();
    let operation = api.model().operation(operation).unwrap();
    validate(&api.metadata, api.model(), operation, &mut document, None).map(|()| document)
}

#[track_caller]
fn check(service: &str, operation: &str, document: Value, expected: &str) {
    let fault = run(service, operation, document).unwrap_err();
    assert_eq!(fault.status, 400);
    assert_eq!(fault.to_string(), expected);
}

fn job() -> Value {
    json!({
        "TrainingJobName": "job-1",
        "AlgorithmSpecification": {"TrainingImage": "xgboost:1", "TrainingInputMode": "File"},
        "RoleArn": "arn:aws:iam::123456789012:role/r-and-more",
        "OutputDataConfig": {"S3OutputPath": "s3://b/o"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    })
}

fn job_with(member: &str, value: Value) -> Value {
    let mut job = job();
    job[member] = value;
    job
}

#[test]
fn a_good_document_passes_unchanged() {
    assert_eq!(run("sagemaker", "CreateTrainingJob", job()).unwrap(), job());
}

#[test]
fn unknown_members_and_nulls_are_dropped() {
    let mut document = job_with("Sagemaker", json!({"a": 1}));
    document["HyperParameters"] = Value::Null;
    document["ResourceConfig"]["Unheard"] = json!(1);
    assert_eq!(run("sagemaker", "CreateTrainingJob", document).unwrap(), job());
}

#[test]
fn one_error() {
    check(
        "sagemaker",
        "CreateTrainingJob",
        job_with("TrainingJobName", json!("my_job")),
        "ValidationException: 1 validation error detected: Value 'my_job' at 'trainingJobName' failed to \
         satisfy constraint: Member must satisfy regular expression pattern: \
         [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
    );
}

#[test]
fn several_errors_are_told_at_once() {
    check(
        "sagemaker",
        "CreateTrainingJob",
        json!({"TrainingJobName": ""}),
        "ValidationException: 4 validation errors detected: Value '' at 'trainingJobName' failed to satisfy \
         constraint: Member must have length greater than or equal to 1; Value '' at 'trainingJobName' \
         failed to satisfy constraint: Member must satisfy regular expression pattern: \
         [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}; Value null at 'roleArn' failed to satisfy constraint: Member must \
         not be null; Value null at 'outputDataConfig' failed to satisfy constraint: Member must not be null",
    );
}

#[test]
fn nested_places_are_written_as_aws_does() {
    let channels = json!([
        {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/x"}}},
        {"ChannelName": "no good", "DataSource": {"S3DataSource": {"S3DataType": "Folder", "S3Uri": "s3://b/x"}}},
    ]);
    check(
        "sagemaker",
        "CreateTrainingJob",
        job_with("InputDataConfig", channels),
        "ValidationException: 2 validation errors detected: Value 'no good' at \
         'inputDataConfig.2.member.channelName' failed to satisfy constraint: Member must satisfy regular \
         expression pattern: [A-Za-z0-9\\.\\-_]+; Value 'Folder' at \
         'inputDataConfig.2.member.dataSource.s3DataSource.s3DataType' failed to satisfy constraint: Member \
         must satisfy enum value set: [ManifestFile, S3Prefix, AugmentedManifestFile, Converse]",
    );
}

#[test]
fn items_of_maps_and_lists_are_told_together() {
    check(
        "sagemaker",
        "CreateTrainingJob",
        job_with("HyperParameters", json!({"eta": "0.1", "note": "a\nb"})),
        "ValidationException: 1 validation error detected: Value '{eta=0.1, note=a\nb}' at 'hyperParameters' \
         failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less \
         than or equal to 2500, Member must have length greater than or equal to 0, Member must satisfy \
         regular expression pattern: .*]",
    );
    let vpc = json!({"SecurityGroupIds": ["sg-1", "sg 2"], "Subnets": []});
    check(
        "sagemaker",
        "CreateTrainingJob",
        job_with("VpcConfig", vpc),
        "ValidationException: 2 validation errors detected: Value '[sg-1, sg 2]' at \
         'vpcConfig.securityGroupIds' failed to satisfy constraint: Member must satisfy constraint: [Member \
         must have length less than or equal to 32, Member must have length greater than or equal to 0, \
         Member must satisfy regular expression pattern: [-0-9a-zA-Z]+]; Value '[]' at 'vpcConfig.subnets' \
         failed to satisfy constraint: Member must have length greater than or equal to 1",
    );
}

#[test]
fn ranges_and_lengths() {
    let hyperparameters: Map<String, Value> = (0..101).map(|i| (format!("k{i:03}"), json!("v"))).collect();
    let fault =
        run("sagemaker", "CreateTrainingJob", job_with("HyperParameters", Value::Object(hyperparameters)))
            .unwrap_err();
    assert!(fault.message.contains("Value '{k000=v, k001=v"), "{fault}");
    assert!(fault.message.ends_with("Member must have length less than or equal to 100"), "{fault}");
    check(
        "sagemaker",
        "CreateTrainingJob",
        job_with("StoppingCondition", json!({"MaxRuntimeInSeconds": 0})),
        "ValidationException: 1 validation error detected: Value '0' at \
         'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: Member must have value \
         greater than or equal to 1",
    );
}

#[test]
fn structures_are_shown_with_their_names() {
    let tags: Vec<Value> = (0..51).map(|i| json!({"Key": format!("k{i}"), "Value": "v"})).collect();
    let fault = run("sagemaker", "CreateTrainingJob", job_with("Tags", json!(tags))).unwrap_err();
    assert!(fault.message.contains("Value '[Tag(Key=k0, Value=v), Tag(Key=k1"), "{fault}");
    assert!(fault.message.len() < 2000, "{}", fault.message.len());
}

#[test]
fn wrong_types() {
    for (member, value, expected) in [
        ("TrainingJobName", json!(1), "NUMBER_VALUE can not be converted to a String (at 'trainingJobName')"),
        (
            "TrainingJobName",
            json!({}),
            "Start of structure or map found where not expected (at 'trainingJobName')",
        ),
        ("TrainingJobName", json!([]), "Start of list found where not expected (at 'trainingJobName')"),
        ("InputDataConfig", json!("x"), "STRING_VALUE can not be converted to a List (at 'inputDataConfig')"),
        (
            "HyperParameters",
            json!({"k": 1}),
            "NUMBER_VALUE can not be converted to a String (at 'hyperParameters.k.member')",
        ),
        (
            "EnableNetworkIsolation",
            json!("true"),
            "STRING_VALUE can not be converted to a Boolean (at 'enableNetworkIsolation')",
        ),
        (
            "StoppingCondition",
            json!({"MaxRuntimeInSeconds": 1.5}),
            "NUMBER_VALUE can not be converted to an Integer (at 'stoppingCondition.maxRuntimeInSeconds')",
        ),
        (
            "StoppingCondition",
            json!({"MaxRuntimeInSeconds": 1e10}),
            "NUMBER_VALUE can not be converted to an Integer (at 'stoppingCondition.maxRuntimeInSeconds')",
        ),
    ] {
        check(
            "sagemaker",
            "CreateTrainingJob",
            job_with(member, value),
            &format!("SerializationException: {expected}"),
        );
    }
}

#[test]
fn times_arrive_as_seconds() {
    for time in [json!(1398796238), json!("2014-04-29T18:30:38Z"), json!("Tue, 29 Apr 2014 18:30:38 GMT")] {
        let document = run("sagemaker", "ListTrainingJobs", json!({"CreationTimeAfter": time})).unwrap();
        assert_eq!(document, json!({"CreationTimeAfter": 1398796238.0}));
    }
    check(
        "sagemaker",
        "ListTrainingJobs",
        json!({"CreationTimeAfter": "soon"}),
        "SerializationException: STRING_VALUE can not be converted to milliseconds since epoch (at \
         'creationTimeAfter')",
    );
}

#[test]
fn integral_floats_are_integers() {
    let document = run("sagemaker", "ListTrainingJobs", json!({"MaxResults": 5.0})).unwrap();
    assert_eq!(document["MaxResults"].as_i64(), Some(5));
}

#[test]
fn unions_hold_one_member() {
    let spec =
        |value: Value| run("sagemaker", "CreateAutoMLJobV2", json!({"AutoMLProblemTypeConfig": value}));
    let one = json!({"TabularJobConfig": {"TargetAttributeName": "y"}});
    assert_eq!(spec(one).unwrap_err().code, "ValidationException"); // other members are missing
    let fault = spec(json!({})).unwrap_err();
    assert_eq!(fault.code, "SerializationException");
    let two = json!({"TabularJobConfig": {"TargetAttributeName": "y"}, "ImageClassificationJobConfig": {}});
    assert!(spec(two).unwrap_err().message.contains("found ImageClassificationJobConfig, TabularJobConfig"));
}

#[test]
fn each_service_has_its_code() {
    let code = |service, operation| run(service, operation, json!({})).unwrap_err().code;
    assert_eq!(code("sagemaker", "DescribeTrainingJob"), "ValidationException");
    assert_eq!(code("sagemaker-runtime", "InvokeEndpoint"), "ValidationError");
    assert_eq!(code("logs", "CreateLogGroup"), "InvalidParameterException");
    assert_eq!(code("sts", "AssumeRole"), "ValidationError");
    assert_eq!(code("cloudwatch", "PutMetricData"), "ValidationError");
}

#[test]
fn secrets_are_not_repeated() {
    let fault = run("iam", "ChangePassword", json!({"OldPassword": "", "NewPassword": "n"})).unwrap_err();
    assert!(fault.message.contains("Value at 'oldPassword' failed"), "{fault}");
}

#[test]
fn a_payload_counts_as_present_and_is_bounded() {
    let api = Api::named("sagemaker-runtime").unwrap();
    let operation = api.model().operation("InvokeEndpoint").unwrap();
    let mut document = json!({"EndpointName": "e"});
    let mut run = |bytes| validate(&api.metadata, api.model(), operation, &mut document, Some(bytes));
    assert!(run(6_291_456).is_ok());
    assert_eq!(
        run(6_291_457).unwrap_err().message,
        "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length \
         less than or equal to 6291456"
    );
}

#[test]
fn error_texts_stay_short() {
    let channels = vec![json!({"ChannelName": "x".repeat(100_000)}); 1000];
    let fault =
        run("sagemaker", "CreateTrainingJob", job_with("InputDataConfig", json!(channels))).unwrap_err();
    assert!(fault.message.starts_with("32 validation errors detected: "), "{}", &fault.message[..60]);
    assert!(fault.message.len() < 64 << 10, "{}", fault.message.len());
}

mod arbitrary {
    use proptest::prelude::*;

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        let names = prop_oneof![
            Just("TrainingJobName".to_owned()),
            Just("AlgorithmSpecification".to_owned()),
            Just("InputDataConfig".to_owned()),
            Just("DataSource".to_owned()),
            Just("HyperParameters".to_owned()),
            Just("Tags".to_owned()),
            ".{0,5}",
        ];
        leaf.prop_recursive(6, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(names.clone(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_passes_passes_again(document in any_json()) {
            for operation in ["CreateTrainingJob", "ListTrainingJobs", "AddTags"] {
                if let Ok(passed) = run("sagemaker", operation, document.clone()) {
                    prop_assert_eq!(run("sagemaker", operation, passed.clone()).unwrap(), passed);
                }
            }
        }
    }
}
