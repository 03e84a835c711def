//! A bounded reader of UBJSON (draft 12, as XGBoost writes it) behind serde.
//!
//! It never allocates more than the file could hold, and refuses nesting beyond what any
//! model needs, so a hostile file costs no more than a good one of its size.

use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, Visitor};

const DEPTH: usize = 64;

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum UbjError {
    #[error("ends at byte {0}, in the middle of a value")]
    Ends(usize),
    #[error("has the unknown marker {marker:#04x} at byte {at}")]
    Marker { marker: u8, at: usize },
    #[error("is nested deeper than 64 levels at byte {0}")]
    Deep(usize),
    #[error("has a length below zero at byte {0}")]
    Length(usize),
    #[error("has text that is not UTF-8 at byte {0}")]
    Utf8(usize),
    #[error("goes on after its end at byte {0}")]
    Trailing(usize),
    #[error("{0}")]
    Content(String),
}

impl de::Error for UbjError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Content(message.to_string())
    }
}

pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, UbjError> {
    let mut reader = Reader { bytes, at: 0, depth: 0 };
    let value = T::deserialize(&mut reader)?;
    if reader.at != bytes.len() {
        return Err(UbjError::Trailing(reader.at));
    }
    Ok(value)
}

struct Reader<'de> {
    bytes: &'de [u8],
    at: usize,
    depth: usize,
}

impl<'de> Reader<'de> {
    fn take(&mut self, count: usize) -> Result<&'de [u8], UbjError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(UbjError::Ends(self.at))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], UbjError> {
        let at = self.at;
        self.take(N)?.try_into().map_err(|_| UbjError::Ends(at))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next marker, past no-ops.
    fn marker(&mut self) -> Result<u8, UbjError> {
        loop {
            let [marker] = self.array()?;
            if marker != b'N' {
                return Ok(marker);
            }
        }
    }

    fn integer(&mut self, marker: u8) -> Result<i64, UbjError> {
        Ok(match marker {
            b'i' => i64::from(i8::from_be_bytes(self.array()?)),
            b'U' => i64::from(u8::from_be_bytes(self.array()?)),
            b'I' => i64::from(i16::from_be_bytes(self.array()?)),
            b'l' => i64::from(i32::from_be_bytes(self.array()?)),
            b'L' => i64::from_be_bytes(self.array()?),
            _ => return Err(UbjError::Marker { marker, at: self.at - 1 }),
        })
    }

    fn length(&mut self) -> Result<usize, UbjError> {
        let at = self.at;
        let marker = self.marker()?;
        usize::try_from(self.integer(marker)?).map_err(|_| UbjError::Length(at))
    }

    fn text(&mut self) -> Result<&'de str, UbjError> {
        let length = self.length()?;
        let at = self.at;
        std::str::from_utf8(self.take(length)?).map_err(|_| UbjError::Utf8(at))
    }

    fn value<V: Visitor<'de>>(&mut self, marker: u8, visitor: V) -> Result<V::Value, UbjError> {
        match marker {
            b'Z' => visitor.visit_unit(),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'i' | b'U' | b'I' | b'l' | b'L' => match self.integer(marker)? {
                value @ 0.. => visitor.visit_u64(value as u64),
                value => visitor.visit_i64(value),
            },
            b'd' => visitor.visit_f32(f32::from_be_bytes(self.array()?)),
            b'D' => visitor.visit_f64(f64::from_be_bytes(self.array()?)),
            b'C' => {
                let [letter] = self.array()?;
                visitor.visit_char(char::from(letter))
            }
            b'S' | b'H' => {
                let text = self.text()?;
                visitor.visit_borrowed_str(text)
            }
            b'[' => self.nested(|reader| {
                let (element, left) = reader.header()?;
                let mut items = Items { reader, element, left, end: b']', done: false };
                let value = visitor.visit_seq(&mut items)?;
                items.close()?;
                Ok(value)
            }),
            b'{' => self.nested(|reader| {
                let (element, left) = reader.header()?;
                let mut items = Items { reader, element, left, end: b'}', done: false };
                let value = visitor.visit_map(&mut items)?;
                items.close()?;
                Ok(value)
            }),
            _ => Err(UbjError::Marker { marker, at: self.at.saturating_sub(1) }),
        }
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, UbjError>) -> Result<T, UbjError> {
        if self.depth == DEPTH {
            return Err(UbjError::Deep(self.at));
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// The optional element type and count at the head of a container.
    fn header(&mut self) -> Result<(Option<u8>, Option<usize>), UbjError> {
        let mut element = None;
        if self.peek() == Some(b'$') {
            let [_, marker] = self.array()?;
            // Elements without bytes would let a short file claim an endless array.
            if !matches!(marker, b'i' | b'U' | b'I' | b'l' | b'L' | b'd' | b'D' | b'C' | b'S' | b'H') {
                return Err(UbjError::Marker { marker, at: self.at - 1 });
            }
            element = Some(marker);
        }
        let mut count = None;
        if self.peek() == Some(b'#') {
            self.at += 1;
            count = Some(self.length()?);
        } else if element.is_some() {
            return Err(UbjError::Marker { marker: self.peek().unwrap_or(0), at: self.at });
        }
        Ok((element, count))
    }
}

impl<'de> de::Deserializer<'de> for &mut Reader<'de> {
    type Error = UbjError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjError> {
        let marker = self.marker()?;
        self.value(marker, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjError> {
        if self.peek() == Some(b'Z') {
            self.at += 1;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A value whose marker was read already (elements of a typed array).
struct Marked<'a, 'de> {
    reader: &'a mut Reader<'de>,
    marker: u8,
}

impl<'de> de::Deserializer<'de> for Marked<'_, 'de> {
    type Error = UbjError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjError> {
        self.reader.value(self.marker, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjError> {
        visitor.visit_some(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The elements of an array or the members of an object.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    element: Option<u8>,
    left: Option<usize>,
    end: u8,
    done: bool,
}

impl Items<'_, '_> {
    /// Whether another item follows.
    fn more(&mut self) -> Result<bool, UbjError> {
        if self.done {
            return Ok(false);
        }
        match &mut self.left {
            Some(0) => self.done = true,
            Some(left) => *left -= 1,
            None => {
                while self.reader.peek() == Some(b'N') {
                    self.reader.at += 1;
                }
                if self.reader.peek() == Some(self.end) {
                    self.reader.at += 1;
                    self.done = true;
                }
            }
        }
        Ok(!self.done)
    }

    fn element<'de, S: DeserializeSeed<'de>>(
        reader: &mut Reader<'de>,
        element: Option<u8>,
        seed: S,
    ) -> Result<S::Value, UbjError> {
        match element {
            Some(marker) => seed.deserialize(Marked { reader, marker }),
            None => seed.deserialize(reader),
        }
    }

    fn close(&mut self) -> Result<(), UbjError> {
        if self.more()? {
            return Err(UbjError::Content(format!(
                "has more elements than wanted at byte {}",
                self.reader.at
            )));
        }
        Ok(())
    }
}

impl<'de> de::SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = UbjError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, UbjError> {
        if !self.more()? {
            return Ok(None);
        }
        Items::element(self.reader, self.element, seed).map(Some)
    }

    // No size hint: the count is the file's claim, not yet its bytes.
}

impl<'de> de::MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = UbjError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, UbjError> {
        if !self.more()? {
            return Ok(None);
        }
        let key = self.reader.text()?;
        seed.deserialize(de::value::BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, UbjError> {
        Items::element(self.reader, self.element, seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn check(bytes: &[u8], expected: Value) {
        assert_eq!(from_slice::<Value>(bytes), Ok(expected), "{}", String::from_utf8_lossy(bytes));
    }

    #[test]
    fn values_of_every_kind_are_read() {
        check(b"{}", json!({}));
        check(b"{i\x01aSi\x02hi}", json!({"a": "hi"}));
        check(b"[#i\x03i\x01U\xffl\xff\xff\xff\xff", json!([1, 255, -1]));
        check(b"[$l#L\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x07\x00\x00\x00\x08", json!([7, 8]));
        check(b"[$d#i\x01\x3f\x80\x00\x00", json!([1.0]));
        check(b"[$U#i\x00", json!([]));
        check(b"[TFZN]", json!([true, false, null]));
        check(b"{#i\x01i\x01aD\x3f\xf0\x00\x00\x00\x00\x00\x00", json!({"a": 1.0}));
    }

    #[test]
    fn broken_files_are_refused() {
        let fails = |bytes: &[u8]| from_slice::<Value>(bytes).unwrap_err().to_string();
        assert_eq!(fails(b""), "ends at byte 0, in the middle of a value");
        assert_eq!(fails(b"{i\x05ab"), "ends at byte 3, in the middle of a value");
        assert_eq!(fails(b"[$Z#L\x7f\xff\xff\xff\xff\xff\xff\xff"), "has the unknown marker 0x5a at byte 2");
        assert_eq!(
            fails(b"[$U#L\x7f\xff\xff\xff\xff\xff\xff\xff"),
            "ends at byte 13, in the middle of a value"
        );
        assert_eq!(fails(b"[#i\xff"), "has a length below zero at byte 2");
        assert_eq!(fails(&[b'['; 1000]), "is nested deeper than 64 levels at byte 65");
        assert_eq!(fails(b"{}x"), "goes on after its end at byte 2");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = from_slice::<Value>(&bytes);
        }

        #[test]
        fn no_marker_soup_panics(bytes in proptest::collection::vec(
            prop::sample::select(b"[]{}#$iUIlLdDSHCTFZN\x00\x01\x02\x03abc".to_vec()), 0..100)) {
            let _ = from_slice::<Value>(&bytes);
        }
    }
}
