//! A bare axum handler: reads the body, returns fixed bytes. No model, no signature, no metrics.
//!
//!     floor PORT CONTENT-TYPE ANSWER

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, content_type, answer] = arguments.try_into().map_err(|_| "floor PORT CONTENT-TYPE ANSWER")?;
    let port: u16 = port.parse()?;
    let content_type: &'static str = content_type.leak();
    let answer = Bytes::from(answer);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async move {
        let handler = move |body: Bytes| async move {
            std::hint::black_box(&body);
            ([(CONTENT_TYPE, content_type)], answer)
        };
        let app = Router::new().route("/endpoints/{name}/invocations", post(handler));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        println!("listening on {port}");
        axum::serve(listener, app).await?;
        Ok(())
    })
}
