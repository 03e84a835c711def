//! Models, endpoint configurations, endpoints and tags as a caller sees them.

use serde_json::{Value, json};

use crate::sagemaker::testing::World;

/// The answer with its times set to 0, as indented text.
fn timeless(mut answer: Value) -> String {
    fn clear(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(clear),
            Value::Object(members) => {
                for (name, value) in members {
                    if name.ends_with("Time") { *value = 0.into() } else { clear(value) }
                }
            }
            _ => {}
        }
    }
    clear(&mut answer);
    serde_json::to_string_pretty(&answer).unwrap()
}

fn variant(name: &str, weight: f64) -> Value {
    json!({
        "VariantName": name, "ModelName": "m", "InitialVariantWeight": weight,
        "InitialInstanceCount": 1, "InstanceType": "ml.m5.large",
    })
}

#[tokio::test]
async fn describe_echoes_what_was_asked() {
    let world = World::with_endpoint().await;
    insta::assert_snapshot!(
        timeless(world.call("DescribeModel", json!({ "ModelName": "m" })).await.unwrap()),
        @r#"
    {
      "CreationTime": 0,
      "EnableNetworkIsolation": false,
      "ModelArn": "arn:aws:sagemaker:us-east-1:123456789012:model/m",
      "ModelName": "m",
      "PrimaryContainer": {
        "Image": "echo",
        "ModelDataUrl": "s3://b/m.tar.gz"
      }
    }
    "#
    );
    insta::assert_snapshot!(
        timeless(world.call("DescribeEndpointConfig", json!({ "EndpointConfigName": "c" })).await.unwrap()),
        @r#"
    {
      "CreationTime": 0,
      "EnableNetworkIsolation": false,
      "EndpointConfigArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/c",
      "EndpointConfigName": "c",
      "ProductionVariants": [
        {
          "InitialInstanceCount": 1,
          "InitialVariantWeight": 1.0,
          "InstanceType": "ml.m5.large",
          "ModelName": "m",
          "VariantName": "v"
        }
      ]
    }
    "#
    );
    insta::assert_snapshot!(
        timeless(world.call("DescribeEndpoint", json!({ "EndpointName": "e" })).await.unwrap()),
        @r#"
    {
      "CreationTime": 0,
      "EndpointArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e",
      "EndpointConfigName": "c",
      "EndpointName": "e",
      "EndpointStatus": "InService",
      "LastModifiedTime": 0,
      "ProductionVariants": [
        {
          "CurrentInstanceCount": 1,
          "CurrentWeight": 1.0,
          "DeployedImages": [
            {
              "ResolutionTime": 0,
              "ResolvedImage": "echo",
              "SpecifiedImage": "echo"
            }
          ],
          "DesiredInstanceCount": 1,
          "DesiredWeight": 1.0,
          "VariantName": "v"
        }
      ]
    }
    "#
    );
}

#[tokio::test]
async fn weights_move_and_updates_take_over() {
    let world = World::with_endpoint().await;
    let variants = json!([variant("v", 1.0), variant("w", 3.0)]);
    let config = json!({ "EndpointConfigName": "two", "ProductionVariants": variants });
    world.call("CreateEndpointConfig", config).await.unwrap();
    let update = json!({ "EndpointName": "e", "EndpointConfigName": "two" });
    world.call("UpdateEndpoint", update).await.unwrap();
    world.platform.endpoints.settled("e").await.unwrap();
    let weights = json!({
        "EndpointName": "e",
        "DesiredWeightsAndCapacities": [{ "VariantName": "w", "DesiredWeight": 0, "DesiredInstanceCount": 2 }],
    });
    world.call("UpdateEndpointWeightsAndCapacities", weights).await.unwrap();
    let endpoint = world.call("DescribeEndpoint", json!({ "EndpointName": "e" })).await.unwrap();
    assert_eq!(endpoint["EndpointConfigName"], "two");
    let shown = endpoint["ProductionVariants"].as_array().unwrap().iter();
    let shown: Vec<String> = shown
        .map(|v| format!("{} {} {}", v["VariantName"], v["CurrentWeight"], v["CurrentInstanceCount"]))
        .collect();
    assert_eq!(shown, ["\"v\" 1.0 1", "\"w\" 0.0 2"]);
}

#[tokio::test]
async fn lists_filter_sort_and_page() {
    let world = World::with_endpoint().await;
    for name in ["a1", "a2", "a3", "b1"] {
        let container = json!({ "Image": "echo", "ModelDataUrl": "s3://b/m.tar.gz" });
        let model = json!({ "ModelName": name, "PrimaryContainer": container });
        world.call("CreateModel", model).await.unwrap();
    }
    let names = |answer: &Value| -> Vec<String> {
        let models = answer["Models"].as_array().unwrap();
        models.iter().map(|model| model["ModelName"].as_str().unwrap().into()).collect()
    };
    let first = json!({ "NameContains": "a", "SortBy": "Name", "SortOrder": "Ascending", "MaxResults": 2 });
    let page = world.call("ListModels", first.clone()).await.unwrap();
    assert_eq!(names(&page), ["a1", "a2"]);
    let mut second = first;
    second["NextToken"] = page["NextToken"].clone();
    let page = world.call("ListModels", second).await.unwrap();
    assert_eq!(names(&page), ["a3"]);
    assert!(page.get("NextToken").is_none());
    let none = world.call("ListEndpoints", json!({ "StatusEquals": "Creating" })).await.unwrap();
    assert_eq!(none, json!({ "Endpoints": [] }));
    let one = world.call("ListEndpoints", json!({ "StatusEquals": "InService" })).await.unwrap();
    assert_eq!(one["Endpoints"][0]["EndpointStatus"], "InService");
    let one = world.call("ListEndpointConfigs", json!({})).await.unwrap();
    assert_eq!(one["EndpointConfigs"][0]["EndpointConfigName"], "c");
    assert_eq!(
        world.said("ListModels", json!({ "NextToken": "rubbish" })).await,
        "ValidationException: NextToken \"rubbish\" is not one that this operation returned"
    );
}

#[tokio::test]
async fn tags_follow_their_resource() {
    let world = World::with_endpoint().await;
    let arn = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e";
    let tag = json!({ "ResourceArn": arn, "Tags": [{ "Key": "team", "Value": "blue" }] });
    world.call("AddTags", tag).await.unwrap();
    let listed = world.call("ListTags", json!({ "ResourceArn": arn })).await.unwrap();
    assert_eq!(listed, json!({ "Tags": [{ "Key": "team", "Value": "blue" }] }));
    world.call("DeleteTags", json!({ "ResourceArn": arn, "TagKeys": ["team"] })).await.unwrap();
    assert_eq!(world.said("ListTags", json!({ "ResourceArn": arn })).await, r#"{"Tags":[]}"#);
    world.call("DeleteEndpoint", json!({ "EndpointName": "e" })).await.unwrap();
    assert_eq!(
        world.said("ListTags", json!({ "ResourceArn": arn })).await,
        format!("ValidationException: Could not find endpoint {arn:?}.")
    );
}

#[tokio::test]
async fn what_is_not_honoured_is_refused() {
    let world = World::with_endpoint().await;
    let data = "s3://b/m.tar.gz";
    let mut said = String::new();
    for container in [
        json!({ "Image": "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.3", "ModelDataUrl": data }),
        json!({ "Image": "echo" }),
        json!({ "Image": "echo", "ModelDataUrl": "s3://b/none.tar.gz" }),
        json!({ "Image": "echo", "ModelDataUrl": data, "Mode": "MultiModel" }),
        json!({ "Image": "echo", "ModelDataUrl": data, "Environment": { "SAGEMAKER_PROGRAM": "serve.py" } }),
        json!({ "Image": "echo", "ModelDataSource": { "S3DataSource": {
            "S3Uri": "s3://b/m", "S3DataType": "S3Prefix", "CompressionType": "None" } } }),
        json!({ "ModelPackageName": "p" }),
    ] {
        let sentence =
            world.said("CreateModel", json!({ "ModelName": "x", "PrimaryContainer": container })).await;
        // Which algorithms are possible grows with the list of them.
        said += sentence.split(" Possible are").next().unwrap_or_default();
        said += "\n";
    }
    let both = json!({ "Image": "echo", "ModelDataUrl": data });
    said += &world.said("CreateModel", json!({ "ModelName": "x", "Containers": [both, both] })).await;
    said += "\n";
    for (member, value) in [
        ("DataCaptureConfig", json!({ "EnableCapture": true })),
        ("ShadowProductionVariants", json!([variant("s", 1.0)])),
        ("AsyncInferenceConfig", json!({ "OutputConfig": {} })),
        ("KmsKeyId", json!("key")),
        ("ProductionVariants", json!([variant("v", 0.0)])),
        ("ProductionVariants", json!([variant("v", 1.0), variant("v", 1.0)])),
        (
            "ProductionVariants",
            json!([{ "VariantName": "v", "ModelName": "none",
            "InitialInstanceCount": 1, "InstanceType": "ml.m5.large" }]),
        ),
        (
            "ProductionVariants",
            json!([{ "VariantName": "v", "ModelName": "m",
            "ServerlessConfig": { "MemorySizeInMB": 1024, "MaxConcurrency": 1 } }]),
        ),
    ] {
        let mut config = json!({ "EndpointConfigName": "x", "ProductionVariants": [variant("v", 1.0)] });
        config[member] = value;
        said += &world.said("CreateEndpointConfig", config).await;
        said += "\n";
    }
    let canary = json!({ "BlueGreenUpdatePolicy": { "TrafficRoutingConfiguration": { "Type": "CANARY" } } });
    let update = json!({ "EndpointName": "e", "EndpointConfigName": "c", "DeploymentConfig": canary });
    said += &world.said("UpdateEndpoint", update).await;
    insta::assert_snapshot!(said, @r#"
    ValidationException: Image "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.3" cannot be served by this cloud yet: it names no built-in algorithm.
    ValidationException: Container with image "echo" needs ModelDataUrl or ModelDataSource: a built-in algorithm serves what a training job stored
    ValidationException: Could not find model data at s3://b/none.tar.gz.
    ValidationException: Mode MultiModel is not honoured by this cloud yet: make one model for each archive
    ValidationException: Environment variable SAGEMAKER_PROGRAM is not honoured by this cloud: inference scripts cannot be run yet; the built-in algorithm answers by itself
    ValidationException: S3Uri s3://b/m must end with a forward slash (/) when S3DataType is S3Prefix.
    ValidationException: ModelPackageName is not honoured by this cloud: there is no model registry yet; name Image and ModelDataUrl instead
    ValidationException: Containers has 2 entries: inference pipelines are not honoured by this cloud yet; give one container, or one model for each
    ValidationException: DataCaptureConfig is not honoured by this cloud: requests cannot be captured yet; set EnableCapture to false or leave it out
    ValidationException: ShadowProductionVariants is not honoured by this cloud: shadow variants cannot be made yet; compare production variants by weight
    ValidationException: AsyncInferenceConfig is not honoured by this cloud: asynchronous endpoints cannot be made yet; call InvokeEndpoint
    ValidationException: KmsKeyId is not honoured by this cloud: data is not encrypted with keys of this API; encrypt the disk beneath the data folder
    ValidationException: At least one production variant must have a weight above 0, else no request could be routed.
    ValidationException: Variant names must be unique within an endpoint configuration, "v" is used twice.
    ValidationException: Could not find model "arn:aws:sagemaker:us-east-1:123456789012:model/none".
    ValidationException: ServerlessConfig is not honoured by this cloud: name InstanceType and InitialInstanceCount: a loaded model idles at no cost
    ValidationException: Traffic routing of type CANARY is not honoured by this cloud yet: use ALL_AT_ONCE, or two variants whose weights you move with UpdateEndpointWeightsAndCapacities
    "#);
}
