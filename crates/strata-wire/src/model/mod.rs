//! The service models in memory: what operations, shapes and constraints a service has.
//!
//! Made from `apis/*.json` (see `cargo xtask apis`), which are part of the binary. Names are
//! slices of that text, so the largest model takes about a megabyte beyond it. A model is
//! read when the first request for its service comes; its metadata line alone is enough to
//! know for which service that is.

mod parse;
mod pattern;

use std::sync::LazyLock;

pub use parse::Metadata;
pub use pattern::Pattern;

/// A service model: the file's name, and the file.
pub struct Api {
    /// The file's name in `apis/`, which is also how the rest of the code calls the service.
    pub name: &'static str,
    pub metadata: LazyLock<Metadata, Box<dyn FnOnce() -> Metadata + Send>>,
    model: LazyLock<Model, Box<dyn FnOnce() -> Model + Send>>,
}

impl Api {
    fn new(name: &'static str, text: &'static str) -> Self {
        Self {
            name,
            metadata: LazyLock::new(Box::new(move || parse::metadata(name, text))),
            model: LazyLock::new(Box::new(move || parse::model(name, text))),
        }
    }

    /// The whole model; reads it at the first call.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Every model in this binary, in alphabetical order.
    pub fn all() -> &'static [Api] {
        static APIS: LazyLock<Vec<Api>> = LazyLock::new(|| {
            vec![
                Api::new("cloudwatch", include_str!("../../../../apis/cloudwatch.json")),
                Api::new("iam", include_str!("../../../../apis/iam.json")),
                Api::new("logs", include_str!("../../../../apis/logs.json")),
                Api::new("sagemaker", include_str!("../../../../apis/sagemaker.json")),
                Api::new("sagemaker-runtime", include_str!("../../../../apis/sagemaker-runtime.json")),
                Api::new("sts", include_str!("../../../../apis/sts.json")),
            ]
        });
        &APIS
    }

    pub fn named(name: &str) -> Option<&'static Api> {
        Self::all().iter().find(|api| api.name == name)
    }
}

/// The operations (sorted by name) and shapes of one service.
pub struct Model {
    pub name: &'static str,
    operations: Vec<Operation>,
    shapes: Vec<Shape>,
}

impl Model {
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        let at = self.operations.binary_search_by(|operation| operation.name.cmp(name)).ok()?;
        self.operations.get(at)
    }

    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The shape of an id that this model gave out.
    pub fn shape(&self, id: ShapeId) -> &Shape {
        &self.shapes[id.0 as usize]
    }

    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// The structure behind an operation's input, output or error.
    pub fn structure(&self, id: ShapeId) -> Option<&Structure> {
        match &self.shape(id).kind {
            Kind::Structure(structure) => Some(structure),
            _ => None,
        }
    }

    /// The error shape that is called `code`, or whose code in the Query protocol is that.
    pub fn error(&self, code: &str) -> Option<(&Shape, &ErrorTrait)> {
        let errors = || {
            self.shapes.iter().filter_map(|shape| match &shape.kind {
                Kind::Structure(structure) => structure.error.as_ref().map(|error| (shape, error)),
                _ => None,
            })
        };
        errors()
            .find(|(shape, _)| shape.name == code)
            .or_else(|| errors().find(|(_, error)| error.code == Some(code)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeId(u32);

pub struct Operation {
    pub name: &'static str,
    pub method: &'static str,
    /// `/`, or a REST path with `{labels}` and perhaps a constant query.
    pub uri: &'static str,
    pub input: Option<ShapeId>,
    pub output: Option<ShapeId>,
    /// The Query protocol's element around the output, e.g. `GetCallerIdentityResult`.
    pub wrapper: Option<&'static str>,
    pub errors: Vec<ShapeId>,
    /// Status of a good answer.
    pub status: u16,
}

pub struct Shape {
    pub name: &'static str,
    pub kind: Kind,
    /// Values are not repeated in error messages.
    pub sensitive: bool,
}

pub enum Kind {
    Structure(Box<Structure>),
    List(List),
    Map(Map),
    Text(Box<Text>),
    /// Base64 text in documents; lengths count the decoded bytes.
    Blob(Length),
    Boolean,
    Integer(Range),
    Long(Range),
    Float(Range),
    Double(Range),
    Timestamp(Option<TimeFormat>),
    /// Any JSON.
    Document,
}

#[derive(Default)]
pub struct Structure {
    /// In the model's order.
    pub members: Vec<Member>,
    /// Exactly one member may be there.
    pub union: bool,
    /// Index of the member that is the whole HTTP body.
    pub payload: Option<usize>,
    pub error: Option<ErrorTrait>,
}

impl Structure {
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

/// What makes a structure an error.
#[derive(Default)]
pub struct ErrorTrait {
    /// The code in the Query protocol, where it is not the shape's name.
    pub code: Option<&'static str>,
    pub status: Option<u16>,
    /// The service is at fault (5xx), not the sender.
    pub fault: bool,
}

pub struct Member {
    pub name: &'static str,
    pub shape: ShapeId,
    pub required: bool,
    pub location: Location,
    /// The name on the wire where it differs, e.g. of a header.
    pub wire_name: Option<&'static str>,
    /// Query and XML: a list or map without an element of its own around it.
    pub flattened: bool,
    pub time_format: Option<TimeFormat>,
}

impl Member {
    pub fn wire_name(&self) -> &'static str {
        self.wire_name.unwrap_or(self.name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    Body,
    Uri,
    QueryString,
    Header,
    /// A header prefix and a map.
    Headers,
    StatusCode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    Seconds,
    Iso8601,
    /// `Tue, 29 Apr 2014 18:30:38 GMT`.
    HttpDate,
}

pub struct List {
    pub member: ShapeId,
    pub member_name: Option<&'static str>,
    pub flattened: bool,
    pub length: Length,
}

pub struct Map {
    pub key: ShapeId,
    pub key_name: Option<&'static str>,
    pub value: ShapeId,
    pub value_name: Option<&'static str>,
    pub flattened: bool,
    pub length: Length,
}

#[derive(Default)]
pub struct Text {
    pub length: Length,
    pub pattern: Option<Pattern>,
    /// The allowed words; empty where any is.
    pub words: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Length {
    pub min: Option<u64>,
    pub max: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Range {
    pub min: Option<f64>,
    pub max: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_reads_and_is_closed() {
        for api in Api::all() {
            let model = api.model();
            assert!(!model.operations().is_empty(), "{}", api.name);
            assert!(!api.metadata.protocols.is_empty(), "{}", api.name);
            for operation in model.operations() {
                assert!(model.operation(operation.name).is_some());
                for id in operation.input.iter().chain(&operation.output).chain(&operation.errors) {
                    assert!(model.structure(*id).is_some(), "{}.{}", api.name, operation.name);
                }
            }
        }
    }

    #[test]
    fn constraints_arrive() {
        let model = Api::named("sagemaker").unwrap().model();
        let create = model.operation("CreateTrainingJob").unwrap();
        let input = model.structure(create.input.unwrap()).unwrap();
        let name = input.member("TrainingJobName").unwrap();
        assert!(name.required);
        let Kind::Text(text) = &model.shape(name.shape).kind else { panic!("a string") };
        assert_eq!(text.length, Length { min: Some(1), max: Some(63) });
        assert!(text.pattern.as_ref().unwrap().matches("my-job-1"));
        assert!(!text.pattern.as_ref().unwrap().matches("my_job"));
    }

    #[test]
    fn bindings_arrive() {
        let model = Api::named("sagemaker-runtime").unwrap().model();
        let invoke = model.operation("InvokeEndpoint").unwrap();
        assert_eq!((invoke.method, invoke.uri), ("POST", "/endpoints/{EndpointName}/invocations"));
        let input = model.structure(invoke.input.unwrap()).unwrap();
        assert_eq!(input.members[input.payload.unwrap()].name, "Body");
        let variant = input.member("TargetVariant").unwrap();
        assert_eq!(variant.location, Location::Header);
        assert_eq!(variant.wire_name(), "X-Amzn-SageMaker-Target-Variant");
        let (_, error) = model.error("ModelError").unwrap();
        assert_eq!(error.status, Some(424));
    }

    #[test]
    fn errors_are_found_by_either_code() {
        let model = Api::named("iam").unwrap().model();
        assert_eq!(model.error("NoSuchEntity").unwrap().0.name, "NoSuchEntityException");
        assert_eq!(model.error("NoSuchEntityException").unwrap().1.code, Some("NoSuchEntity"));
    }
}
