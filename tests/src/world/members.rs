//! Which members an answer can have, by the discovery document: what a mask or a filter may name.

use super::route::{Api, Sort};
use super::schema::{Field, kept};

/// What a method answers with.
fn answer(api: Api) -> Option<&'static Field> {
    let extract = kept();
    let response = extract.methods.get(api.id())?.response.as_ref()?;
    extract.schemas.get(&response.name)
}

/// Follows references and goes into lists.
fn resolve(mut field: &'static Field) -> Option<&'static Field> {
    loop {
        if let Some(name) = &field.reference {
            field = kept().schemas.get(name)?;
        } else if let Some(items) = &field.items {
            field = items;
        } else {
            return Some(field);
        }
    }
}

/// Whether a path leads somewhere from a field; `*` stands for any member.
fn leads(field: &'static Field, path: &[String]) -> bool {
    let (Some(field), [first, rest @ ..]) = (resolve(field), path) else { return path.is_empty() };
    if first == "*" {
        let mut members = field.properties.values().chain(field.additional_properties.as_deref());
        return rest.is_empty() || members.any(|member| leads(member, rest));
    }
    let member = field.properties.get(first).or(field.additional_properties.as_deref());
    member.is_some_and(|member| leads(member, rest))
}

/// Whether an answer can have a member at this path.
pub(super) fn in_answer(api: Api, path: &[String]) -> bool {
    answer(api).is_some_and(|field| leads(field, path))
}

/// Whether a listed resource can have a member at this path.
pub(super) fn in_item(api: Api, path: &[String]) -> bool {
    let items = answer(api).and_then(|field| field.properties.get("items"));
    let Some(items) = items else { return false };
    if api.sort() != Sort::Aggregate {
        return leads(items, path);
    }
    // An aggregated list has one object a scope, with the resources beside a warning.
    let scope = resolve(items).and_then(|items| items.additional_properties.as_deref()).and_then(resolve);
    let lists = scope.into_iter().flat_map(|scope| scope.properties.values()).filter(|member| member.items.is_some());
    lists.into_iter().any(|list| leads(list, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn paths_lead_where_the_document_says() {
        for (api, text, there) in [
            (Api::InstancesGet, "disks/deviceName", true),
            (Api::InstancesGet, "labels/anything", true),
            (Api::InstancesGet, "disks/bogus", false),
            (Api::InstancesGet, "name/deeper", false),
            (Api::InstancesAggregatedList, "items/*/instances/name", true),
            (Api::InstancesAggregatedList, "items/*/machines", false),
            (Api::InstancesAggregatedList, "unreachables", true),
            (Api::DisksList, "items/users", true),
        ] {
            assert_eq!(in_answer(api, &path(text)), there, "{} {text}", api.id());
        }
        for (api, text, there) in [
            (Api::InstancesAggregatedList, "labels/a", true),
            (Api::InstancesAggregatedList, "scheduling/automaticRestart", true),
            (Api::InstancesAggregatedList, "bogus", false),
            (Api::DisksList, "sizeGb", true),
            (Api::DisksList, "size", false),
            (Api::ZoneOperationsList, "status", true),
        ] {
            assert_eq!(in_item(api, &path(text)), there, "{} {text}", api.id());
        }
    }
}
