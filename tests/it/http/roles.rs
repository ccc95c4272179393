//! Who may do what, in one table: the least role that each route of operators lets in. That a route does let in this role and those after
//! it, and nobody else, is tried in `strangers`; that the document says so for every route, here.

use std::collections::BTreeSet;

use crate::support::{Document, served_once};

/// Least role, method, address. Viewers read; editors change campaigns; finance moves money; admins manage keys.
const TABLE: &[(&str, &str, &str)] = &[
    ("viewer", "GET", "/operator/v1/audit_log"),
    ("viewer", "GET", "/operator/v1/campaigns"),
    ("viewer", "GET", "/operator/v1/campaigns/{id}"),
    ("viewer", "POST", "/operator/v1/campaigns/{id}/audit"),
    ("viewer", "GET", "/operator/v1/campaigns/{id}/bonds"),
    ("viewer", "GET", "/operator/v1/campaigns/{id}/chains"),
    ("viewer", "POST", "/operator/v1/campaigns/{id}/check"),
    ("viewer", "GET", "/operator/v1/campaigns/{id}/orders"),
    ("viewer", "GET", "/operator/v1/campaigns/{id}/report"),
    ("viewer", "GET", "/operator/v1/campaigns/{id}/rewards"),
    ("viewer", "GET", "/operator/v1/campaigns/{id}/rooms"),
    ("viewer", "GET", "/operator/v1/campaigns/{id}/shares"),
    ("viewer", "GET", "/operator/v1/campaigns/{id}/tree"),
    ("viewer", "GET", "/operator/v1/campaigns/{id}/versions"),
    ("viewer", "GET", "/operator/v1/campaigns/{id}/versions/{version}"),
    ("viewer", "GET", "/operator/v1/events"),
    ("viewer", "GET", "/operator/v1/orders/{id}"),
    ("viewer", "GET", "/operator/v1/outside_orders"),
    ("viewer", "GET", "/operator/v1/payments"),
    ("viewer", "GET", "/operator/v1/provider"),
    ("viewer", "GET", "/operator/v1/reconciliation"),
    ("viewer", "GET", "/operator/v1/refunds"),
    ("viewer", "GET", "/operator/v1/sales"),
    ("viewer", "GET", "/operator/v1/withdrawals"),
    ("viewer", "GET", "/operator/v1/withdrawals/{id}"),
    ("editor", "POST", "/operator/v1/campaigns"),
    ("editor", "PATCH", "/operator/v1/campaigns/{id}"),
    ("editor", "POST", "/operator/v1/campaigns/{id}/bonds"),
    ("editor", "POST", "/operator/v1/campaigns/{id}/clone"),
    ("editor", "POST", "/operator/v1/campaigns/{id}/end"),
    ("editor", "POST", "/operator/v1/campaigns/{id}/pause"),
    ("editor", "POST", "/operator/v1/campaigns/{id}/publish"),
    ("editor", "POST", "/operator/v1/campaigns/{id}/resume"),
    ("editor", "POST", "/operator/v1/campaigns/{id}/stock"),
    ("editor", "POST", "/operator/v1/campaigns/{id}/switches"),
    ("editor", "PATCH", "/operator/v1/orders/{id}"),
    ("editor", "POST", "/operator/v1/orders/{id}/fulfil"),
    ("editor", "POST", "/operator/v1/sessions"),
    ("finance", "POST", "/operator/v1/orders/{id}/cancel"),
    ("finance", "POST", "/operator/v1/orders/{id}/paid"),
    ("finance", "POST", "/operator/v1/orders/{id}/refund"),
    ("finance", "POST", "/operator/v1/outside_orders"),
    ("finance", "POST", "/operator/v1/payments/{transaction_id}/retry"),
    ("finance", "POST", "/operator/v1/reconciliation"),
    ("finance", "POST", "/operator/v1/refunds/{refund_no}/done"),
    ("finance", "POST", "/operator/v1/refunds/{refund_no}/retry"),
    ("finance", "POST", "/operator/v1/sales/{number}/retry"),
    ("finance", "POST", "/operator/v1/withdrawals/{id}/approve"),
    ("finance", "POST", "/operator/v1/withdrawals/{id}/done"),
    ("finance", "POST", "/operator/v1/withdrawals/{id}/reject"),
    ("finance", "POST", "/operator/v1/withdrawals/{id}/retry"),
    ("admin", "GET", "/operator/v1/keys"),
    ("admin", "POST", "/operator/v1/keys"),
    ("admin", "DELETE", "/operator/v1/keys/{id}"),
    ("admin", "POST", "/operator/v1/users/{id}/erase"),
];

served_once! {
    async fn each_route_of_operators_asks_for_the_role_of_the_table(app: &mut TestApp) {
        let document = Document::of(app).await;
        let operations = document.operations().into_iter().filter(|operation| operation.path.starts_with("/operator/"));
        let said: BTreeSet<(String, String, String)> = operations
            .map(|operation| {
                let role = operation.callers[0]["operator"][0].as_str().unwrap_or_else(|| panic!("{} is for no role", operation.id)).to_owned();
                (role, operation.method, operation.path)
            })
            .collect();
        let meant = TABLE.iter().map(|(role, method, path)| ((*role).to_owned(), (*method).to_owned(), (*path).to_owned())).collect();
        let differ: Vec<_> = said.symmetric_difference(&meant).collect();
        assert!(differ.is_empty(), "the document and the table differ: {differ:?}");
    }
}
