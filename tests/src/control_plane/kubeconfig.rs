//! Who speaks to the API server, and the file that says so to `kubectl`, Helm and the controller.

use std::path::Path;

use serde_json::{Value, json};

/// A person or a program that the API server knows by its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's name, also the name of its context in the kubeconfig.
    pub name: String,
    /// Its groups.
    pub groups: Vec<String>,
}

impl User {
    /// A user of `groups`.
    pub fn new(name: &str, groups: &[&str]) -> Self {
        Self { name: name.to_owned(), groups: groups.iter().map(|group| (*group).to_owned()).collect() }
    }

    /// The token of this user. It guards a server on the loopback address that lives for minutes.
    pub fn token(&self) -> String {
        token_of(&self.name)
    }

    /// One line of the API server's token file: token, name, id, groups.
    pub(super) fn token_line(&self) -> String {
        format!("{},{},{},\"{}\"\n", self.token(), self.name, self.name, self.groups.join(","))
    }
}

pub(super) fn token_of(name: &str) -> String {
    format!("{name}-token")
}

/// A kubeconfig with one context for each of `users` (name and token), the first one current.
pub(crate) fn kubeconfig(url: &str, authority: &Path, users: &[(String, String)]) -> Value {
    let contexts: Vec<Value> =
        users.iter().map(|(name, _)| json!({"name": name, "context": {"cluster": "rehost", "user": name}})).collect();
    let tokens: Vec<Value> =
        users.iter().map(|(name, token)| json!({"name": name, "user": {"token": token}})).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "rehost", "cluster": {"server": url, "certificate-authority": authority}}],
        "contexts": contexts,
        "users": tokens,
        "current-context": users.first().map(|(name, _)| name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_line_quotes_its_groups() {
        let user = User::new("admin", &["system:masters", "people"]);
        assert_eq!(user.token_line(), "admin-token,admin,admin,\"system:masters,people\"\n");
    }

    #[test]
    fn the_first_user_is_current() {
        let users = [("admin".to_owned(), "a".to_owned()), ("guest".to_owned(), "b".to_owned())];
        let config = kubeconfig("https://127.0.0.1:6443", Path::new("/ca.pem"), &users);
        assert_eq!(config["current-context"], "admin");
        assert_eq!(config["contexts"][1]["context"]["user"], "guest");
        assert_eq!(config["users"][1]["user"]["token"], "b");
    }
}
