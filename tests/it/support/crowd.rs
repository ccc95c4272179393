//! Many shoppers, and many requests under way at once.

use std::future::IntoFuture;

use futures_util::StreamExt;
use futures_util::stream::iter;
use serde_json::json;

use super::app::TestApp;
use super::client::{Answer, Request};
use super::shop::Shopper;

/// So many requests are under way at once.
const AT_ONCE: usize = 100;

/// The answers to all requests, in their order.
pub async fn all(requests: Vec<Request>) -> Vec<Answer> {
    iter(requests).map(IntoFuture::into_future).buffered(AT_ONCE).collect().await
}

/// Many shoppers on one phone.
pub async fn crowd(app: &TestApp, count: usize) -> Vec<Shopper> {
    let device = app.device().await;
    let login = |n: usize| app.post("/v1/sessions").json(json!({"provider": "sandbox", "code": format!("crowd-{n}"), "display_name": "C"}));
    let answers = all((0..count).map(login).collect()).await;
    let shopper = |answer: Answer| Shopper { session: answer.at("/session_token"), device: device.clone(), user_id: answer.at("/user_id") };
    answers.into_iter().map(shopper).collect()
}
