//! Serves a folder as S3: `serve FOLDER PORT ACCESS_KEY SECRET_KEY`, for trying and for tests.

use std::path::PathBuf;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use strata_s3::{KeyFault, S3Key, service};
use strata_store::{Blobs, Database};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_env_filter("warn,s3s=off").with_writer(std::io::stderr).init();
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or(format!("{what} is missing"));
    let folder = PathBuf::from(next("FOLDER")?);
    let port: u16 = next("PORT")?.parse()?;
    let (access_key, secret) = (next("ACCESS_KEY")?, next("SECRET_KEY")?);

    std::fs::create_dir_all(&folder)?;
    let blobs = Blobs::open(Database::open(&folder).await?, &folder.join("objects")).await?;
    let keys = move |key: &str| match key {
        key if key == access_key => Ok(S3Key { secret: secret.clone(), token: None }),
        "ASIATEMPORARY" => Ok(S3Key { secret: secret.clone(), token: Some("the+token/=".into()) }),
        "ASIAEXPIRED" => Err(KeyFault::Expired),
        _ => Err(KeyFault::Unknown),
    };
    let s3 = service(Arc::new(blobs), Arc::new(keys), "123456789012", "us-east-1");

    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let s3 = s3.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let s3 = s3.clone();
                async move { Ok::<_, std::convert::Infallible>(s3.call(request).await) }
            });
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            if let Err(error) = server.serve_connection(TokioIo::new(stream), answer).await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
}
