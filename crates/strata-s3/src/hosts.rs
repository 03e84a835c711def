//! Which bucket a host name carries: `BUCKET.localhost`, `BUCKET.s3.localhost`, and AWS's own
//! `BUCKET.s3.REGION.amazonaws.com` where somebody points that here. Any other host is ours as
//! it is, and the path begins with the bucket.

use s3s::S3Result;
use s3s::host::{S3Host, VirtualHost};

pub struct Hosts;

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        Ok(match bucket_of(host) {
            Some(bucket) => VirtualHost::new(host).with_bucket(bucket),
            None => VirtualHost::new(host),
        })
    }
}

pub fn bucket_of(host: &str) -> Option<&str> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let inner = match name.strip_suffix(".localhost") {
        Some(inner) => inner,
        None => without_endpoint(name.strip_suffix(".amazonaws.com")?)?,
    };
    let bucket = match inner {
        "s3" => return None,
        inner => inner.strip_suffix(".s3").unwrap_or(inner),
    };
    (!bucket.is_empty()).then_some(bucket)
}

/// `my.bucket.s3.eu-west-1` to `my.bucket`; `s3.eu-west-1` and `s3` have no bucket.
fn without_endpoint(name: &str) -> Option<&str> {
    if let Some(bucket) = name.strip_suffix(".s3") {
        return Some(bucket);
    }
    let (bucket, region) = name.rsplit_once(".s3.").or_else(|| name.rsplit_once(".s3-"))?;
    (!region.contains('.')).then_some(bucket)
}

#[cfg(test)]
mod tests {
    use super::bucket_of;

    #[test]
    fn hosts() {
        for (host, bucket) in [
            ("localhost:7410", None),
            ("s3.localhost", None),
            ("data.localhost:7410", Some("data")),
            ("data.s3.localhost:7410", Some("data")),
            ("my.data.s3.localhost", Some("my.data")),
            ("my.data.localhost", Some("my.data")),
            ("strata.example.org:7410", None),
            ("host.docker.internal", None),
            ("s3.amazonaws.com", None),
            ("s3.eu-west-1.amazonaws.com", None),
            ("data.s3.amazonaws.com", Some("data")),
            ("my.data.s3.eu-west-1.amazonaws.com", Some("my.data")),
            (".localhost", None),
        ] {
            assert_eq!(bucket_of(host), bucket, "{host}");
        }
    }
}
