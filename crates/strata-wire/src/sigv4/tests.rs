use std::process::Command;

use http::Request;
use http::request::Parts;
use proptest::prelude::*;

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2015-08-30T12:36:00Z, the moment of AWS's published examples.
const THEN: Timestamp = Timestamp(1_440_938_160_000);

struct OneKey {
    token: Option<&'static str>,
    expires: Option<Timestamp>,
}

impl Keyring for OneKey {
    fn find(&self, access_key: &str) -> Option<Arc<Credential>> {
        (access_key == "AKIDEXAMPLE").then(|| {
            Arc::new(Credential {
                secret: SECRET.into(),
                session_token: self.token.map(str::to_owned),
                expires: self.expires,
                caller: Arc::new(Caller {
                    access_key: access_key.into(),
                    arn: "arn:aws:iam::123456789012:root".into(),
                    user_id: "123456789012".into(),
                    account: "123456789012".into(),
                }),
            })
        })
    }
}

fn verifier() -> Verifier {
    Verifier::new(Arc::new(OneKey { token: None, expires: None }))
}

fn credentials() -> Credentials {
    Credentials { access_key: "AKIDEXAMPLE".into(), secret: SECRET.into(), session_token: None }
}

fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// One case of AWS's SigV4 test suite: the request, the headers it signs and its signature.
#[track_caller]
fn vector(method: &str, uri: &str, more: &[(&str, &str)], signed: &str, body: &str, signature: &str) {
    let mut headers = vec![("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")];
    headers.extend_from_slice(more);
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders={signed}, Signature={signature}"
    );
    headers.push(("authorization", &authorization));
    let request = parts(method, uri, &headers);
    let verified = verifier().verify(&request, body.as_bytes(), THEN);
    assert!(verified.is_ok(), "{method} {uri}: {verified:?}");
    assert_eq!(verified.unwrap().region, "us-east-1");
    let other = verifier().verify(&request, b"another body", THEN);
    assert_eq!(other.unwrap_err(), Refusal::Mismatch);
}

#[test]
fn published_vectors() {
    const VANILLA: &str = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    let plain = "host;x-amz-date";
    vector("GET", "/", &[], plain, "", VANILLA);
    // normalize-path: all of these are the same path
    for path in ["//", "/./", "/foo/..", "/foo/bar/../.."] {
        vector("GET", path, &[], plain, "", VANILLA);
    }
    vector(
        "GET",
        "/?Param2=value2&Param1=value1",
        &[],
        plain,
        "",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    );
    vector(
        "GET",
        "/?Param1=value1",
        &[],
        plain,
        "",
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
    );
    vector(
        "GET",
        "/?%E1%88%B4=bar",
        &[],
        plain,
        "",
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    );
    vector(
        "GET",
        "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        &[],
        plain,
        "",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    );
    vector("POST", "/", &[], plain, "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
    vector(
        "POST",
        "/",
        &[("my-header1", "VALUE1")],
        "host;my-header1;x-amz-date",
        "",
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    );
    vector(
        "POST",
        "/",
        &[("content-type", "application/x-www-form-urlencoded")],
        "content-type;host;x-amz-date",
        "Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    );
    vector(
        "GET",
        "/",
        &[("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")],
        "host;my-header1;x-amz-date",
        "",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    );
    vector(
        "GET",
        "/",
        &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
        "host;my-header1;my-header2;x-amz-date",
        "",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    );
}

fn signed() -> Parts {
    let mut request = parts("POST", "http://127.0.0.1:7410/", &[("x-amz-target", "SageMaker.ListModels")]);
    sign_at(&credentials(), "eu-west-3", "sagemaker", &mut request, &sha256_hex(b"{}"), THEN).unwrap();
    request
}

#[track_caller]
fn refused(request: &Parts, now: Timestamp, expected: &str) {
    let fault = verifier().verify(request, b"{}", now).unwrap_err().fault(false);
    assert_eq!(format!("{} {fault}", fault.status), expected);
}

#[test]
fn a_signed_request_passes_twice() {
    let verifier = verifier();
    for _ in 0..2 {
        let verified = verifier.verify(&signed(), b"{}", THEN).unwrap();
        assert_eq!(verified.region, "eu-west-3");
        assert_eq!(verified.credential.caller.access_key, "AKIDEXAMPLE");
    }
    assert_eq!(verifier.keys.read().unwrap().len(), 1);
}

#[test]
fn anything_changed_is_refused() {
    let mismatch = "403 InvalidSignatureException: The request signature we calculated does not match the \
                    signature you provided. Check your AWS Secret Access Key and signing method. Consult the \
                    service documentation for details.";
    let mut request = signed();
    request.headers.insert("x-amz-target", "SageMaker.DeleteModel".parse().unwrap());
    refused(&request, THEN, mismatch);
    let mut request = signed();
    request.uri = "/other".parse().unwrap();
    refused(&request, THEN, mismatch);
    let mut request = signed();
    request.headers.insert("host", "elsewhere".parse().unwrap());
    refused(&request, THEN, mismatch);
    for bad in ["Signature=", "Signature=zz", "Signature=00"] {
        let mut request = signed();
        let text = request.headers["authorization"].to_str().unwrap().to_owned();
        let cut = text.find("Signature=").unwrap();
        request.headers.insert("authorization", format!("{}{bad}", &text[..cut]).parse().unwrap());
        refused(&request, THEN, mismatch);
    }
    let mut wrong = parts("POST", "http://h/", &[]);
    let credentials = Credentials { secret: "wrong".into(), ..credentials() };
    sign_at(&credentials, "r", "sagemaker", &mut wrong, &sha256_hex(b"{}"), THEN).unwrap();
    refused(&wrong, THEN, mismatch);
}

#[test]
fn refusals_in_aws_words() {
    refused(
        &parts("POST", "/", &[]),
        THEN,
        "403 MissingAuthenticationTokenException: Missing Authentication Token",
    );
    refused(
        &parts("POST", "/", &[("authorization", "AWS4-HMAC-SHA256 Credential=x")]),
        THEN,
        "400 IncompleteSignatureException: Authorization header requires 'Signature' parameter. Authorization \
         header requires 'SignedHeaders' parameter. Authorization header requires existence of either a \
         'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256",
    );
    refused(
        &parts("POST", "/", &[("authorization", "Basic abc")]),
        THEN,
        "400 IncompleteSignatureException: Unsupported AWS 'algorithm': 'Basic'.",
    );
    let mut stranger = parts("POST", "http://h/", &[]);
    let credentials = Credentials { access_key: "AKIDSTRANGER".into(), ..credentials() };
    sign_at(&credentials, "r", "sagemaker", &mut stranger, &sha256_hex(b"{}"), THEN).unwrap();
    refused(
        &stranger,
        THEN,
        "403 UnrecognizedClientException: The security token included in the request is invalid.",
    );
}

#[test]
fn clocks_may_be_off_by_a_quarter_of_an_hour() {
    let at = |minutes: i64| Timestamp(THEN.0 + minutes * 60_000);
    for minutes in [-15, 0, 15] {
        assert!(verifier().verify(&signed(), b"{}", at(minutes)).is_ok());
    }
    refused(
        &signed(),
        at(16),
        "403 InvalidSignatureException: Signature expired: 20150830T123600Z is now earlier than \
         20150830T123700Z (20150830T125200Z - 15 min.)",
    );
    refused(
        &signed(),
        at(-16),
        "403 InvalidSignatureException: Signature not yet current: 20150830T123600Z is still later than \
         20150830T123500Z (20150830T122000Z + 15 min.)",
    );
}

#[test]
fn query_services_have_their_own_codes() {
    let code = |refusal: Refusal| refusal.fault(true).to_string();
    assert_eq!(code(Refusal::Missing), "MissingAuthenticationToken: Request is missing Authentication Token");
    assert!(code(Refusal::UnknownKey).starts_with("InvalidClientTokenId: "));
    assert!(code(Refusal::Mismatch).starts_with("SignatureDoesNotMatch: "));
    assert!(code(Refusal::ExpiredToken).starts_with("ExpiredToken: "));
}

#[test]
fn temporary_credentials_need_their_token_and_end() {
    let keyring = OneKey { token: Some("token"), expires: Some(Timestamp(THEN.0 + 1)) };
    let verifier = Verifier::new(Arc::new(keyring));
    let with = |token: Option<&str>| {
        let mut request = parts("POST", "http://h/", &[]);
        let credentials = Credentials { session_token: token.map(str::to_owned), ..credentials() };
        sign_at(&credentials, "r", "sts", &mut request, &sha256_hex(b""), THEN).unwrap();
        request
    };
    assert!(verifier.verify(&with(Some("token")), b"", THEN).is_ok());
    for wrong in [None, Some("other")] {
        assert_eq!(verifier.verify(&with(wrong), b"", THEN).unwrap_err(), Refusal::UnknownKey);
    }
    let later = Timestamp(THEN.0 + 1);
    assert_eq!(verifier.verify(&with(Some("token")), b"", later).unwrap_err(), Refusal::ExpiredToken);
}

#[test]
fn a_replaced_secret_is_not_remembered() {
    struct Changing(std::sync::Mutex<String>);
    impl Keyring for Changing {
        fn find(&self, access_key: &str) -> Option<Arc<Credential>> {
            let known = OneKey { token: None, expires: None }.find(access_key)?;
            Some(Arc::new(Credential { secret: self.0.lock().unwrap().clone(), ..(*known).clone() }))
        }
    }
    let keyring = Arc::new(Changing(std::sync::Mutex::new(SECRET.into())));
    let verifier = Verifier::new(keyring.clone());
    assert!(verifier.verify(&signed(), b"{}", THEN).is_ok());
    *keyring.0.lock().unwrap() = "another".into();
    assert_eq!(verifier.verify(&signed(), b"{}", THEN).unwrap_err(), Refusal::Mismatch);
}

#[test]
fn unsigned_payloads_pass_only_when_they_say_so() {
    let mut request = parts("POST", "http://h/", &[]);
    sign_at(&credentials(), "r", "polly", &mut request, UNSIGNED_PAYLOAD, THEN).unwrap();
    assert!(verifier().verify(&request, b"any body", THEN).is_ok());
    request.headers.remove("x-amz-content-sha256");
    assert!(verifier().verify(&request, b"any body", THEN).is_err());
}

#[test]
fn signatures_in_the_url() {
    for service in ["sts", "s3"] {
        let mut request = parts("GET", "http://h/?Action=GetCallerIdentity&Version=2011-06-15", &[]);
        presign(&credentials(), "us-east-1", service, &mut request, 60, THEN).unwrap();
        assert_eq!(Authorization::service_of(&request).as_deref(), Some(service));
        let at = |seconds: i64| verifier().verify(&request, b"", Timestamp(THEN.0 + seconds * 1000));
        assert!(at(0).is_ok(), "{:?}", at(0));
        assert!(at(60).is_ok());
        assert!(matches!(at(61), Err(Refusal::NotNow(_))));
        let longer = request.uri.to_string().replace("Expires=60", "Expires=600");
        let mut tampered = parts("GET", &longer, &[]);
        tampered.headers = request.headers.clone();
        assert_eq!(verifier().verify(&tampered, b"", THEN).unwrap_err(), Refusal::Mismatch);
    }
}

#[test]
fn the_target_must_be_signed() {
    let mut request = parts("POST", "http://h/", &[]);
    sign_at(&credentials(), "r", "sagemaker", &mut request, &sha256_hex(b"{}"), THEN).unwrap();
    request.headers.insert("x-amz-target", "SageMaker.ListModels".parse().unwrap());
    assert!(matches!(verifier().verify(&request, b"{}", THEN), Err(Refusal::NotNow(_))));
}

#[test]
fn dates_read_and_write() {
    assert_eq!(parse_date("20150830T123600Z"), Some(THEN.0 / 1000));
    assert_eq!(write_date(THEN.0 / 1000), "20150830T123600Z");
    for wrong in ["", "20150830T123600", "2015083éT12360Z", "20151330T123600Z", "+0150830T123600Z"] {
        assert_eq!(parse_date(wrong), None, "{wrong}");
    }
}

/// botocore signs, we check; skipped where there is no botocore.
#[test]
fn botocore_agrees() {
    const PROGRAM: &str = r#"
import datetime, json, sys
import botocore.auth, botocore.awsrequest, botocore.credentials
at = datetime.datetime(2015, 8, 30, 12, 36, tzinfo=datetime.timezone.utc)
for name in ("get_current_datetime",):
    if not hasattr(botocore.auth, name):
        sys.exit(3)
botocore.auth.get_current_datetime = lambda *a, **k: at
keys = botocore.credentials.Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
cases = [
    ("POST", "http://127.0.0.1:7410/", b"{}", "sagemaker", {"X-Amz-Target": "SageMaker.ListModels"}),
    ("POST", "http://localhost:7410/endpoints/a%20b/invocations", b"1,2", "sagemaker", {"Content-Type": "text/csv"}),
    ("GET", "http://localhost/a//b/../c?z=1&a=%2Fx%20y&a=", b"", "iam", {"X-Amz-Meta": "  a   b "}),
]
out = []
for signer in (botocore.auth.SigV4Auth, botocore.auth.SigV4QueryAuth):
    for method, url, body, service, headers in cases:
        if signer is botocore.auth.SigV4QueryAuth and body:
            continue
        request = botocore.awsrequest.AWSRequest(method=method, url=url, data=body, headers=headers)
        request.context["timestamp"] = "20150830T123600Z"
        signer(keys, service, "us-west-2").add_auth(request)
        prepared = request.prepare()
        headers = [(k, v.decode() if isinstance(v, bytes) else v) for k, v in prepared.headers.items()]
        out.append([method, prepared.url, headers, body.decode()])
print(json.dumps(out))
"#;
    let output = match Command::new("python3").args(["-c", PROGRAM]).output() {
        Ok(output) if output.status.success() => output,
        _ => {
            println!("skipped botocore_agrees: python3 with a botocore that we know is not on PATH");
            return;
        }
    };
    type Case = (String, String, Vec<(String, String)>, String);
    let cases: Vec<Case> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(cases.len(), 4);
    for (method, url, headers, body) in cases {
        let mut headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let uri: http::Uri = url.parse().unwrap();
        let host = uri.authority().unwrap().to_string();
        headers.push(("host", &host));
        let request = parts(&method, &url, &headers);
        let verified = verifier().verify(&request, body.as_bytes(), THEN);
        assert!(verified.is_ok(), "{method} {url}: {verified:?}");
    }
}

proptest! {
    #[test]
    fn what_we_sign_we_accept(
        path in "(/[a-zA-Z0-9._~%-]{0,8}){1,4}",
        query in proptest::option::of("([a-z]{1,4}=[a-zA-Z0-9+/-]{0,6}&?){0,4}"),
        value in "[ -~]{0,20}",
        body in ".{0,40}",
        region in "[a-z0-9-]{1,12}",
        service in prop_oneof![Just("s3"), Just("sagemaker"), Just("sts")],
    ) {
        let uri = match query {
            Some(query) => format!("http://host:1{path}?{query}"),
            None => format!("http://host:1{path}"),
        };
        let mut request = parts("PUT", &uri, &[("x-amz-meta-a", &value)]);
        sign_at(&credentials(), &region, service, &mut request, &sha256_hex(body.as_bytes()), THEN).unwrap();
        prop_assert!(verifier().verify(&request, body.as_bytes(), THEN).is_ok());
        let changed = format!("{body}!");
        prop_assert_eq!(
            verifier().verify(&request, changed.as_bytes(), THEN).unwrap_err(),
            Refusal::Mismatch
        );
    }

    #[test]
    fn no_header_panics(authorization in ".{0,80}", date in ".{0,20}", query in "[!-~]{0,60}") {
        let mut request = parts("GET", "/", &[]);
        if let Ok(uri) = format!("/?X-Amz-Algorithm=AWS4-HMAC-SHA256&{query}").parse() {
            request.uri = uri;
        }
        let _ = verifier().verify(&request, b"", THEN);
        for (name, value) in [("authorization", authorization), ("x-amz-date", date)] {
            if let Ok(value) = value.parse() {
                request.headers.insert(name, value);
            }
        }
        let _ = verifier().verify(&request, b"", THEN);
        let _ = Authorization::service_of(&request);
    }
}
