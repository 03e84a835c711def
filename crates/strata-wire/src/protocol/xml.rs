//! XML text of documents, as the Query protocol answers.

use serde_json::Value;

use crate::model::{Kind, Model, ShapeId, Structure, TimeFormat};
use crate::times;

/// Writes the members of a structure as elements.
pub fn write_structure(model: &Model, structure: &Structure, document: &Value, out: &mut String) {
    for member in &structure.members {
        match document.get(member.name) {
            None | Some(Value::Null) => {}
            Some(value) => {
                let style = Style { flattened: member.flattened, format: member.time_format };
                write(model, member.shape, member.wire_name(), style, value, out);
            }
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Style {
    flattened: bool,
    format: Option<TimeFormat>,
}

fn write(model: &Model, id: ShapeId, name: &str, style: Style, value: &Value, out: &mut String) {
    match (&model.shape(id).kind, value) {
        (Kind::Structure(structure), Value::Object(_)) => {
            open(name, out);
            write_structure(model, structure, value, out);
            close(name, out);
        }
        (Kind::List(list), Value::Array(items)) => {
            let flattened = style.flattened || list.flattened;
            let item_name = match flattened {
                true => name,
                false => list.member_name.unwrap_or("member"),
            };
            if !flattened {
                open(name, out);
            }
            for item in items {
                write(model, list.member, item_name, Style::default(), item, out);
            }
            if !flattened {
                close(name, out);
            }
        }
        (Kind::Map(map), Value::Object(entries)) => {
            let flattened = style.flattened || map.flattened;
            let entry_name = if flattened { name } else { "entry" };
            if !flattened {
                open(name, out);
            }
            for (key, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
                open(entry_name, out);
                let key_name = map.key_name.unwrap_or("key");
                write(model, map.key, key_name, Style::default(), &Value::String(key.clone()), out);
                write(model, map.value, map.value_name.unwrap_or("value"), Style::default(), value, out);
                close(entry_name, out);
            }
            if !flattened {
                close(name, out);
            }
        }
        (kind, value) => {
            open(name, out);
            match (kind, value) {
                (Kind::Timestamp(own), value) => match value.as_f64() {
                    Some(seconds) => {
                        let format = style.format.or(*own).unwrap_or(TimeFormat::Iso8601);
                        escape(&times::write(seconds, format), out);
                    }
                    None => escape(value.as_str().unwrap_or_default(), out),
                },
                (_, Value::String(text)) => escape(text, out),
                (_, Value::Null) => {}
                (_, value) => escape(&value.to_string(), out),
            }
            close(name, out);
        }
    }
}

pub fn open(name: &str, out: &mut String) {
    out.push('<');
    out.push_str(name);
    out.push('>');
}

pub fn close(name: &str, out: &mut String) {
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

pub fn element(name: &str, text: &str, out: &mut String) {
    open(name, out);
    escape(text, out);
    close(name, out);
}

/// Text between tags. What XML 1.0 has no way to say becomes the replacement character.
pub fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Readers would turn a bare one into a line feed.
            '\r' => out.push_str("&#xD;"),
            '\t' | '\n' => out.push(c),
            '\u{0}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => out.push('\u{FFFD}'),
            other => out.push(other),
        }
    }
}
