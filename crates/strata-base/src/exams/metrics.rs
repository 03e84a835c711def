//! The exam of the `Metrics` port.

use crate::Timestamp;
use crate::metrics::{Datum, Metrics, Series};

/// Every question; each uses namespaces of its own.
pub async fn all(metrics: &dyn Metrics) {
    data_come_back_as_they_went_in(metrics).await;
    series_are_told_apart(metrics).await;
    series_are_found_by_what_is_given(metrics).await;
    activity_is_known(metrics).await;
}

fn series(namespace: &str, metric: &str, dimensions: &[(&str, &str)]) -> Series {
    let dimensions = dimensions.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Series { namespace: namespace.into(), metric: metric.into(), dimensions }
}

fn single(series: &Series, at: i64, value: f64) -> Datum {
    Datum::single(series.clone(), Timestamp(at), value, "None")
}

async fn values(metrics: &dyn Metrics, series: &Series, from: i64, to: i64) -> Vec<f64> {
    let data = metrics.read(series, Timestamp(from), Timestamp(to)).await.unwrap();
    data.into_iter().map(|datum| datum.sum).collect()
}

pub async fn data_come_back_as_they_went_in(metrics: &dyn Metrics) {
    let one = series("back", "Latency", &[("Endpoint", "e"), ("Variant", "v")]);
    let whole = Datum {
        series: one.clone(),
        at: Timestamp(1_700_000_000_123),
        count: 5.0,
        sum: 0.1 + 0.2,
        minimum: -1e-300,
        maximum: 1.7e308,
        unit: "Microseconds".into(),
        values: vec![(1.0 / 3.0, 2.0), (-0.0, 3.0)],
    };
    let summary = Datum { values: vec![], ..whole.clone() };
    metrics.put(&[whole.clone(), summary.clone()]).await.unwrap();
    let read = metrics.read(&one, whole.at, Timestamp(whole.at.0 + 1)).await.unwrap();
    assert_eq!(read, [whole, summary]);
    metrics.put(&[]).await.unwrap();
}

pub async fn series_are_told_apart(metrics: &dyn Metrics) {
    let plain = series("apart", "m", &[]);
    let a = series("apart", "m", &[("d", "a")]);
    let other = series("apart", "n", &[]);
    metrics
        .put(&[
            single(&plain, 3, 3.0),
            single(&a, 2, 20.0),
            single(&plain, 1, 1.0),
            single(&other, 1, 100.0),
            single(&plain, 2, 2.0),
        ])
        .await
        .unwrap();
    assert_eq!(values(metrics, &plain, 0, 10).await, [1.0, 2.0, 3.0]);
    assert_eq!(values(metrics, &plain, 1, 3).await, [1.0, 2.0]);
    assert_eq!(values(metrics, &a, 0, 10).await, [20.0]);
    assert!(values(metrics, &series("apart", "m", &[("d", "b")]), 0, 10).await.is_empty());
}

pub async fn series_are_found_by_what_is_given(metrics: &dyn Metrics) {
    let all = [
        series("find", "m", &[]),
        series("find", "m", &[("a", "1")]),
        series("find", "m", &[("a", "1"), ("b \"quoted\"", "2")]),
        series("find", "n", &[("a", "2")]),
        series("find/other", "m", &[("a", "1")]),
    ];
    let mut data: Vec<Datum> = all.iter().map(|series| single(series, 1, 1.0)).collect();
    data.reverse();
    metrics.put(&data).await.unwrap();
    let find = async |namespace, metric, dimensions: &[(&str, Option<&str>)]| {
        let dimensions: Vec<(String, Option<String>)> =
            dimensions.iter().map(|(name, value)| (name.to_string(), value.map(str::to_string))).collect();
        metrics.series(namespace, metric, &dimensions).await.unwrap()
    };
    assert_eq!(find(Some("find"), None, &[]).await, all[..4]);
    assert_eq!(find(Some("find"), Some("m"), &[]).await, all[..3]);
    assert_eq!(find(Some("find"), None, &[("a", None)]).await, all[1..4]);
    assert_eq!(find(Some("find"), None, &[("a", Some("1"))]).await, all[1..3]);
    assert_eq!(find(Some("find"), None, &[("a", Some("1")), ("b \"quoted\"", None)]).await, all[2..3]);
    assert_eq!(find(Some("find"), None, &[("c", None)]).await, []);
    assert!(find(None, Some("m"), &[("a", None)]).await.contains(&all[4]));
}

pub async fn activity_is_known(metrics: &dyn Metrics) {
    let (old, new) = (series("active", "old", &[]), series("active", "new", &[]));
    metrics.put(&[single(&old, 100, 1.0), single(&new, 50, 1.0), single(&new, 200, 1.0)]).await.unwrap();
    let active =
        async |since| metrics.active_series(Some("active"), None, &[], Timestamp(since)).await.unwrap();
    assert_eq!(active(100).await, [new.clone(), old]);
    assert_eq!(active(101).await, [new]);
    assert_eq!(active(201).await, []);
}
