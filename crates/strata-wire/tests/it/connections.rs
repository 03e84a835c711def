//! Many connections, idle ones, slow ones, and the end.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use strata_wire::server::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{World, read, soon};

#[tokio::test]
async fn connections_are_kept() {
    let world = World::new().await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let request = world.request("GET", "/healthz", &[], "");
        read(client.send_request(request).await.unwrap()).await.is(200, "ok\n");
    }
}

#[tokio::test]
async fn one_too_many_is_turned_away() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let world = World::with(limits).await;
    let mut first = TcpStream::connect(world.address).await.unwrap();
    let head = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
    first.write_all(head).await.unwrap();
    let mut byte = [0];
    soon(first.read_exact(&mut byte)).await.unwrap();
    let mut second = TcpStream::connect(world.address).await.unwrap();
    let mut told = String::new();
    soon(second.read_to_string(&mut told)).await.unwrap();
    assert!(told.starts_with("HTTP/1.1 503"), "{told}");
    assert!(told.ends_with("try again later\"}"), "{told}");
}

#[tokio::test]
async fn idle_and_slow_connections_are_closed() {
    let limits = Limits { idle: Duration::from_millis(100), ..Limits::default() };
    let world = World::with(limits).await;
    let mut idle = TcpStream::connect(world.address).await.unwrap();
    let mut slow = TcpStream::connect(world.address).await.unwrap();
    slow.write_all(b"GET /healthz HTT").await.unwrap();
    let mut rest = Vec::new();
    soon(idle.read_to_end(&mut rest)).await.unwrap();
    // closed with unread bytes: an end or a reset, but in time
    let _ = soon(slow.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nHost: h\r\nX-Large: {}\r\n\r\n", "x".repeat(100_000));
    let _ = stream.write_all(head.as_bytes()).await;
    let mut told = Vec::new();
    let _ = soon(stream.read_to_end(&mut told)).await;
    assert!(told.is_empty() || told.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&told));
    world.send(world.request("GET", "/healthz", &[], "")).await.is(200, "ok\n");
}

fn waiting(world: &World) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let headers = [
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", "Logs_20140328.PutQueryDefinition"),
    ];
    world.signed("logs", "POST", "/", &headers, r#"{"name": "n", "queryString": "q"}"#)
}

#[tokio::test]
async fn the_end_waits_for_what_runs() {
    let mut world = World::new().await;
    let _idle = TcpStream::connect(world.address).await.unwrap();
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let asked = tokio::spawn(client.send_request(waiting(&world)));
    soon(world.begun.notified()).await;

    let ended = world.end();
    // new ones are not taken any more: the listener goes first
    soon(async { while TcpStream::connect(world.address).await.is_ok() {} }).await;
    assert!(!ended.is_finished());
    world.go.notify_one();
    let answer = read(soon(asked).await.unwrap().unwrap()).await;
    answer.is(200, r#"{"queryDefinitionId":"done"}"#);
    soon(ended).await.unwrap();
}

#[tokio::test]
async fn the_end_does_not_wait_for_ever() {
    let limits = Limits { grace: Duration::from_millis(50), ..Limits::default() };
    let mut world = World::with(limits).await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let asked = tokio::spawn(client.send_request(waiting(&world)));
    soon(world.begun.notified()).await;
    soon(world.end()).await.unwrap();
    assert!(soon(asked).await.unwrap().is_err());
}
