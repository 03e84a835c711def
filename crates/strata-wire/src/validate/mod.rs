//! Checks a document against an operation's input shape, in AWS's words.
//!
//! Two kinds of wrong: a value of the wrong type ends the check with a
//! `SerializationException`; broken constraints are gathered, and all of them are told at
//! once. What passes is in one form: times are seconds, members that the model does not
//! have are dropped (as AWS does), and so are nulls.

mod words;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::Fault;
use crate::model::{self, Kind, Length, Metadata, Model, Operation, Range, ShapeId, Structure};
use crate::times;

/// Broken constraints that one error tells; the rest is not looked for.
const MOST_TOLD: usize = 32;

/// Levels of a document. The readers allow no more, but a handler's own documents come here too.
const DEEPEST: usize = 160;

/// Checks `document` and brings it into the form that handlers get. `payload` is the length
/// of the HTTP body where a member of the input is that body.
pub fn validate(
    metadata: &Metadata,
    model: &Model,
    operation: &Operation,
    document: &mut Value,
    payload: Option<usize>,
) -> Result<(), Fault> {
    let Some(input) = operation.input else {
        *document = Value::Object(Map::new());
        return Ok(());
    };
    let mut check = Check { model, path: String::new(), told: Vec::new(), depth: 0 };
    check.value(input, document, payload)?;
    match check.told.as_slice() {
        [] => Ok(()),
        told => {
            let (errors, message) = (if told.len() == 1 { "error" } else { "errors" }, told.join("; "));
            let message = format!("{} validation {errors} detected: {message}", told.len());
            Err(Fault::new(400, code(metadata, model, operation), message))
        }
    }
}

/// What this service calls a broken constraint: the model tells by the errors it lists.
fn code(metadata: &Metadata, model: &Model, operation: &Operation) -> &'static str {
    let lists = |name: &str| operation.errors.iter().any(|id| model.shape(*id).name == name);
    if metadata.speaks("query") || lists("ValidationError") {
        "ValidationError"
    } else if lists("InvalidParameterException") && !lists("ValidationException") {
        "InvalidParameterException"
    } else {
        "ValidationException"
    }
}

struct Check<'m> {
    model: &'m Model,
    /// Where we are, as AWS writes it: `inputDataConfig.1.member.channelName`.
    path: String,
    told: Vec<String>,
    depth: usize,
}

impl Check<'_> {
    fn value(&mut self, id: ShapeId, value: &mut Value, payload: Option<usize>) -> Result<(), Fault> {
        if self.depth >= DEEPEST {
            return Err(self.wrong_type("the document is nested too deeply".into()));
        }
        self.depth += 1;
        let model = self.model;
        match &model.shape(id).kind {
            Kind::Structure(structure) => match value {
                Value::Object(members) => self.structure(structure, members, payload)?,
                other => return Err(self.mismatch(other, "a Structure")),
            },
            Kind::List(list) => match value {
                Value::Array(items) => self.list(id, list, items)?,
                other => return Err(self.mismatch(other, "a List")),
            },
            Kind::Map(map) => match value {
                Value::Object(entries) => self.map(id, map, entries)?,
                other => return Err(self.mismatch(other, "a Map")),
            },
            _ => {
                self.convert(id, value)?;
                let path = self.path.len();
                for constraint in broken(self.model, id, value) {
                    self.tell(id, value, &constraint);
                }
                debug_assert_eq!(path, self.path.len());
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn structure(
        &mut self,
        structure: &Structure,
        members: &mut Map<String, Value>,
        payload: Option<usize>,
    ) -> Result<(), Fault> {
        members.retain(|name, value| !value.is_null() && structure.member(name).is_some());
        for (index, member) in structure.members.iter().enumerate() {
            let before = self.step(member.name);
            if payload.is_some() && structure.payload == Some(index) {
                if let (Kind::Blob(length), Some(bytes)) = (&self.model.shape(member.shape).kind, payload) {
                    for constraint in words::broken_length(*length, bytes as u64) {
                        self.tell_bare(&constraint);
                    }
                }
            } else if let Some(value) = members.get_mut(member.name) {
                self.value(member.shape, value, None)?;
            } else if member.required {
                self.tell_null();
            }
            self.path.truncate(before);
        }
        if structure.union && members.len() != 1 {
            let names: Vec<&str> = members.keys().map(String::as_str).collect();
            let found = if names.is_empty() { "none".into() } else { names.join(", ") };
            return Err(
                self.wrong_type(format!("exactly one member of the union must be set, found {found}"))
            );
        }
        Ok(())
    }

    fn list(&mut self, id: ShapeId, list: &model::List, items: &mut [Value]) -> Result<(), Fault> {
        let mut item_breaks = false;
        for (index, item) in items.iter_mut().enumerate() {
            let before = self.path.len();
            self.path.push_str(&format!(".{}.member", index + 1));
            if item.is_null() {
                self.tell_null();
            } else if words::is_scalar(self.model, list.member) {
                self.convert(list.member, item)?;
                item_breaks = item_breaks || !broken(self.model, list.member, item).is_empty();
            } else if self.told.len() < MOST_TOLD {
                self.value(list.member, item, None)?;
            }
            self.path.truncate(before);
        }
        let mut constraints = words::broken_length(list.length, items.len() as u64);
        if item_breaks {
            let all = words::constraints(self.model, list.member).join(", ");
            constraints.push(format!("Member must satisfy constraint: [{all}]"));
        }
        if !constraints.is_empty() {
            let shown = words::show_list(self.model, id, items);
            for constraint in constraints {
                self.tell_shown(shown.as_deref(), &constraint);
            }
        }
        Ok(())
    }

    fn map(&mut self, id: ShapeId, map: &model::Map, entries: &mut Map<String, Value>) -> Result<(), Fault> {
        entries.retain(|_, value| !value.is_null());
        let (mut key_breaks, mut value_breaks) = (false, false);
        for (key, value) in entries.iter_mut() {
            key_breaks = key_breaks || !words::broken_text(self.model, map.key, key).is_empty();
            let before = self.path.len();
            self.path.push('.');
            self.path.extend(key.chars().take(128));
            self.path.push_str(".member");
            if words::is_scalar(self.model, map.value) {
                self.convert(map.value, value)?;
                value_breaks = value_breaks || !broken(self.model, map.value, value).is_empty();
            } else if self.told.len() < MOST_TOLD {
                self.value(map.value, value, None)?;
            }
            self.path.truncate(before);
        }
        let mut constraints = words::broken_length(map.length, entries.len() as u64);
        for (breaks, what, shape) in
            [(key_breaks, "Map keys", map.key), (value_breaks, "Map value", map.value)]
        {
            if breaks {
                let all = words::constraints(self.model, shape).join(", ");
                constraints.push(format!("{what} must satisfy constraint: [{all}]"));
            }
        }
        if !constraints.is_empty() {
            let shown = words::show_map(self.model, id, entries);
            for constraint in constraints {
                self.tell_shown(shown.as_deref(), &constraint);
            }
        }
        Ok(())
    }

    /// Brings a scalar into its one form, or says why it has the wrong type.
    fn convert(&self, id: ShapeId, value: &mut Value) -> Result<(), Fault> {
        let wanted = match &self.model.shape(id).kind {
            Kind::Text(_) if value.is_string() => return Ok(()),
            Kind::Text(_) => "a String",
            Kind::Boolean if value.is_boolean() => return Ok(()),
            Kind::Boolean => "a Boolean",
            Kind::Integer(_) => match whole(value) {
                Some(n) if i32::try_from(n).is_ok() => {
                    *value = n.into();
                    return Ok(());
                }
                _ => "an Integer",
            },
            Kind::Long(_) => match whole(value) {
                Some(n) => {
                    *value = n.into();
                    return Ok(());
                }
                None => "a Long",
            },
            Kind::Float(_) | Kind::Double(_) => match value {
                Value::Number(_) => return Ok(()),
                Value::String(word) if matches!(word.as_str(), "NaN" | "Infinity" | "-Infinity") => {
                    return Ok(());
                }
                _ => "a Double",
            },
            Kind::Timestamp(_) => match times::read(value) {
                Some(seconds) => {
                    *value = seconds.into();
                    return Ok(());
                }
                None => "milliseconds since epoch",
            },
            Kind::Blob(_) => match value {
                Value::String(text) if STANDARD.decode(text.as_bytes()).is_ok() => return Ok(()),
                Value::String(_) => return Err(self.wrong_type("not valid base64".into())),
                _ => "a Blob",
            },
            Kind::Document | Kind::Structure(_) | Kind::List(_) | Kind::Map(_) => return Ok(()),
        };
        Err(self.mismatch(value, wanted))
    }

    fn mismatch(&self, value: &Value, wanted: &str) -> Fault {
        let token = match value {
            Value::Object(_) => {
                return self.wrong_type("Start of structure or map found where not expected".into());
            }
            Value::Array(_) => return self.wrong_type("Start of list found where not expected".into()),
            Value::Null => "NULL_VALUE",
            Value::Bool(true) => "TRUE_VALUE",
            Value::Bool(false) => "FALSE_VALUE",
            Value::Number(_) => "NUMBER_VALUE",
            Value::String(_) => "STRING_VALUE",
        };
        self.wrong_type(format!("{token} can not be converted to {wanted}"))
    }

    /// AWS's sentence, and the place, which AWS leaves out.
    fn wrong_type(&self, sentence: String) -> Fault {
        let place = if self.path.is_empty() { String::new() } else { format!(" (at '{}')", self.path) };
        Fault::new(400, "SerializationException", sentence + &place)
    }

    fn tell(&mut self, id: ShapeId, value: &Value, constraint: &str) {
        let shown = words::show(self.model, id, value);
        self.tell_shown(shown.as_deref(), constraint);
    }

    fn tell_shown(&mut self, shown: Option<&str>, constraint: &str) {
        match shown {
            Some(shown) => self.push(format!(
                "Value '{shown}' at '{}' failed to satisfy constraint: {constraint}",
                self.path
            )),
            None => self.tell_bare(constraint),
        }
    }

    /// For values that are not to be repeated: secrets, and whole bodies.
    fn tell_bare(&mut self, constraint: &str) {
        self.push(format!("Value at '{}' failed to satisfy constraint: {constraint}", self.path));
    }

    fn tell_null(&mut self) {
        self.push(format!(
            "Value null at '{}' failed to satisfy constraint: Member must not be null",
            self.path
        ));
    }

    fn push(&mut self, told: String) {
        if self.told.len() < MOST_TOLD {
            self.told.push(told);
        }
    }

    /// Goes to a member; AWS writes its first letter small. Gives the length to come back to.
    fn step(&mut self, member: &str) -> usize {
        let before = self.path.len();
        if before > 0 {
            self.path.push('.');
        }
        let mut letters = member.chars();
        if let Some(first) = letters.next() {
            self.path.push(first.to_ascii_lowercase());
        }
        self.path.push_str(letters.as_str());
        before
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(n) => n.as_i64().or_else(|| {
            let n = n.as_f64()?;
            // Past 2^53 a float has no exact neighbours; nobody counts that far.
            (n.fract() == 0.0 && n.abs() <= 9_007_199_254_740_992.0).then_some(n as i64)
        }),
        _ => None,
    }
}

/// The constraints of a scalar's shape that the (converted) value breaks.
fn broken(model: &Model, id: ShapeId, value: &Value) -> Vec<String> {
    match (&model.shape(id).kind, value) {
        (Kind::Text(_), Value::String(text)) => words::broken_text(model, id, text),
        (Kind::Blob(length), Value::String(text)) if *length != Length::default() => {
            let bytes = STANDARD.decode(text.as_bytes()).map_or(0, |bytes| bytes.len());
            words::broken_length(*length, bytes as u64)
        }
        (
            Kind::Integer(range) | Kind::Long(range) | Kind::Float(range) | Kind::Double(range),
            Value::Number(number),
        ) if *range != Range::default() => words::broken_range(*range, number.as_f64().unwrap_or(0.0)),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
