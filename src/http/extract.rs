//! Path and query parameters, parsed into types.

use std::fmt::Display;
use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Deserializer};

use super::problem::Problem;
use crate::code::Code;

/// The id in the address (its last `{…}`). What is no id of that kind names nothing: 404.
#[derive(Clone, Copy, Debug)]
pub struct Id<T>(pub T);

impl<T: FromStr> FromRequest for Id<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let text = request.match_info().iter().last().map(|(_name, value)| value.to_owned());
        let id = text.and_then(|text| text.parse().ok());
        ready(id.map(Self).ok_or_else(|| Code::NotFound.into()))
    }
}

/// Reads an enum of plain words: serde alone would take `{"once": null}` for `"once"` as well.
///
/// # Errors
/// When it is no text, or another word.
pub fn word<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    let word = String::deserialize(deserializer)?;
    T::deserialize(word.into_deserializer())
}

/// The same, or null.
///
/// # Errors
/// Those of [`word`].
pub fn maybe_word<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let word = Option::<String>::deserialize(deserializer)?;
    word.map(|word| T::deserialize(word.into_deserializer())).transpose()
}

/// Parameters after the `?`. What cannot be read is 422; names the type does not know are not looked at.
#[derive(Clone, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> Query<T> {
    /// Reads them from `request`.
    ///
    /// # Errors
    /// 422.
    pub fn extract_now(request: &HttpRequest) -> Result<Self, Problem> {
        let text = request.query_string();
        let query = actix_web::web::Query::<T>::from_query(text);
        query.map(|query| Self(query.into_inner())).map_err(|why| wrong_query::<T>(text, &why))
    }
}

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::extract_now(request))
    }
}

/// The reader does not say which parameter it stumbled over; reading each alone does.
fn wrong_query<T: DeserializeOwned>(text: &str, why: &dyn Display) -> Problem {
    let message = why.to_string();
    let message = message.strip_prefix("Query deserialize error: ").unwrap_or(&message);
    let alone_wrong = |pair: &&str| match actix_web::web::Query::<T>::from_query(pair) {
        Ok(_) => false,
        Err(alone) => alone.to_string() == why.to_string(),
    };
    let field = text.split('&').find(alone_wrong).and_then(|pair| pair.split('=').next()).unwrap_or_default();
    Problem::invalid(field, message)
}
