//! The Query protocol: form-encoded parameters in (`Tags.member.1.Key=a`), XML out.

use std::collections::BTreeMap;

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::rest_json::text_as;
use super::{Known, Modelled, xml};
use crate::model::{Kind, Metadata, Model, Operation, ShapeId, Structure};
use crate::{Body, Fault, Reply, RequestId, Response};

/// Parameters of one request, and the names within a parameter's name: more is no AWS client.
const MOST_PARAMETERS: usize = 20_000;
const DEEPEST: usize = 32;

/// The parameters of a request, as a tree along the dots of their names.
#[derive(Debug)]
pub struct Form {
    pub action: Option<String>,
    pub version: Option<String>,
    root: BTreeMap<String, Node>,
}

#[derive(Debug, PartialEq)]
enum Node {
    Leaf(String),
    Branch(BTreeMap<String, Node>),
}

/// Reads parameters from a form body or from the query of a URL.
pub fn form(text: &[u8]) -> Result<Form, Fault> {
    let text = str::from_utf8(text).map_err(|_| malformed("the form is not UTF-8"))?;
    let mut form = Form { action: None, version: None, root: BTreeMap::new() };
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    for (count, pair) in pairs.enumerate() {
        if count >= MOST_PARAMETERS {
            return Err(malformed("the form has too many parameters"));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        match name.as_str() {
            "Action" => form.action = Some(value),
            "Version" => form.version = Some(value),
            // A signature in the URL is none of the operation's business.
            name if name.starts_with("X-Amz-") => {}
            name => insert(&mut form.root, name, value)?,
        }
    }
    Ok(form)
}

fn malformed(cause: impl Into<String>) -> Fault {
    Fault::new(400, "MalformedQueryString", cause)
}

fn decode(text: &str) -> Result<String, Fault> {
    let spaced = text.replace('+', " ");
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(malformed("the form is not UTF-8")),
    }
}

fn insert(root: &mut BTreeMap<String, Node>, name: &str, value: String) -> Result<(), Fault> {
    let mut branch = root;
    let (path, last) = name.rsplit_once('.').map_or((None, name), |(path, last)| (Some(path), last));
    for (depth, step) in path.into_iter().flat_map(|path| path.split('.')).enumerate() {
        if depth >= DEEPEST {
            return Err(malformed("a parameter is nested too deeply"));
        }
        let next = branch.entry(step.to_owned()).or_insert_with(|| Node::Branch(BTreeMap::new()));
        branch = match next {
            Node::Branch(next) => next,
            Node::Leaf(_) => return Err(malformed(format!("{name} is both a value and a structure"))),
        };
    }
    match branch.insert(last.to_owned(), Node::Leaf(value)) {
        Some(Node::Branch(_)) => Err(malformed(format!("{name} is both a value and a structure"))),
        _ => Ok(()),
    }
}

/// The document of an operation's input.
pub fn document(model: &Model, operation: &Operation, form: &Form) -> Result<Value, Fault> {
    match operation.input.and_then(|id| model.structure(id)) {
        Some(input) => structure(model, input, &form.root),
        None => Ok(Value::Object(Map::new())),
    }
}

fn structure(model: &Model, structure: &Structure, branch: &BTreeMap<String, Node>) -> Result<Value, Fault> {
    let mut document = Map::new();
    for member in &structure.members {
        if let Some(node) = branch.get(member.wire_name()) {
            document.insert(member.name.into(), value(model, member.shape, member.name, node)?);
        }
    }
    Ok(Value::Object(document))
}

fn value(model: &Model, id: ShapeId, name: &str, node: &Node) -> Result<Value, Fault> {
    let kind = &model.shape(id).kind;
    match (kind, node) {
        (Kind::Structure(inner), Node::Branch(branch)) => structure(model, inner, branch),
        (Kind::List(list), Node::Branch(branch)) => {
            let items = numbered(inside(branch, list.member_name.unwrap_or("member")), name)?;
            let items: Result<Vec<Value>, Fault> =
                items.into_iter().map(|item| value(model, list.member, name, item)).collect();
            items.map(Value::Array)
        }
        (Kind::Map(map), Node::Branch(branch)) => {
            let mut entries = Map::new();
            for entry in numbered(inside(branch, "entry"), name)? {
                let Node::Branch(entry) = entry else {
                    return Err(malformed(format!("{name} has an entry without a key")));
                };
                let key = match entry.get(map.key_name.unwrap_or("key")) {
                    Some(Node::Leaf(key)) => key.clone(),
                    _ => return Err(malformed(format!("{name} has an entry without a key"))),
                };
                let inner = match entry.get(map.value_name.unwrap_or("value")) {
                    Some(inner) => value(model, map.value, name, inner)?,
                    None => Value::Null,
                };
                entries.insert(key, inner);
            }
            Ok(Value::Object(entries))
        }
        // `Tags=` is how an empty list or map is written.
        (Kind::List(_), Node::Leaf(text)) if text.is_empty() => Ok(Value::Array(Vec::new())),
        (Kind::Map(_) | Kind::Structure(_), Node::Leaf(text)) if text.is_empty() => {
            Ok(Value::Object(Map::new()))
        }
        (Kind::Structure(_) | Kind::List(_) | Kind::Map(_), Node::Leaf(_)) => {
            Err(malformed(format!("{name} is a value where the model has a structure, list or map")))
        }
        (_, Node::Branch(_)) => Err(malformed(format!("{name} is a structure where the model has a value"))),
        (kind, Node::Leaf(text)) => text_as(kind, text).ok_or_else(|| {
            Fault::new(400, "MalformedInput", format!("{name}: '{text}' does not have the type of the model"))
        }),
    }
}

/// Flattened lists and maps have their numbers at once, the others behind one more name.
fn inside<'n>(branch: &'n BTreeMap<String, Node>, name: &str) -> &'n BTreeMap<String, Node> {
    match branch.get(name) {
        Some(Node::Branch(inner)) if branch.len() == 1 => inner,
        _ => branch,
    }
}

/// Items by number; clients may leave numbers out, AWS closes the gaps.
fn numbered<'n>(branch: &'n BTreeMap<String, Node>, name: &str) -> Result<Vec<&'n Node>, Fault> {
    let mut items: Vec<(u32, &Node)> = Vec::with_capacity(branch.len());
    for (number, node) in branch {
        let number =
            number.parse().map_err(|_| malformed(format!("{name}.{number} is not an item's number")))?;
        items.push((number, node));
    }
    items.sort_by_key(|(number, _)| *number);
    Ok(items.into_iter().map(|(_, node)| node).collect())
}

pub fn reply(
    metadata: &Metadata,
    model: &Model,
    operation: &Operation,
    reply: &Reply,
    id: &RequestId,
) -> Response {
    let mut out = String::with_capacity(512);
    start(&format!("{}Response", operation.name), metadata, &mut out);
    if let Some(output) = operation.output.and_then(|id| model.structure(id)) {
        let wrapper = operation.wrapper.map_or_else(|| format!("{}Result", operation.name), str::to_owned);
        xml::open(&wrapper, &mut out);
        xml::write_structure(model, output, &reply.document, &mut out);
        xml::close(&wrapper, &mut out);
    }
    out.push_str("<ResponseMetadata>");
    xml::element("RequestId", id.as_str(), &mut out);
    out.push_str("</ResponseMetadata>");
    xml::close(&format!("{}Response", operation.name), &mut out);
    respond(out)
}

pub fn fault(known: Known<'_>, fault: &Fault, id: &RequestId) -> Response {
    let modelled = Modelled::of(known, fault);
    let mut out = String::with_capacity(512);
    match known {
        Some((metadata, _)) => start("ErrorResponse", metadata, &mut out),
        None => xml::open("ErrorResponse", &mut out),
    }
    out.push_str("<Error>");
    xml::element("Type", modelled.blame(), &mut out);
    xml::element("Code", modelled.query_code(fault), &mut out);
    xml::element("Message", &fault.message, &mut out);
    for (name, value) in &fault.members {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        xml::element(name, &text, &mut out);
    }
    out.push_str("</Error>");
    xml::element("RequestId", id.as_str(), &mut out);
    xml::close("ErrorResponse", &mut out);
    let mut response = respond(out);
    *response.status_mut() = modelled.status;
    response
}

fn start(name: &str, metadata: &Metadata, out: &mut String) {
    out.push('<');
    out.push_str(name);
    if let Some(namespace) = metadata.xml_namespace {
        out.push_str(" xmlns=\"");
        xml::escape(namespace, out);
        out.push('"');
    }
    out.push('>');
}

fn respond(out: String) -> Response {
    let mut response = Response::new(Body::from(out));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Api;

    fn read(service: &str, operation: &str, text: &str) -> Result<Value, Fault> {
        let model = Api::named(service).unwrap().model();
        document(model, model.operation(operation).unwrap(), &form(text.as_bytes())?)
    }

    #[test]
    fn nested_parameters() {
        let text = "Action=PutMetricData&Version=2010-08-01&Namespace=a+b%2Fc\
            &MetricData.member.1.MetricName=m&MetricData.member.1.Value=1.5\
            &MetricData.member.1.Timestamp=2014-04-29T18:30:38Z\
            &MetricData.member.1.Dimensions.member.1.Name=d&MetricData.member.1.Dimensions.member.1.Value=1\
            &MetricData.member.10.MetricName=last&MetricData.member.2.MetricName=n\
            &MetricData.member.2.StorageResolution=60";
        assert_eq!(
            read("cloudwatch", "PutMetricData", text).unwrap(),
            json!({"Namespace": "a b/c", "MetricData": [
                {"MetricName": "m", "Value": 1.5, "Timestamp": "2014-04-29T18:30:38Z",
                 "Dimensions": [{"Name": "d", "Value": "1"}]},
                {"MetricName": "n", "StorageResolution": 60},
                {"MetricName": "last"},
            ]})
        );
        assert_eq!(
            read("sts", "AssumeRole", "RoleArn=a&PolicyArns.member.1.arn=x&Tags=&DurationSeconds=900")
                .unwrap(),
            json!({"RoleArn": "a", "PolicyArns": [{"arn": "x"}], "Tags": [], "DurationSeconds": 900})
        );
        // the flattened form, and names that the model does not have
        assert_eq!(
            read("iam", "SimulatePrincipalPolicy", "ActionNames.1=a&ActionNames.2=b&Unheard.1.x=1").unwrap(),
            json!({"ActionNames": ["a", "b"]})
        );
    }

    #[test]
    fn bad_parameters() {
        let code = |text: &str| read("sts", "AssumeRole", text).unwrap_err().code;
        assert_eq!(code("DurationSeconds=soon"), "MalformedInput");
        for text in [
            "RoleArn=a&RoleArn.x=b",
            "RoleArn.x=b&RoleArn=a",
            "RoleArn.x=1",
            "Tags=x",
            "Tags.member.a.Key=k",
            "RoleArn=%ff",
        ] {
            assert_eq!(code(text), "MalformedQueryString", "{text}");
        }
        assert_eq!(code(&format!("{}x=1", "a.".repeat(1000))), "MalformedQueryString");
        assert_eq!(code(&"a&".repeat(30_000)), "MalformedQueryString");
    }

    fn text(response: Response) -> String {
        let body = http_body_util::BodyExt::collect(response.into_body());
        String::from_utf8(futures::FutureExt::now_or_never(body).unwrap().unwrap().to_bytes().to_vec())
            .unwrap()
    }

    #[test]
    fn answers_are_wrapped() {
        let api = Api::named("sts").unwrap();
        let operation = api.model().operation("AssumeRole").unwrap();
        let answer = json!({
            "Credentials": {"AccessKeyId": "A&B", "SecretAccessKey": "<s>", "SessionToken": "t\r\u{1}", "Expiration": 1398796238.0},
            "PackedPolicySize": 6,
        });
        let id = RequestId::fresh();
        let xml = text(reply(&api.metadata, api.model(), operation, &answer.into(), &id))
            .replace(id.as_str(), "ID");
        assert_eq!(
            xml,
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
             <Credentials><AccessKeyId>A&amp;B</AccessKeyId><SecretAccessKey>&lt;s&gt;</SecretAccessKey>\
             <SessionToken>t&#xD;\u{FFFD}</SessionToken><Expiration>2014-04-29T18:30:38.000Z</Expiration>\
             </Credentials><PackedPolicySize>6</PackedPolicySize></AssumeRoleResult><ResponseMetadata>\
             <RequestId>ID</RequestId></ResponseMetadata></AssumeRoleResponse>"
        );
    }

    #[test]
    fn lists_and_maps_are_elements() {
        let api = Api::named("cloudwatch").unwrap();
        let operation = api.model().operation("GetMetricData").unwrap();
        let answer = json!({"MetricDataResults": [{"Id": "a", "Timestamps": [0, 60], "Values": [1.0, 2.5]}]});
        let xml = text(reply(&api.metadata, api.model(), operation, &answer.into(), &RequestId::fresh()));
        assert!(
            xml.contains(
                "<MetricDataResults><member><Id>a</Id><Timestamps><member>1970-01-01T00:00:00.000Z</member>\
             <member>1970-01-01T00:01:00.000Z</member></Timestamps><Values><member>1.0</member>\
             <member>2.5</member></Values></member></MetricDataResults>"
            ),
            "{xml}"
        );
    }

    #[test]
    fn faults_have_the_code_and_status_of_the_model() {
        let api = Api::named("iam").unwrap();
        let id = RequestId::fresh();
        for code in ["NoSuchEntity", "NoSuchEntityException"] {
            let no = Fault::new(400, code, "The role with name <r> cannot be found.");
            let response = fault(Some((&api.metadata, api.model())), &no, &id);
            assert_eq!(response.status(), 404);
            assert_eq!(
                text(response).replace(id.as_str(), "ID"),
                "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type>\
                 <Code>NoSuchEntity</Code><Message>The role with name &lt;r&gt; cannot be found.</Message></Error>\
                 <RequestId>ID</RequestId></ErrorResponse>"
            );
        }
    }
}
