//! The fidelity ledger: what each operation of each served model promises here.

use crate::model::Api;
use crate::{Label, RawRoute, Service};

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub service: &'static str,
    pub operation: &'static str,
    pub label: Label,
}

/// What an operation says that nobody listed.
pub const UNLISTED: &str = "it is not part of this cloud yet";

/// Every operation of the service's model, in alphabetical order. Operations that the
/// service does not list are refused.
pub fn ledger(service: &Service) -> Vec<Line> {
    let Some(api) = Api::named(service.name) else { return Vec::new() };
    let operations = api.model().operations().iter();
    operations
        .map(|operation| Line {
            service: api.name,
            operation: operation.name,
            label: match service.operations.get(operation.name) {
                Some(entry) => entry.label.clone(),
                None => Label::Refused(UNLISTED.into()),
            },
        })
        .collect()
}

/// What is wrong with the lists: services without a model, operations that the model lacks,
/// promises without a handler and handlers without a promise. Empty when all is well.
pub fn complaints(services: &[&Service], raw: &[&dyn RawRoute]) -> Vec<String> {
    let mut complaints = Vec::new();
    for service in services {
        let Some(api) = Api::named(service.name) else {
            complaints.push(format!("{}: there is no such model in apis/", service.name));
            continue;
        };
        for (operation, entry) in &service.operations {
            let name = format!("{}.{operation}", service.name);
            let in_raw = raw.iter().any(|route| route.serves().contains(&(service.name, *operation)));
            if api.model().operation(operation).is_none() {
                complaints.push(format!("{name}: the model has no such operation"));
            }
            match (&entry.label, entry.handler.is_some() || in_raw) {
                (Label::Refused(_), true) => complaints.push(format!("{name}: refused, but served")),
                (Label::Real | Label::Partial(_), false) => {
                    complaints.push(format!("{name}: promised, but nothing serves it"));
                }
                _ => {}
            }
        }
    }
    for (service, operation) in raw.iter().flat_map(|route| route.serves()) {
        let listed = services.iter().any(|s| s.name == *service && s.operations.contains_key(operation));
        if !listed {
            complaints.push(format!("{service}.{operation}: a raw route serves it, but no list has it"));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn unlisted_operations_are_refused() {
        let mut service = Service::new("sts");
        service.insert("AssumeRole", Label::Real, None);
        let lines = ledger(&service);
        assert_eq!(lines.len(), Api::named("sts").unwrap().model().operations().len());
        assert_eq!(lines[0].operation, "AssumeRole");
        assert_eq!(lines[0].label, Label::Real);
        assert_eq!(lines[1].label, Label::Refused(UNLISTED.into()));
    }

    #[test]
    fn false_lists_are_complained_of() {
        let mut service = Service::new("sts");
        service.insert("AssumeRole", Label::Real, None);
        service.insert("Assume", Label::Refused("no".into()), None);
        let handler: crate::Handler = Arc::new(|_| Box::pin(async { Ok(crate::Reply::default()) }));
        service.insert("GetCallerIdentity", Label::Real, Some(handler));
        assert_eq!(
            complaints(&[&service, &Service::new("nothing")], &[]),
            [
                "sts.Assume: the model has no such operation",
                "sts.AssumeRole: promised, but nothing serves it",
                "nothing: there is no such model in apis/",
            ]
        );
    }
}
