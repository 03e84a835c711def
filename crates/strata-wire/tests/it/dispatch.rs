//! Each protocol, each way to ask wrongly.

use serde_json::json;
use strata_base::Timestamp;
use strata_wire::sigv4::{Credentials, presign, sha256_hex, sign, sign_at};

use crate::world::{SECRET, World, key};

#[tokio::test]
async fn health_needs_no_key() {
    let world = World::new().await;
    world.send(world.request("GET", "/healthz", &[], "")).await.is(200, "ok\n");
    world.send_http2(world.request("GET", "/healthz", &[], "")).await.is(200, "ok\n");
}

#[tokio::test]
async fn json_in_and_out() {
    let world = World::new().await;
    let answer = world.json("Logs_20140328.DescribeLogGroups", r#"{"limit": 5.0, "unheard": 1}"#).await;
    answer.is(200, r#"{"logGroups":[{"logGroupName":"{\"limit\":5}","creationTime":1,"arn":"eu-west-3"}]}"#);
    assert_eq!(answer.headers["content-type"], "application/x-amz-json-1.1");
    world.json("Logs_20140328.CreateLogGroup", r#"{"logGroupName": "g"}"#).await.is(200, "");
    let missing = world.json("Logs_20140328.DeleteLogGroup", r#"{"logGroupName": "g"}"#).await;
    missing.is(400, r#"{"__type":"ResourceNotFoundException","message":"no such group"}"#);
    missing.fails(400, "ResourceNotFoundException");
}

#[tokio::test]
async fn the_same_over_http2() {
    let world = World::new().await;
    let headers =
        [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "Logs_20140328.CreateLogGroup")];
    let request = world.signed("logs", "POST", "/", &headers, r#"{"logGroupName": "g"}"#);
    world.send_http2(request).await.is(200, "");
    let unsigned = world.request("POST", "/", &headers, "{}");
    world.send_http2(unsigned).await.fails(403, "MissingAuthenticationTokenException");
}

#[tokio::test]
async fn json_asked_wrongly() {
    let world = World::new().await;
    let group = "Logs_20140328.CreateLogGroup";
    for (target, body, status, code) in [
        (group, "{", 400, "SerializationException"),
        (group, "[]", 400, "SerializationException"),
        (group, r#"{"logGroupName": 1}"#, 400, "SerializationException"),
        (group, r#"{"logGroupName": "a b"}"#, 400, "InvalidParameterException"),
        (group, "", 400, "InvalidParameterException"),
        ("Logs_20140328.Nonsense", "{}", 400, "UnknownOperationException"),
        ("Nonsense.CreateLogGroup", "{}", 400, "UnknownOperationException"),
        ("", "{}", 400, "UnknownOperationException"),
        ("Logs_20140328.StopQuery", r#"{"queryId": "q"}"#, 500, "InternalFailure"),
    ] {
        world.json(target, body).await.fails(status, code);
    }
    let deep = format!("{}{}", "{\"a\":".repeat(5000), "}".repeat(5000));
    world.json(group, &deep).await.fails(400, "SerializationException");
    let headers = [("content-type", "text/plain"), ("x-amz-target", group)];
    let answer = world.send(world.signed("logs", "POST", "/", &headers, "{}")).await;
    answer.fails(404, "UnknownOperationException");
    // and the door still answers
    world.json(group, r#"{"logGroupName": "g"}"#).await.is(200, "");
}

#[tokio::test]
async fn refusals_name_the_operation_and_the_way_out() {
    let world = World::new().await;
    world.json("Logs_20140328.StartQuery", "{}").await.is(
        400,
        r#"{"__type":"NotImplementedException","message":"StartQuery is not done by this cloud: query the metrics instead. `strata api` lists what is."}"#,
    );
    world.json("Logs_20140328.DescribeQueries", "{}").await.is(
        400,
        r#"{"__type":"NotImplementedException","message":"DescribeQueries is not done by this cloud: it is not part of this cloud yet. `strata api` lists what is."}"#,
    );
}

#[tokio::test]
async fn query_in_xml_out() {
    let world = World::new().await;
    let answer = world.query("sts", "Action=GetCallerIdentity&Version=2011-06-15").await;
    answer.is(
        200,
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <GetCallerIdentityResult><UserId>123456789012</UserId><Account>123456789012</Account>\
         <Arn>arn:aws:iam::123456789012:root</Arn></GetCallerIdentityResult><ResponseMetadata>\
         <RequestId>ID</RequestId></ResponseMetadata></GetCallerIdentityResponse>",
    );
    assert_eq!(answer.headers["content-type"], "text/xml");
    let get = world.signed("sts", "GET", "/?Action=GetCallerIdentity&Version=2011-06-15", &[], "");
    assert_eq!(world.send(get).await.status, 200);
    let role = "Action=AssumeRole&RoleArn=arn:aws:iam::123456789012:role/r-and-more&RoleSessionName=me";
    let answer = world.query("sts", role).await;
    assert!(answer.body.contains("<Expiration>2014-04-29T18:30:38.000Z</Expiration>"), "{}", answer.body);
}

#[tokio::test]
async fn query_asked_wrongly() {
    let world = World::new().await;
    for (body, status, code) in [
        ("Action=Nonsense&Version=2011-06-15", 400, "InvalidAction"),
        ("Action=GetCallerIdentity&Version=1999-01-01", 400, "InvalidAction"),
        ("Version=2011-06-15", 400, "MissingAction"),
        ("Action=AssumeRole", 400, "ValidationError"),
        ("Action=GetSessionToken&DurationSeconds=soon", 400, "MalformedInput"),
        ("Action=GetSessionToken", 400, "NotImplementedException"),
        ("Action=%ff", 400, "MalformedQueryString"),
    ] {
        world.query("sts", body).await.fails(status, code);
    }
    world.query("sts", "Action=AssumeRole&RoleArn=x&RoleSessionName=me").await.is(
        400,
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>ValidationError</Code><Message>1 validation error detected: Value 'x' at 'roleArn' failed to \
         satisfy constraint: Member must have length greater than or equal to 20</Message></Error>\
         <RequestId>ID</RequestId></ErrorResponse>",
    );
    world.query("nothing", "Action=GetCallerIdentity").await.fails(400, "InvalidAction");
}

#[tokio::test]
async fn one_service_in_two_protocols() {
    let world = World::new().await;
    let send = async |protocol: &str, target: &str, body: &str| {
        let mut headers = vec![("content-type", protocol)];
        if !target.is_empty() {
            headers.push(("x-amz-target", target));
        }
        world.send(world.signed("monitoring", "POST", "/", &headers, body)).await
    };
    let json = "application/x-amz-json-1.0";
    let form = "application/x-www-form-urlencoded";
    let prefix = "GraniteServiceVersion20100801";

    let data = json!({"Namespace": "n", "MetricData": [{"MetricName": "m", "Timestamp": 1398796238}]});
    send(json, &format!("{prefix}.PutMetricData"), &data.to_string()).await.is(200, "");
    let answer = send(
        form,
        "",
        "Action=PutMetricData&Version=2010-08-01&Namespace=n&MetricData.member.1.MetricName=m\
         &MetricData.member.1.Timestamp=2014-04-29T18%3A30%3A38Z",
    );
    answer.await.is(
        200,
        "<PutMetricDataResponse xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\"><ResponseMetadata>\
         <RequestId>ID</RequestId></ResponseMetadata></PutMetricDataResponse>",
    );

    let ask = json!({"Namespace": "n", "MetricName": "m", "StartTime": 0, "EndTime": 120, "Period": 60});
    send(json, &format!("{prefix}.GetMetricStatistics"), &ask.to_string())
        .await
        .is(200, r#"{"Label":"m","Datapoints":[{"Timestamp":60.0,"Sum":1.5}]}"#);

    let missing = send(json, &format!("{prefix}.GetDashboard"), r#"{"DashboardName": "d"}"#).await;
    missing.is(404, r#"{"__type":"DashboardNotFoundError","message":"no such dashboard"}"#);
    assert_eq!(missing.headers["x-amzn-query-error"], "ResourceNotFound;Sender");
    assert_eq!(missing.headers["content-type"], json);
    send(form, "", "Action=GetDashboard&DashboardName=d").await.fails(404, "ResourceNotFound");
}

#[tokio::test]
async fn rest_json() {
    let world = World::new().await;
    let post = |path: &str, headers: &[(&str, &str)], body: &str| {
        world.send(world.signed("sagemaker", "POST", path, headers, body))
    };
    let answer = post("/endpoints/my%2De/async-invocations", &[], "12345").await;
    answer.is(202, r#"{"InferenceId":"i"}"#);
    assert_eq!(answer.headers["x-amzn-sagemaker-outputlocation"], "\"my-e\" 5");
    post("/endpoints/my_e/async-invocations", &[], "").await.fails(400, "ValidationError");
    post("/endpoints/e/nonsense", &[], "").await.fails(404, "UnknownOperationException");
    let bad = [("X-Amzn-SageMaker-RequestTTLSeconds", "soon")];
    post("/endpoints/e/async-invocations", &bad, "").await.fails(400, "SerializationException");
    post("/endpoints/e/invocations-response-stream", &[], "x").await.fails(400, "NotImplementedException");
}

#[tokio::test]
async fn raw_routes() {
    let world = World::new().await;
    world.send(world.request("GET", "/open", &[], "")).await.is(200, "open");
    let path = "/endpoints/e/invocations";
    let invoke = |body: &str| world.send(world.signed("sagemaker", "POST", path, &[], body));
    invoke("1,2").await.is(200, "Some(\"AKID\") sent 3 bytes");
    invoke("panic").await.fails(500, "InternalFailure");
    invoke("panic later").await.fails(500, "InternalFailure");
    let (mut parts, body) = world.signed("sagemaker", "POST", path, &[], "1,2").into_parts();
    parts.uri = "/endpoints/other/invocations".parse().unwrap();
    world.send(http::Request::from_parts(parts, body)).await.fails(403, "InvalidSignatureException");
}

#[tokio::test]
async fn s3_goes_its_own_way() {
    let world = World::new().await;
    let answer = world.send(world.signed("s3", "PUT", "/endpoints/e/invocations", &[], "x")).await;
    answer.is(200, "fallback PUT /endpoints/e/invocations");
    // who comes without a signature may want a public object
    world.send(world.request("GET", "/bucket/key", &[], "")).await.is(200, "fallback GET /bucket/key");
}

#[tokio::test]
async fn signatures_are_always_checked() {
    let world = World::new().await;
    let target =
        [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "Logs_20140328.CreateLogGroup")];
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = r#"{"logGroupName": "g"}"#;
    let unsigned = |headers: &[(&str, &str)]| world.send(world.request("POST", "/", headers, body));
    unsigned(&target).await.fails(403, "MissingAuthenticationTokenException");
    unsigned(&form).await.fails(403, "MissingAuthenticationToken");
    unsigned(&[("content-type", "application/json")]).await.fails(403, "MissingAuthenticationTokenException");

    let with = |credentials: Credentials, at: Timestamp| {
        let (mut parts, full) = world.request("POST", "/", &target, body).into_parts();
        sign_at(&credentials, "r", "logs", &mut parts, &sha256_hex(body.as_bytes()), at).unwrap();
        world.send(http::Request::from_parts(parts, full))
    };
    let now = Timestamp::now();
    with(key(), now).await.is(200, "");
    let wrong = Credentials { secret: format!("{SECRET}!"), ..key() };
    with(wrong, now).await.fails(403, "InvalidSignatureException");
    let stranger = Credentials { access_key: "STRANGER".into(), ..key() };
    with(stranger, now).await.fails(403, "UnrecognizedClientException");
    let token = Credentials { session_token: Some("t".into()), ..key() };
    with(token, now).await.fails(403, "UnrecognizedClientException");
    with(key(), Timestamp(now.0 - 1_000_000)).await.fails(403, "InvalidSignatureException");

    // signed, but for another body
    let (mut parts, _) = world.request("POST", "/", &target, body).into_parts();
    sign(&key(), "r", "logs", &mut parts, &sha256_hex(b"{}")).unwrap();
    let (_, full) = world.request("POST", "/", &target, body).into_parts();
    world.send(http::Request::from_parts(parts, full)).await.fails(403, "InvalidSignatureException");
}

#[tokio::test]
async fn signatures_in_the_url() {
    let world = World::new().await;
    let path = "/?Action=GetCallerIdentity&Version=2011-06-15";
    let (mut parts, body) = world.request("GET", path, &[], "").into_parts();
    presign(&key(), "us-east-1", "sts", &mut parts, 60, Timestamp::now()).unwrap();
    let answer = world.send(http::Request::from_parts(parts, body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}
