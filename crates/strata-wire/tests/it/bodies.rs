//! Bodies that are too large, too slow, packed, or broken off.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use strata_wire::sigv4::{sha256_hex, sign};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{World, key, soon};

#[tokio::test]
async fn oversized_bodies_get_an_answer() {
    let world = World::new().await;
    let large = "x".repeat((1 << 20) + 1);
    world.json("Logs_20140328.CreateLogGroup", &large).await.fails(413, "RequestEntityTooLargeException");
    world.query("sts", &large).await.fails(413, "RequestEntityTooLargeException");
    let seven = "1".repeat(7 << 20);
    let path = "/endpoints/e/invocations";
    let answer = world.send(world.signed("sagemaker", "POST", path, &[], &seven)).await;
    answer.fails(413, "RequestEntityTooLargeException");
    let six = "1".repeat(6 << 20);
    world
        .send(world.signed("sagemaker", "POST", path, &[], &six))
        .await
        .is(200, "Some(\"AKID\") sent 6291456 bytes");
}

#[tokio::test]
async fn whoever_asks_first_is_told_before_sending() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {}\r\nX-Amz-Target: Logs_20140328.CreateLogGroup\r\n\
         Expect: 100-continue\r\nContent-Length: 9000000\r\n\r\n",
        world.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn chunks_without_a_length_are_bounded_too() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {}\r\nX-Amz-Target: Logs_20140328.CreateLogGroup\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
        world.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 600_000, "x".repeat(600_000));
    for _ in 0..2 {
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

async fn packed(world: &World, body: &[u8]) -> crate::world::Answer {
    let headers = [
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", "Logs_20140328.CreateLogGroup"),
        ("content-encoding", "gzip"),
    ];
    let (mut parts, _) = world.request("POST", "/", &headers, "").into_parts();
    sign(&key(), "r", "logs", &mut parts, &sha256_hex(body)).unwrap();
    let body = Full::new(Bytes::copy_from_slice(body));
    world.send(http::Request::from_parts(parts, body)).await
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(plain).unwrap();
    packer.finish().unwrap()
}

#[tokio::test]
async fn packed_bodies_are_unpacked_within_bounds() {
    let world = World::new().await;
    packed(&world, &gzip(br#"{"logGroupName": "g"}"#)).await.is(200, "");
    packed(&world, b"not gzip").await.fails(400, "SerializationException");
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 1 << 20);
    packed(&world, &bomb).await.fails(413, "RequestEntityTooLargeException");
}

#[tokio::test]
async fn a_body_that_breaks_off_harms_nobody() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nHost: {}\r\nContent-Length: 100\r\n\r\n{{", world.address);
    stream.write_all(head.as_bytes()).await.unwrap();
    drop(stream);
    world.json("Logs_20140328.CreateLogGroup", r#"{"logGroupName": "g"}"#).await.is(200, "");
}
