//! InvokeEndpoint as a caller sees it.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use serde_json::json;

use super::invoke::{Answered, MOST_BYTES, endpoint_of, invoke};
use crate::sagemaker::testing::World;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let header = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
    };
    lines.iter().map(header).collect()
}

async fn send(world: &World, endpoint: &str, lines: &[(&str, &str)], body: Bytes) -> Response<Bytes> {
    match invoke(&world.platform.endpoints, endpoint, &headers(lines), body, Instant::now()) {
        Answered::Now(response) => response,
        Answered::Later(response) => response.await,
    }
}

/// Status, headers and body as text.
async fn said(world: &World, endpoint: &str, lines: &[(&str, &str)], body: &'static str) -> String {
    let response = send(world, endpoint, lines, Bytes::from_static(body.as_bytes())).await;
    let mut text = response.status().as_u16().to_string();
    for (name, value) in response.headers() {
        text += &format!(" {name}={}", value.to_str().unwrap());
    }
    format!("{text}\n{}", String::from_utf8_lossy(response.body()))
}

#[tokio::test]
async fn answers_carry_variant_and_attributes() {
    let world = World::with_endpoint().await;
    let lines = [
        ("Content-Type", "text/csv"),
        ("X-Amzn-SageMaker-Custom-Attributes", "trace=1"),
        ("X-Amzn-SageMaker-Inference-Id", "id-1"),
        ("X-Amzn-SageMaker-Target-Variant", "v"),
    ];
    insta::assert_snapshot!(said(&world, "e", &lines, "1,2").await, @r"
    200 content-type=text/csv x-amzn-invoked-production-variant=v x-amzn-sagemaker-custom-attributes=trace=1
    1,2
    ");
    let payload = Bytes::from_static(b"1,2");
    let reply = world
        .call_whole(
            "sagemaker-runtime",
            "InvokeEndpoint",
            json!({ "EndpointName": "e" }),
            payload.clone(),
            headers(&lines),
        )
        .await
        .unwrap();
    assert_eq!(reply.payload, Some(payload));
    assert_eq!(
        reply.document,
        json!({ "ContentType": "text/csv", "InvokedProductionVariant": "v", "CustomAttributes": "trace=1" })
    );
}

#[tokio::test]
async fn errors_have_the_shapes_of_the_service() {
    let world = World::with_endpoint().await;
    insta::assert_snapshot!(said(&world, "none", &[], "1").await, @r#"
    400 content-type=application/json x-amzn-errortype=ValidationError
    {"Message":"Endpoint none of account 123456789012 not found."}
    "#);
    insta::assert_snapshot!(said(&world, "e", &[("x-amzn-sagemaker-target-variant", "w")], "1").await, @r#"
    400 content-type=application/json x-amzn-errortype=ValidationError
    {"Message":"Variant w of endpoint e not found: it has v."}
    "#);
    insta::assert_snapshot!(said(&world, "e", &[], "bad").await, @r#"
    424 content-type=application/json x-amzn-errortype=ModelError
    {"LogStreamArn":"arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/e","Message":"Received client error (400) from primary with message \"could not read \"bad\"\". See log group /aws/sagemaker/Endpoints/e in account 123456789012 for more information.","OriginalMessage":"could not read \"bad\"","OriginalStatusCode":400}
    "#);
    insta::assert_snapshot!(said(&world, "e", &[], "break").await, @r#"
    424 content-type=application/json x-amzn-errortype=ModelError
    {"LogStreamArn":"arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/e","Message":"Received server error (500) from primary with message \"it broke\". See log group /aws/sagemaker/Endpoints/e in account 123456789012 for more information.","OriginalMessage":"it broke","OriginalStatusCode":500}
    "#);
    insta::assert_snapshot!(said(&world, "e", &[("x-amzn-sagemaker-target-model", "a.tar.gz")], "1").await, @r#"
    400 content-type=application/json x-amzn-errortype=ValidationError
    {"Message":"X-Amzn-SageMaker-target-model is not honoured by this cloud: multi-model endpoints cannot be made yet; call the endpoint of that model"}
    "#);
}

#[tokio::test]
async fn bodies_up_to_the_limit_are_answered() {
    let world = World::with_endpoint().await;
    let response = send(&world, "e", &[], Bytes::from(vec![b'1'; MOST_BYTES])).await;
    assert_eq!((response.status().as_u16(), response.body().len()), (200, MOST_BYTES));
    let response = send(&world, "e", &[], Bytes::from(vec![b'1'; MOST_BYTES + 1])).await;
    assert_eq!(response.status(), 413);
}

#[test]
fn paths_of_invocations() {
    assert_eq!(endpoint_of("/endpoints/my-e/invocations"), Some("my-e"));
    assert_eq!(endpoint_of("/endpoints//invocations"), None);
    assert_eq!(endpoint_of("/endpoints/a/b/invocations"), None);
    assert_eq!(endpoint_of("/endpoints/e/async-invocations"), None);
}

/// What an invocation costs beside its model. Run by hand, in release:
/// `cargo test --release -p strata-api -- --ignored --nocapture cost_of_an_invocation`.
#[tokio::test]
#[ignore = "a measurement"]
async fn cost_of_an_invocation() {
    let world = World::with_endpoint().await;
    let lines = headers(&[
        ("host", "127.0.0.1:7410"),
        ("content-type", "text/csv"),
        ("accept", "*/*"),
        ("x-amz-date", "20261123T000000Z"),
        ("user-agent", "Boto3/1.43"),
        ("content-length", "3"),
        ("amz-sdk-invocation-id", "1"),
        ("authorization", "AWS4-HMAC-SHA256 ..."),
    ]);
    let body = Bytes::from_static(b"1,2");
    let rounds = 1_000_000;
    let begun = Instant::now();
    for _ in 0..rounds {
        let answered = invoke(&world.platform.endpoints, "e", &lines, body.clone(), Instant::now());
        // On a busy machine some are answered later; they cost more, and count.
        if let Answered::Later(response) = answered {
            response.await;
        }
    }
    println!("{} ns an invocation", begun.elapsed().as_nanos() / rounds);
}
