//! The git repository that a notebook checks out.

use super::storage::path_form;
use crate::validation::{form, rule, rule_saying};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A git repository to check out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = source_rules()))]
pub struct SourceSpec {
    /// The repository: `https://…`, `ssh://…` or `git@host:path`. Never with a password in it: see `credentials`.
    #[schemars(length(min = 1, max = 512), extend("x-kubernetes-validations" = repository_rules()))]
    pub repository: String,
    /// A branch, tag or commit, for example `main`. A change is followed on the running host. Absent: the repository's
    /// own default branch.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-validations" = [form(
        "^[A-Za-z0-9_]([A-Za-z0-9._/+-]*[A-Za-z0-9_+-])?$", "a branch, tag or commit", "main"
    ), rule_saying(
        "!self.contains('..')",
        "\"ref '\" + self + \"' must not contain ..: write one branch, tag or commit\"",
        "ref must not contain ..: write one branch, tag or commit"
    )]))]
    pub reference: Option<String>,
    /// Where it is checked out, relative to the home directory: `course` is `~/course`. Absent: the repository's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), extend("x-kubernetes-validations" = [path_form()]))]
    pub path: Option<String>,
    /// How to sign in to a private repository. Absent: it is public.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<SourceCredentials>,
}

/// Where a host finds the credentials of a repository: exactly one of the fields. The controller never reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [rule_saying(
    "has(self.secret) != has(self.secretManager)",
    "has(self.secret) ? 'credentials have secret and secretManager both: keep exactly one of them' : 'credentials have neither secret nor secretManager: write exactly one of them'",
    "credentials must have exactly one of secret and secretManager"
)]))]
pub struct SourceCredentials {
    /// A Secret of this namespace, which a pod mounts: with an entry `ssh-privatekey`, or `username` and `password`, or one entry
    /// with a token. Another Secret is another pod. A VM cannot read it: use `secretManager` there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = [form(
        "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "the name of a Secret", "deploy-key"
    )]))]
    pub secret: Option<String>,
    /// A secret of Secret Manager, `projects/P/secrets/S`, that the host reads by its own identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320), extend("x-kubernetes-validations" = [form(
        "^projects/[a-z0-9:.-]+/secrets/[A-Za-z0-9_-]+$", "a secret of Secret Manager", "projects/P/secrets/S"
    )]))]
    pub secret_manager: Option<String>,
}

/// What `git clone` may be given. Git runs helpers named by a URL (`ext::`), and ssh takes a host that begins with a
/// dash for an option: neither may come from a manifest.
fn repository_rules() -> Vec<Value> {
    vec![rule_saying(
        r"self.matches(r'^(https://|ssh://|git@)[a-zA-Z0-9][^\s]*$') && !self.contains('::') && !self.contains('@-')",
        "\"repository '\" + self + \"' must begin with https://, ssh:// or git@ and a host: write for example https://github.com/org/course.git\"",
        "repository must begin with https://, ssh:// or git@ and a host: write for example https://github.com/org/course.git",
    )]
}

/// A password in a URL would be in the spec for all to read. The rule stands on the parent, because a refusal of the
/// field itself would repeat its value.
fn source_rules() -> Vec<Value> {
    vec![rule(
        "!self.repository.matches(r'^https://[^/]*@|^ssh://[^/@]*:[^/]*@')",
        "repository has a user or password before the host: leave it out and use source.credentials",
    )]
}
