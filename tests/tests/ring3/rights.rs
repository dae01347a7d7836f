//! The chart grants what the controller asks for, and no more.

use std::collections::BTreeSet;

use rehost_tests::control_plane::audit::{Mark, Request};
use rehost_tests::control_plane::rbac;
use rehost_tests::stand::{OPERATOR_NAMESPACE, OPERATOR_USER};

use super::Ring;

pub async fn are_exact(ring: &Ring) {
    let granted = rbac::granted_to_service_account(&ring.client, OPERATOR_NAMESPACE, "rehost").await.expect("it lists");
    assert!(!granted.is_empty(), "the chart grants something");
    let requests = ring.stand.plane.audit().requests_since(Mark::START).expect("it reads");
    let comparison = rbac::compare(&granted, &requests, OPERATOR_USER);
    // Also what was refused after the first check: to create in an apply, or to make an object another one's.
    let refused: BTreeSet<&Request> =
        requests.iter().filter(|request| request.user == OPERATOR_USER && request.code == 403).collect();
    let exact = comparison.missing.is_empty() && comparison.surplus.is_empty() && refused.is_empty();
    assert!(exact, "{comparison}refused: {refused:#?}");
}
