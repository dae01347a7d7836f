//! Least privilege, checked against what was really asked: rights that were refused are missing, and rights that were
//! never used are surplus.

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use super::audit::Request;

/// One verb on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// Where it holds: a namespace, or everywhere.
    pub namespace: Option<String>,
    /// The API group, empty for the core one.
    pub group: String,
    /// The resource, with its subresource as in `pods/resize`.
    pub resource: String,
    /// The object that it is for, or every one.
    pub name: Option<String>,
    /// The verb.
    pub verb: String,
}

impl Right {
    /// Whether this request made use of the right. A patch that made its object, as server-side apply does, needed leave to
    /// create as well.
    fn was_used_by(&self, request: &Request) -> bool {
        let Self { namespace, group, resource, name, verb } = self;
        let creates = request.verb == "patch" && request.code == 201;
        namespace.as_ref().is_none_or(|namespace| *namespace == request.namespace)
            && matches_word(group, &request.group)
            && matches_word(resource, &request.resource)
            && name.as_ref().is_none_or(|name| *name == request.name)
            && (matches_word(verb, &request.verb) || creates && matches_word(verb, "create"))
    }
}

fn matches_word(granted: &str, asked: &str) -> bool {
    granted == "*" || granted == asked
}

impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, group, resource, name, verb } = self;
        write!(formatter, "{verb} {resource}")?;
        if !group.is_empty() {
            write!(formatter, ".{group}")?;
        }
        if let Some(name) = name {
            write!(formatter, " {name}")?;
        }
        match namespace {
            Some(namespace) => write!(formatter, " in {namespace}"),
            None => formatter.write_str(" everywhere"),
        }
    }
}

/// How granted and used rights differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What was asked for and refused by authorization.
    pub missing: BTreeSet<Right>,
    /// What is granted and was never used.
    pub surplus: BTreeSet<Right>,
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { missing, surplus } = self;
        for (title, rights) in [("missing", missing), ("surplus", surplus)] {
            writeln!(formatter, "{title}: {}", rights.len())?;
            for right in rights {
                writeln!(formatter, "  {right}")?;
            }
        }
        Ok(())
    }
}

/// Compares what is granted with the requests of one user: give it those of [`super::AuditLog::requests_since`].
pub fn compare(granted: &BTreeSet<Right>, requests: &[Request], user: &str) -> Comparison {
    let asked = || requests.iter().filter(|request| request.user == user && !request.resource.is_empty());
    let missing = asked()
        .filter(|request| request.forbidden)
        .map(|request| Right {
            namespace: Some(request.namespace.clone()).filter(|namespace| !namespace.is_empty()),
            group: request.group.clone(),
            resource: request.resource.clone(),
            name: None,
            verb: request.verb.clone(),
        })
        .collect();
    let surplus = granted
        .iter()
        .filter(|right| !asked().any(|request| !request.forbidden && right.was_used_by(request)))
        .cloned()
        .collect();
    Comparison { missing, surplus }
}

/// What the bindings of the cluster grant to the service account `name` of `namespace` by its own name. What every
/// authenticated user may do is left out.
pub async fn granted_to_service_account(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<BTreeSet<Right>, kube::Error> {
    let is_it = |subjects: &Option<Vec<Subject>>| {
        subjects.iter().flatten().any(|subject| {
            subject.kind == "ServiceAccount"
                && subject.name == name
                && subject.namespace.as_deref().unwrap_or_default() == namespace
        })
    };
    let mut rights = BTreeSet::new();
    let everything = ListParams::default();
    for binding in Api::<ClusterRoleBinding>::all(client.clone()).list(&everything).await? {
        if is_it(&binding.subjects) {
            add_rights(&mut rights, &rules_of(client, &binding.role_ref, "").await?, None);
        }
    }
    for binding in Api::<RoleBinding>::all(client.clone()).list(&everything).await? {
        if is_it(&binding.subjects) {
            let scope = binding.namespace().unwrap_or_default();
            add_rights(&mut rights, &rules_of(client, &binding.role_ref, &scope).await?, Some(&scope));
        }
    }
    Ok(rights)
}

async fn rules_of(client: &Client, role: &RoleRef, namespace: &str) -> Result<Vec<PolicyRule>, kube::Error> {
    let rules = if role.kind == "ClusterRole" {
        Api::<ClusterRole>::all(client.clone()).get(&role.name).await?.rules
    } else {
        Api::<Role>::namespaced(client.clone(), namespace).get(&role.name).await?.rules
    };
    Ok(rules.unwrap_or_default())
}

/// The single rights of `rules`. A wildcard stays one right, called `*`.
pub fn add_rights(rights: &mut BTreeSet<Right>, rules: &[PolicyRule], namespace: Option<&str>) {
    for rule in rules {
        let names: Vec<Option<&String>> = match rule.resource_names.as_deref() {
            None | Some([]) => vec![None],
            Some(names) => names.iter().map(Some).collect(),
        };
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for name in &names {
                    rights.extend(rule.verbs.iter().map(|verb| Right {
                        namespace: namespace.map(str::to_owned),
                        group: group.clone(),
                        resource: resource.clone(),
                        name: name.cloned(),
                        verb: verb.clone(),
                    }));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(verb: &str, resource: &str, forbidden: bool) -> Request {
        Request {
            user: "controller".to_owned(),
            verb: verb.to_owned(),
            group: String::new(),
            resource: resource.to_owned(),
            namespace: "team-a".to_owned(),
            name: "taxi".to_owned(),
            code: if forbidden { 403 } else { 200 },
            forbidden,
        }
    }

    fn rule(resources: &[&str], verbs: &[&str]) -> PolicyRule {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(owned(resources)),
            verbs: owned(verbs),
            ..PolicyRule::default()
        }
    }

    fn lines(rights: &BTreeSet<Right>) -> Vec<String> {
        rights.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn refused_is_missing_and_unused_is_surplus() {
        let mut granted = BTreeSet::new();
        add_rights(&mut granted, &[rule(&["pods"], &["get", "delete"])], None);
        let requests = [request("get", "pods", false), request("patch", "pods/resize", true)];
        let comparison = compare(&granted, &requests, "controller");
        assert_eq!(lines(&comparison.missing), ["patch pods/resize in team-a"]);
        assert_eq!(lines(&comparison.surplus), ["delete pods everywhere"]);
    }

    #[test]
    fn an_apply_that_creates_uses_both_rights() {
        let mut granted = BTreeSet::new();
        add_rights(&mut granted, &[rule(&["services"], &["create", "patch"])], None);
        let applied = |code| Request { code, ..request("patch", "services", false) };
        assert_eq!(lines(&compare(&granted, &[applied(201)], "controller").surplus), [""; 0]);
        assert_eq!(lines(&compare(&granted, &[applied(200)], "controller").surplus), ["create services everywhere"]);
    }

    #[test]
    fn what_others_ask_counts_for_nothing() {
        let mut granted = BTreeSet::new();
        add_rights(&mut granted, &[rule(&["pods"], &["get"])], None);
        let comparison = compare(&granted, &[request("get", "pods", false)], "somebody-else");
        assert_eq!(lines(&comparison.surplus), ["get pods everywhere"]);
    }

    #[test]
    fn a_right_in_another_namespace_is_not_the_one_that_was_used() {
        let mut granted = BTreeSet::new();
        add_rights(&mut granted, &[rule(&["pods"], &["get"])], Some("team-b"));
        add_rights(&mut granted, &[rule(&["pods"], &["get"])], Some("team-a"));
        let comparison = compare(&granted, &[request("get", "pods", false)], "controller");
        assert_eq!(lines(&comparison.surplus), ["get pods in team-b"]);
    }

    #[test]
    fn a_right_for_one_name_is_only_for_it() {
        let mut granted = BTreeSet::new();
        let named = PolicyRule { resource_names: Some(vec!["other".to_owned()]), ..rule(&["pods"], &["get"]) };
        add_rights(&mut granted, &[named], None);
        let comparison = compare(&granted, &[request("get", "pods", false)], "controller");
        assert_eq!(lines(&comparison.surplus), ["get pods other everywhere"]);
    }
}
