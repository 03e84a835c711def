//! The exam of the `Metadata` port.

use serde_json::{Value, json};

use crate::Timestamp;
use crate::metadata::{ListQuery, Metadata, MetadataError, Record, SortBy};

/// Sits the whole exam on an empty store.
pub async fn metadata(store: &dyn Metadata) {
    a_record_comes_back_as_it_was_said(store).await;
    names_are_unique_within_a_kind(store).await;
    an_update_is_a_compare_and_set(store).await;
    events_are_kept_in_order(store).await;
    deletion_takes_the_events_along(store).await;
    lists_filter(store).await;
    lists_sort_and_page(store).await;
    pages_are_stable_under_inserts_and_deletes(store).await;
    foreign_cursors_are_refused(store).await;
}

fn record(kind: &str, name: &str) -> Record {
    let arn = format!("arn:aws:sagemaker:us-east-1:123456789012:{kind}/{name}");
    Record::new(kind, name, arn, "InProgress", json!({"Name": name}), json!({}))
}

fn at(kind: &str, name: &str, millis: i64, phase: &str) -> Record {
    let (created, modified) = (Timestamp(millis), Timestamp(10_000 - millis));
    Record { created, modified, phase: phase.into(), ..record(kind, name) }
}

async fn put(store: &dyn Metadata, record: &Record) {
    store.create(record, None).await.expect("create");
}

async fn a_record_comes_back_as_it_was_said(store: &dyn Metadata) {
    let document = json!({"Ünïcode": "\u{0}\"'; DROP TABLE record; --", "n": [1, 2.5, -3, null, true],
                          "big": 9_007_199_254_740_993_i64, "tiny": 1e-300, "deep": {"a": {"b": {}}}});
    let said = Record { document, state: json!({"x": 0.1}), ..record("echo", "o'Brien %_\\") };
    store.create(&said, Some(&json!("created"))).await.expect("create");
    let stored = store.get("echo", &said.name).await.expect("get").expect("the record");
    assert_eq!(stored, Record { version: 1, ..said });
    assert_eq!(store.get("echo", "nobody").await.expect("get"), None);
    assert_eq!(store.get("Echo", &stored.name).await.expect("get"), None, "kinds are compared exactly");
}

async fn names_are_unique_within_a_kind(store: &dyn Metadata) {
    put(store, &record("unique", "a")).await;
    let again = store.create(&record("unique", "a"), Some(&json!("twice"))).await;
    assert!(matches!(again, Err(MetadataError::Exists { .. })), "{again:?}");
    assert_eq!(store.events("unique", "a").await.expect("events"), [], "a refused create leaves no event");
    put(store, &record("unique", "A")).await;
    put(store, &record("unique too", "a")).await;
}

async fn an_update_is_a_compare_and_set(store: &dyn Metadata) {
    let first = record("cas", "a");
    put(store, &first).await;
    let read = store.get("cas", "a").await.expect("get").expect("the record");
    let changed = Record {
        phase: "Completed".into(),
        arn: "arn:new".into(),
        document: json!({"changed": true}),
        state: json!([1]),
        created: Timestamp(1),
        modified: Timestamp(read.modified.0 + 5),
        ..read.clone()
    };
    assert_eq!(store.update(&changed, None).await.expect("update"), 2);
    let stored = store.get("cas", "a").await.expect("get").expect("the record");
    assert_eq!(stored, Record { version: 2, created: first.created, ..changed.clone() });

    let late = store.update(&changed, Some(&json!("late"))).await;
    assert!(matches!(late, Err(MetadataError::Stale { .. })), "{late:?}");
    assert_eq!(store.events("cas", "a").await.expect("events"), [], "a refused update leaves no event");
    let missing = store.update(&record("cas", "nobody"), Some(&json!("?"))).await;
    assert!(matches!(missing, Err(MetadataError::Missing { .. })), "{missing:?}");
    assert_eq!(store.events("cas", "nobody").await.expect("events"), []);
}

async fn events_are_kept_in_order(store: &dyn Metadata) {
    let mut record = record("log", "a");
    store.create(&record, Some(&json!({"Starting": 0}))).await.expect("create");
    record.version = 1;
    for step in 1..20 {
        record.version = store.update(&record, Some(&json!({"Step": step}))).await.expect("update");
    }
    record.version = store.update(&record, None).await.expect("update");
    assert_eq!(record.version, 21);
    let events = store.events("log", "a").await.expect("events");
    let what: Vec<&Value> = events.iter().map(|event| &event.what).collect();
    assert_eq!(what.first(), Some(&&json!({"Starting": 0})));
    assert_eq!(what.last(), Some(&&json!({"Step": 19})));
    assert_eq!(what.len(), 20);
    assert!(events.is_sorted_by_key(|event| event.at));
}

async fn deletion_takes_the_events_along(store: &dyn Metadata) {
    store.create(&record("gone", "a"), Some(&json!("first life"))).await.expect("create");
    let stale = store.delete("gone", "a", Some(7)).await;
    assert!(matches!(stale, Err(MetadataError::Stale { .. })), "{stale:?}");
    store.delete("gone", "a", Some(1)).await.expect("delete");
    let missing = store.delete("gone", "a", None).await;
    assert!(matches!(missing, Err(MetadataError::Missing { .. })), "{missing:?}");
    assert_eq!(store.events("gone", "a").await.expect("events"), []);
    store.create(&record("gone", "a"), Some(&json!("second life"))).await.expect("create");
    let events = store.events("gone", "a").await.expect("events");
    assert_eq!(events.iter().map(|event| &event.what).collect::<Vec<_>>(), [&json!("second life")]);
    store.delete("gone", "a", None).await.expect("delete");
}

async fn names(store: &dyn Metadata, query: &ListQuery) -> Vec<String> {
    let page = store.list(query).await.expect("list");
    page.records.into_iter().map(|record| record.name).collect()
}

async fn lists_filter(store: &dyn Metadata) {
    for (name, millis, phase) in
        [("Alpha_1", 1000, "A"), ("alpha%2", 2000, "B"), ("beta", 3000, "A"), ("Beta", 4000, "C")]
    {
        put(store, &at("filter", name, millis, phase)).await;
    }
    put(store, &at("filter-other", "alpha", 1000, "A")).await;
    let all = || ListQuery { kind: "filter".into(), ..ListQuery::default() };
    let some = |part: &str| Some(part.to_string());
    let time = |millis| Some(Timestamp(millis));
    let check = async |query: ListQuery, expected: &[&str]| {
        assert_eq!(names(store, &query).await, expected, "{query:?}");
    };
    check(all(), &["Alpha_1", "alpha%2", "beta", "Beta"]).await;
    check(ListQuery { name_contains: some("lpha"), ..all() }, &["Alpha_1", "alpha%2"]).await;
    check(ListQuery { name_contains: some("beta"), ..all() }, &["beta"]).await;
    check(ListQuery { name_contains: some("%"), ..all() }, &["alpha%2"]).await;
    check(ListQuery { name_contains: some("_"), ..all() }, &["Alpha_1"]).await;
    check(ListQuery { phase: some("A"), ..all() }, &["Alpha_1", "beta"]).await;
    check(ListQuery { created_after: time(2000), ..all() }, &["beta", "Beta"]).await;
    check(ListQuery { created_before: time(2000), ..all() }, &["Alpha_1"]).await;
    check(ListQuery { modified_after: time(8000), ..all() }, &["Alpha_1"]).await;
    check(ListQuery { modified_before: time(8000), ..all() }, &["beta", "Beta"]).await;
    let between = ListQuery { created_after: time(1000), created_before: time(4000), ..all() };
    check(ListQuery { phase: some("B"), ..between }, &["alpha%2"]).await;
    check(ListQuery { kind: "filter-none".into(), ..all() }, &[]).await;
}

async fn lists_sort_and_page(store: &dyn Metadata) {
    // Two moments and two phases, so that ties are everywhere and the name must settle them.
    for i in 0..12 {
        let phase = if i % 3 == 0 { "X" } else { "Y" };
        put(store, &at("sort", &format!("n{:02}", (i * 5) % 12), 1000 + i / 6, phase)).await;
    }
    for sort_by in [SortBy::Name, SortBy::Created, SortBy::Modified, SortBy::Phase] {
        for descending in [false, true] {
            let whole = ListQuery { kind: "sort".into(), sort_by, descending, ..ListQuery::default() };
            let page = store.list(&whole).await.expect("list");
            assert_eq!((page.records.len(), &page.next), (12, &None));
            let places: Vec<_> =
                page.records.iter().map(|record| (sort_by.key(record), record.name.clone())).collect();
            assert!(
                if descending { places.iter().rev().is_sorted() } else { places.is_sorted() },
                "{sort_by:?} {descending}: {places:?}"
            );
            for limit in [1, 5, 12, 13] {
                let mut query = ListQuery { limit, ..whole.clone() };
                let mut paged = Vec::new();
                loop {
                    let page = store.list(&query).await.expect("page");
                    assert!(!page.records.is_empty() && page.records.len() <= limit);
                    paged.extend(page.records);
                    let Some(next) = page.next else { break };
                    query.cursor = Some(next);
                }
                assert_eq!(paged, page.records, "{sort_by:?} {descending} pages of {limit}");
            }
        }
    }
}

async fn pages_are_stable_under_inserts_and_deletes(store: &dyn Metadata) {
    for i in 0..6 {
        put(store, &at("stable", &format!("n{i}"), 1000 + i, "A")).await;
    }
    let newest_first =
        ListQuery { kind: "stable".into(), descending: true, limit: 2, ..ListQuery::default() };
    let first = store.list(&newest_first).await.expect("list");
    // A newer record appears, and the one that the cursor stands on goes.
    put(store, &at("stable", "newer", 2000, "A")).await;
    store.delete("stable", "n4", None).await.expect("delete");
    let second = ListQuery { cursor: first.next, ..newest_first };
    assert_eq!(names(store, &second).await, ["n3", "n2"]);
}

async fn foreign_cursors_are_refused(store: &dyn Metadata) {
    for i in 0..3 {
        put(store, &at("cursor", &format!("n{i}"), 1000 + i, "A")).await;
    }
    let by_time = ListQuery { kind: "cursor".into(), limit: 1, ..ListQuery::default() };
    let next = store.list(&by_time).await.expect("list").next;
    assert!(next.is_some());
    let garbage = Some("7b7d".to_string());
    for query in [
        ListQuery { cursor: Some("💥".into()), ..by_time.clone() },
        ListQuery { cursor: Some(String::new()), ..by_time.clone() },
        ListQuery { cursor: garbage, ..by_time.clone() },
        ListQuery { cursor: next.clone(), sort_by: SortBy::Name, ..by_time.clone() },
        ListQuery { cursor: next.clone(), descending: true, ..by_time.clone() },
        ListQuery { cursor: next.clone(), kind: "stable".into(), ..by_time.clone() },
    ] {
        let answer = store.list(&query).await;
        assert!(matches!(answer, Err(MetadataError::Cursor(_))), "{query:?}: {answer:?}");
    }
}
