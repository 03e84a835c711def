//! Against the published test suite's facts, our own signer, and botocore's.

use std::process::Command;

use hmac::Mac;
use http::Request;
use proptest::prelude::*;

use super::*;

struct One(Arc<Credential>);

impl Keyring for One {
    fn find(&self, access_key: &str) -> Option<Arc<Credential>> {
        (access_key == self.0.caller.access_key).then(|| self.0.clone())
    }
}

fn ring(access_key: &str, secret: &str, session_token: Option<&str>, expires: Option<Timestamp>) -> Verifier {
    Verifier::new(Arc::new(One(Arc::new(Credential {
        secret: secret.into(),
        session_token: session_token.map(str::to_string),
        caller: Caller {
            access_key: access_key.into(),
            arn: "arn:aws:iam::123456789012:root".into(),
            user_id: "123456789012".into(),
            account: "123456789012".into(),
        },
        expires,
    }))))
}

fn head(request: http::request::Builder) -> http::request::Parts {
    request.body(()).unwrap().into_parts().0
}

/// AWS's signature test suite: key, secret and date are the same in all of its cases.
const SUITE_KEY: &str = "AKIDEXAMPLE";
const SUITE_SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SUITE_TIME: Timestamp = Timestamp(1_440_938_160_000);

fn suite(method: &str, uri: &str, extra: &[(&str, &str)], signed: &str, signature: &str) {
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .header("host", "example.amazonaws.com")
        .header("x-amz-date", "20150830T123600Z");
    for (name, value) in extra {
        request = request.header(*name, *value);
    }
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={SUITE_KEY}/20150830/us-east-1/service/aws4_request, \
         SignedHeaders={signed}, Signature={signature}"
    );
    let head = head(request.header("authorization", authorization));
    let verified = ring(SUITE_KEY, SUITE_SECRET, None, None).verify_at(&head, b"", SUITE_TIME);
    assert!(verified.is_ok(), "{method} {uri}: {verified:?}");
}

#[test]
fn the_published_suite() {
    let plain = "host;x-amz-date";
    suite("GET", "/", &[], plain, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    suite("POST", "/", &[], plain, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
    // get-vanilla-query-order-key-case: parameters in order of name.
    suite(
        "GET",
        "/?Param2=value2&Param1=value1",
        &[],
        plain,
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    );
}

#[test]
fn a_key_derived_as_documented() {
    // The example of the IAM User Guide: its string to sign and signature.
    let mac =
        keys::derive(SUITE_SECRET, keys::Purpose { date: "20150830", region: "us-east-1", service: "iam" });
    let text = "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n\
                f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59";
    let mut hexed = String::new();
    canonical::push_hex(&mut hexed, &mac.chain_update(text).finalize().into_bytes());
    assert_eq!(hexed, "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
}

fn signed(body: &[u8], token: Option<&str>, at: Timestamp) -> http::request::Parts {
    let keys = SigningKeys {
        access_key: "AKIA".into(),
        secret: "secret".into(),
        session_token: token.map(Into::into),
    };
    let mut head = head(Request::post("/endpoints/e/invocations?b=2&a=%20").header("host", "h:1"));
    sign(&keys, "eu-west-3", "sagemaker", &mut head, body, at).unwrap();
    head
}

#[test]
fn wrong_things_are_told_apart() {
    let now = Timestamp::now();
    let ring_of = |token, expires| ring("AKIA", "secret", token, expires);
    let plain = ring_of(None, None);
    let verify = |ring: &Verifier, head: &http::request::Parts, body: &[u8]| {
        ring.verify_at(head, body, now).map(|_| ()).map_err(|error| error.fault(Style::Json).code)
    };

    assert_eq!(verify(&plain, &signed(b"x", None, now), b"x"), Ok(()));
    assert_eq!(verify(&plain, &signed(b"x", None, now), b"y"), Err("InvalidSignatureException".into()));
    assert_eq!(
        verify(&ring("AKIA", "other", None, None), &signed(b"x", None, now), b"x"),
        Err("InvalidSignatureException".into())
    );
    assert_eq!(
        verify(&ring("ASIA", "secret", None, None), &signed(b"x", None, now), b"x"),
        Err("UnrecognizedClientException".into())
    );
    for shift in [-16, 16] {
        let at = Timestamp(now.0 + shift * 60_000);
        assert_eq!(verify(&plain, &signed(b"x", None, at), b"x"), Err("InvalidSignatureException".into()));
    }
    let temporary = ring_of(Some("token"), None);
    assert_eq!(verify(&temporary, &signed(b"", Some("token"), now), b""), Ok(()));
    for token in [None, Some("nekot")] {
        let answer = verify(&temporary, &signed(b"", token, now), b"");
        assert_eq!(answer, Err("UnrecognizedClientException".into()));
    }
    let expired = ring_of(Some("token"), Some(now));
    assert_eq!(verify(&expired, &signed(b"", Some("token"), now), b""), Err("ExpiredTokenException".into()));
    let unsigned = head(Request::get("/").header("host", "h"));
    assert_eq!(verify(&plain, &unsigned, b""), Err("MissingAuthenticationTokenException".into()));
    let basic = head(Request::get("/").header("host", "h").header("authorization", "Basic eDp5"));
    assert_eq!(verify(&plain, &basic, b""), Err("IncompleteSignatureException".into()));
}

#[test]
fn scopes_are_read_before_they_are_verified() {
    let head = signed(b"", None, Timestamp::now());
    let scope = scope(&head).unwrap();
    assert_eq!((&*scope.region, &*scope.service), ("eu-west-3", "sagemaker"));
    let presigned = head_of_query("X-Amz-Credential=AK%2F20260101%2Fus-east-1%2Fs3%2Faws4_request");
    assert_eq!(super::scope(&presigned).unwrap().service, "s3");
}

fn head_of_query(query: &str) -> http::request::Parts {
    head(Request::get(format!("/?{query}")).header("host", "h"))
}

#[test]
fn botocore_signs_what_we_verify() {
    let script = r#"
import sys
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
keys = Credentials("AKIA", "secret", "tok/en+1=")
url = "http://h:1/a%20b/./c?x=1&y=%2F&empty=&p=a%2Bb"
request = AWSRequest("POST", url, data=b"body", headers={"X-Amz-Target": "A.B", "Two": " a   b "})
SigV4Auth(keys, "sagemaker", "us-east-1").add_auth(request)
print(request.url)
for name, value in request.headers.items(): print(name + ": " + value)
request = AWSRequest("GET", url)
SigV4QueryAuth(keys, "sts", "us-east-1", expires=60).add_auth(request)
print("presigned " + request.url)
"#;
    let output = match Command::new("python3").args(["-c", script]).output() {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout).unwrap(),
        _ => return println!("skipped botocore_signs_what_we_verify: no botocore"),
    };
    let ring = ring("AKIA", "secret", Some("tok/en+1="), None);
    let mut lines = output.lines();
    let mut request = Request::post(lines.next().unwrap()).header("host", "h:1");
    for line in lines {
        if let Some(url) = line.strip_prefix("presigned ") {
            let head = head(Request::get(url).header("host", "h:1"));
            ring.verify(&head, b"").unwrap();
        } else {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
    }
    ring.verify(&head(request), b"body").unwrap();
}

proptest! {
    #[test]
    fn what_we_sign_we_verify(
        path in "(/[a-zA-Z0-9 %._~é-]{0,8}){0,4}",
        query in "([a-z]{1,3}=[a-z0-9%]{0,4}&){0,4}",
        value in "[ -~]{0,20}",
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let encoded = percent_encoding::utf8_percent_encode(&path, percent_encoding::NON_ALPHANUMERIC)
            .to_string()
            .replace("%2F", "/");
        let path = if encoded.starts_with('/') { encoded } else { format!("/{encoded}") };
        let Ok(request) = Request::post(format!("{path}?{query}"))
            .header("host", "h")
            .header("x-thing", value)
            .body(()) else { return Ok(()) };
        let mut head = request.into_parts().0;
        let keys = SigningKeys { access_key: "AKIA".into(), secret: "secret".into(), session_token: None };
        let now = Timestamp::now();
        sign(&keys, "us-east-1", "logs", &mut head, &body, now).unwrap();
        let verified = ring("AKIA", "secret", None, None).verify_at(&head, &body, now).unwrap();
        prop_assert_eq!(verified.service, "logs");
    }

    #[test]
    fn no_header_panics(authorization in "(AWS4-HMAC-SHA256 )?[ -~é]{0,80}", query in "[ -~]{0,80}") {
        let request = Request::get("/").header("host", "h").header("authorization", authorization).body(());
        if let Ok(request) = request {
            let _ = ring("AKIA", "secret", None, None).verify(&request.into_parts().0, b"");
        }
        if let Ok(request) = Request::get(format!("/?{query}&X-Amz-Credential={query}")).body(()) {
            let _ = ring("AKIA", "secret", None, None).verify(&request.into_parts().0, b"");
        }
    }
}
