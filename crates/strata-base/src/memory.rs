//! `Metadata` in memory: for unit tests of the layers above, and as the second
//! implementer that keeps the port's exam honest.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::Value;

use crate::Timestamp;
use crate::metadata::{Cursor, Event, ListQuery, Metadata, MetadataError, Page, Record};

type Key = (String, String);

#[derive(Default)]
pub struct MemoryMetadata {
    records: Mutex<BTreeMap<Key, (Record, Vec<Event>)>>,
}

impl MemoryMetadata {
    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, (Record, Vec<Event>)>> {
        self.records.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn event(what: Option<&Value>) -> Option<Event> {
    what.map(|what| Event { at: Timestamp::now(), what: what.clone() })
}

fn missing(kind: &str, name: &str) -> MetadataError {
    MetadataError::Missing { kind: kind.into(), name: name.into() }
}

fn stale(kind: &str, name: &str) -> MetadataError {
    MetadataError::Stale { kind: kind.into(), name: name.into() }
}

#[async_trait]
impl Metadata for MemoryMetadata {
    async fn create(&self, record: &Record, what: Option<&Value>) -> Result<(), MetadataError> {
        let mut records = self.locked();
        let key = (record.kind.clone(), record.name.clone());
        if records.contains_key(&key) {
            return Err(MetadataError::Exists { kind: key.0, name: key.1 });
        }
        let stored = Record { version: 1, ..record.clone() };
        records.insert(key, (stored, event(what).into_iter().collect()));
        Ok(())
    }

    async fn get(&self, kind: &str, name: &str) -> Result<Option<Record>, MetadataError> {
        Ok(self.locked().get(&(kind.into(), name.into())).map(|(record, _)| record.clone()))
    }

    async fn update(&self, record: &Record, what: Option<&Value>) -> Result<u64, MetadataError> {
        let mut records = self.locked();
        let (stored, events) = records
            .get_mut(&(record.kind.clone(), record.name.clone()))
            .ok_or_else(|| missing(&record.kind, &record.name))?;
        if stored.version != record.version {
            return Err(stale(&record.kind, &record.name));
        }
        *stored = Record { version: record.version + 1, created: stored.created, ..record.clone() };
        events.extend(event(what));
        Ok(stored.version)
    }

    async fn delete(&self, kind: &str, name: &str, version: Option<u64>) -> Result<(), MetadataError> {
        let mut records = self.locked();
        let key = (kind.to_string(), name.to_string());
        let stored = &records.get(&key).ok_or_else(|| missing(kind, name))?.0;
        if version.is_some_and(|version| version != stored.version) {
            return Err(stale(kind, name));
        }
        records.remove(&key);
        Ok(())
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, MetadataError> {
        let mut records: Vec<Record> = self
            .locked()
            .values()
            .map(|(record, _)| record)
            .filter(|record| selects(query, record))
            .cloned()
            .collect();
        records.sort_by_key(|record| (query.sort_by.key(record), record.name.clone()));
        if query.descending {
            records.reverse();
        }
        if let Some(Cursor { key, name, .. }) = Cursor::of(query)? {
            let behind = (key, name);
            records.retain(|record| {
                let place = (query.sort_by.key(record), record.name.clone());
                if query.descending { place < behind } else { place > behind }
            });
        }
        let limit = if query.limit == 0 { usize::MAX } else { query.limit };
        let more = records.len() > limit;
        records.truncate(limit);
        let next = records.last().filter(|_| more).map(|last| Cursor::behind(query, last).encode());
        Ok(Page { records, next })
    }

    async fn events(&self, kind: &str, name: &str) -> Result<Vec<Event>, MetadataError> {
        let records = self.locked();
        Ok(records.get(&(kind.into(), name.into())).map(|(_, events)| events.clone()).unwrap_or_default())
    }
}

fn selects(query: &ListQuery, record: &Record) -> bool {
    record.kind == query.kind
        && query.name_contains.as_ref().is_none_or(|part| record.name.contains(part.as_str()))
        && query.phase.as_ref().is_none_or(|phase| record.phase == *phase)
        && query.created_after.is_none_or(|at| record.created > at)
        && query.created_before.is_none_or(|at| record.created < at)
        && query.modified_after.is_none_or(|at| record.modified > at)
        && query.modified_before.is_none_or(|at| record.modified < at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_the_exam() {
        futures::executor::block_on(crate::exams::metadata(&MemoryMetadata::default()));
    }
}
