//! The sentences of constraints, and values as AWS prints them (in Java's way).

use serde_json::{Map, Value};

use crate::model::{Kind, Length, Model, Range, ShapeId};

/// Characters of a value that an error repeats. AWS repeats all; a megabyte helps nobody.
const MOST_SHOWN: usize = 1024;

pub fn is_scalar(model: &Model, id: ShapeId) -> bool {
    !matches!(model.shape(id).kind, Kind::Structure(_) | Kind::List(_) | Kind::Map(_))
}

pub fn broken_text(model: &Model, id: ShapeId, text: &str) -> Vec<String> {
    let Kind::Text(rules) = &model.shape(id).kind else { return Vec::new() };
    let mut broken = Vec::new();
    if rules.length != Length::default() {
        // Smithy counts code points.
        broken = broken_length(rules.length, text.chars().count() as u64);
    }
    if rules.pattern.as_ref().is_some_and(|pattern| !pattern.matches(text)) {
        broken.extend(rules.pattern.as_ref().map(|pattern| pattern_sentence(pattern.source)));
    }
    if !rules.words.is_empty() && !rules.words.contains(&text) {
        broken.push(words_sentence(&rules.words));
    }
    broken
}

pub fn broken_length(length: Length, found: u64) -> Vec<String> {
    let mut broken = Vec::new();
    if let Some(max) = length.max.filter(|max| found > *max) {
        broken.push(format!("Member must have length less than or equal to {max}"));
    }
    if let Some(min) = length.min.filter(|min| found < *min) {
        broken.push(format!("Member must have length greater than or equal to {min}"));
    }
    broken
}

pub fn broken_range(range: Range, found: f64) -> Vec<String> {
    let mut broken = Vec::new();
    if let Some(max) = range.max.filter(|max| found > *max) {
        broken.push(format!("Member must have value less than or equal to {max}"));
    }
    if let Some(min) = range.min.filter(|min| found < *min) {
        broken.push(format!("Member must have value greater than or equal to {min}"));
    }
    broken
}

/// Every constraint of a scalar: what AWS tells when an item of a list or map breaks one.
pub fn constraints(model: &Model, id: ShapeId) -> Vec<String> {
    let mut all = Vec::new();
    match &model.shape(id).kind {
        Kind::Text(rules) => {
            all.extend(length_sentences(rules.length));
            all.extend(rules.pattern.as_ref().map(|pattern| pattern_sentence(pattern.source)));
            if !rules.words.is_empty() {
                all.push(words_sentence(&rules.words));
            }
        }
        Kind::Blob(length) => all.extend(length_sentences(*length)),
        Kind::Integer(range) | Kind::Long(range) | Kind::Float(range) | Kind::Double(range) => {
            all.extend(range.max.map(|max| format!("Member must have value less than or equal to {max}")));
            all.extend(range.min.map(|min| format!("Member must have value greater than or equal to {min}")));
        }
        _ => {}
    }
    all
}

/// A length with an upper bound only is told with the lower bound 0.
fn length_sentences(length: Length) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(max) = length.max {
        all.push(format!("Member must have length less than or equal to {max}"));
    }
    if length.max.or(length.min).is_some() {
        let min = length.min.unwrap_or(0);
        all.push(format!("Member must have length greater than or equal to {min}"));
    }
    all
}

fn pattern_sentence(pattern: &str) -> String {
    format!("Member must satisfy regular expression pattern: {pattern}")
}

fn words_sentence(words: &[&str]) -> String {
    format!("Member must satisfy enum value set: [{}]", words.join(", "))
}

/// A value as AWS prints it: `text`, `[a, b]`, `{k=v}`, `Tag(key=a, value=b)`. `None` where
/// it holds a secret.
pub fn show(model: &Model, id: ShapeId, value: &Value) -> Option<String> {
    let mut shown = Shown { text: String::new(), room: MOST_SHOWN };
    shown.value(model, id, value).then(|| shown.finish())
}

pub fn show_list(model: &Model, id: ShapeId, items: &[Value]) -> Option<String> {
    let mut shown = Shown { text: String::new(), room: MOST_SHOWN };
    shown.list(model, id, items).then(|| shown.finish())
}

pub fn show_map(model: &Model, id: ShapeId, entries: &Map<String, Value>) -> Option<String> {
    let mut shown = Shown { text: String::new(), room: MOST_SHOWN };
    shown.object(model, id, entries).then(|| shown.finish())
}

/// Text that stops growing when it is long enough.
struct Shown {
    text: String,
    room: usize,
}

impl Shown {
    fn finish(mut self) -> String {
        if self.room == 0 {
            self.text.push_str("...");
        }
        self.text
    }

    fn push(&mut self, text: &str) {
        for c in text.chars().take(self.room) {
            self.text.push(c);
            self.room -= 1;
        }
    }

    /// False where the value is not to be shown.
    fn value(&mut self, model: &Model, id: ShapeId, value: &Value) -> bool {
        if model.shape(id).sensitive {
            return false;
        }
        match value {
            Value::Null => self.push("null"),
            Value::Bool(b) => self.push(if *b { "true" } else { "false" }),
            Value::Number(n) => self.push(&n.to_string()),
            Value::String(text) => self.push(text),
            Value::Array(items) => return self.list(model, id, items),
            Value::Object(members) => return self.object(model, id, members),
        }
        true
    }

    fn list(&mut self, model: &Model, id: ShapeId, items: &[Value]) -> bool {
        let shape = model.shape(id);
        let Kind::List(list) = &shape.kind else { return false };
        if shape.sensitive {
            return false;
        }
        self.push("[");
        for (index, item) in items.iter().enumerate() {
            if self.room == 0 {
                break;
            }
            if index > 0 {
                self.push(", ");
            }
            if !self.value(model, list.member, item) {
                return false;
            }
        }
        self.push("]");
        true
    }

    fn object(&mut self, model: &Model, id: ShapeId, members: &Map<String, Value>) -> bool {
        let shape = model.shape(id);
        if shape.sensitive {
            return false;
        }
        let (open, close) = match &shape.kind {
            Kind::Structure(_) => {
                self.push(shape.name);
                ("(", ")")
            }
            _ => ("{", "}"),
        };
        self.push(open);
        for (index, (name, value)) in members.iter().enumerate() {
            if self.room == 0 {
                break;
            }
            if index > 0 {
                self.push(", ");
            }
            let inner = match &shape.kind {
                Kind::Structure(structure) => structure.member(name).map(|member| member.shape),
                Kind::Map(map) => Some(map.value),
                _ => None,
            };
            self.push(name);
            self.push("=");
            if !inner.is_some_and(|inner| self.value(model, inner, value)) {
                return false;
            }
        }
        self.push(close);
        true
    }
}
