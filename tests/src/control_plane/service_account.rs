//! Speaking as a service account, as the controller does in its pod.

use std::path::PathBuf;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, PostParams};

use super::{ADMIN, ControlPlane, ControlPlaneError, client_of};

/// Longer than any run.
const TOKEN_LIFETIME_S: i64 = 24 * 3600;

impl ControlPlane {
    /// A kubeconfig that speaks as the service account `name` of `namespace`, which must exist: the chart makes the
    /// controller's, and nothing here makes any. The token comes from the TokenRequest API, as a pod's does.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf, ControlPlaneError> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(ADMIN).await?, namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(TOKEN_LIFETIME_S), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await?;
        let token = answer.status.map(|status| status.token).unwrap_or_default();
        self.write_kubeconfig(&format!("{namespace}.{name}.kubeconfig"), &[(name.to_owned(), token)])
    }

    /// A client that speaks as the service account `name` of `namespace`, which must exist.
    pub async fn service_account_client(&self, namespace: &str, name: &str) -> Result<Client, ControlPlaneError> {
        client_of(&self.service_account_kubeconfig(namespace, name).await?, name).await
    }
}
