//! Which series there are.

use serde::Deserialize;
use serde_json::json;
use strata_base::Timestamp;
use strata_base::metrics::Series;

use super::{invalid, metrics, refuse, shapes, store};
use crate::operation::{Answer, Cx};

/// Series in one page.
const PAGE: usize = 500;
const HOUR_MS: i64 = 3_600_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListMetrics {
    namespace: Option<String>,
    metric_name: Option<String>,
    #[serde(default)]
    dimensions: Vec<DimensionFilter>,
    next_token: Option<String>,
    recently_active: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DimensionFilter {
    name: String,
    value: Option<String>,
}

/// Lists the series of the last two weeks, or of the last three hours.
pub async fn list_metrics(cx: Cx, req: ListMetrics) -> Answer {
    let accounts = "this cloud is one account";
    refuse(&cx, &[("IncludeLinkedAccounts", accounts), ("OwningAccount", accounts)])?;
    let hours = if req.recently_active.is_some() { 3 } else { 14 * 24 };
    let since = Timestamp(Timestamp::now().0 - hours * HOUR_MS);
    let dimensions: Vec<(String, Option<String>)> =
        req.dimensions.into_iter().map(|filter| (filter.name, filter.value)).collect();
    let (namespace, metric) = (req.namespace.as_deref(), req.metric_name.as_deref());
    let found = metrics(&cx).await?.active_series(namespace, metric, &dimensions, since);
    let mut found = found.await.map_err(store)?;
    if let Some(token) = &req.next_token {
        // The last series of the page before: what comes and goes meanwhile shifts nothing.
        let last: Series = serde_json::from_str(token)
            .map_err(|_| invalid("The value for parameter NextToken is invalid."))?;
        found.retain(|series| *series > last);
    }
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    let mut reply = json!({ "Metrics": found.iter().map(shapes::metric).collect::<Vec<_>>() });
    if let (true, Some(last)) = (more, found.last()) {
        reply["NextToken"] = json!(json!(last).to_string());
    }
    Ok(reply.into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use strata_base::Timestamp;
    use strata_base::metrics::{Datum, Series};

    use super::{HOUR_MS, PAGE};
    use crate::cloudwatch::operations;
    use crate::testing::TestCloud;

    async fn put(cloud: &TestCloud, hours_ago: i64, metric: &str, dimensions: &[(&str, &str)]) {
        let dimensions = dimensions.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let series =
            Series { namespace: "N".into(), metric: metric.into(), dimensions: dimensions.collect() };
        let at = Timestamp(Timestamp::now().0 - hours_ago * HOUR_MS);
        cloud.platform.ports.metrics.put(&[Datum::single(series, at, 1.0, "None")]).await.unwrap();
    }

    fn names(page: &Value) -> Vec<&str> {
        let metrics = page["Metrics"].as_array().unwrap().iter();
        metrics.map(|metric| metric["MetricName"].as_str().unwrap()).collect()
    }

    #[tokio::test]
    async fn series_are_found() {
        let cloud = TestCloud::new(operations()).await;
        put(&cloud, 400, "ancient", &[]).await;
        put(&cloud, 5, "old", &[("d", "1")]).await;
        put(&cloud, 1, "new", &[("d", "2"), ("e", "1")]).await;
        let find = async |document: Value| cloud.call("ListMetrics", document).await.unwrap();
        assert_eq!(names(&find(json!({})).await), ["new", "old"]);
        assert_eq!(names(&find(json!({"RecentlyActive": "PT3H"})).await), ["new"]);
        assert_eq!(names(&find(json!({"Namespace": "M"})).await), Vec::<&str>::new());
        assert_eq!(names(&find(json!({"Dimensions": [{"Name": "d"}]})).await), ["new", "old"]);
        let one = find(json!({"Dimensions": [{"Name": "d", "Value": "2"}]})).await;
        insta::assert_json_snapshot!(one, @r#"
        {
          "Metrics": [
            {
              "Dimensions": [
                {
                  "Name": "d",
                  "Value": "2"
                },
                {
                  "Name": "e",
                  "Value": "1"
                }
              ],
              "MetricName": "new",
              "Namespace": "N"
            }
          ]
        }
        "#);
    }

    #[tokio::test]
    async fn pages_hold_everything_once() {
        let cloud = TestCloud::new(operations()).await;
        let data: Vec<Datum> = (0..PAGE + 1)
            .map(|i| {
                let series =
                    Series { namespace: "N".into(), metric: format!("m{i:04}"), ..Series::default() };
                Datum::single(series, Timestamp::now(), 1.0, "None")
            })
            .collect();
        cloud.platform.ports.metrics.put(&data).await.unwrap();
        let first = cloud.call("ListMetrics", json!({})).await.unwrap();
        assert_eq!(names(&first).len(), PAGE);
        let rest = cloud.call("ListMetrics", json!({"NextToken": first["NextToken"]})).await.unwrap();
        assert_eq!(names(&rest), ["m0500"]);
        assert!(rest.get("NextToken").is_none());
        let wrong = cloud.fault("ListMetrics", json!({"NextToken": "x"})).await;
        assert_eq!(wrong, "InvalidParameterValue: The value for parameter NextToken is invalid.");
    }
}
