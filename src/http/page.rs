//! Lists: newest first, `?limit=` and `?cursor=`, an opaque place to go on from.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt::Display;
use std::future::{Ready, ready};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, RefOr, Required, SchemaFormat};
use utoipa::{IntoParams, PartialSchema};

use super::extract::Query;
use super::problem::Problem;
use crate::campaign::read::forms::{SKU_PATTERN, is_sku};
use crate::clock::UnixMs;
use crate::code::Code;
use crate::id::{RoomId, UserId};

/// How many of a list one gets without asking for more or fewer.
pub const DEFAULT_LIMIT: usize = 50;
/// The most one may ask for at once.
pub const MAX_LIMIT: usize = 200;
/// No id of ours is longer.
const LONGEST_ID: usize = 64;

/// One page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct List<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Where the next page begins; null at the end.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// Which page is asked for. An extractor.
///
/// In SQL: `WHERE … (created_at, id) < ($n, $m) ORDER BY created_at DESC, id DESC LIMIT $k` with [`Page::before`] and [`Page::fetch`],
/// then [`Page::list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    limit: usize,
    cursor: Option<(i64, String)>,
}

#[derive(Debug, Deserialize)]
struct Asked {
    limit: Option<u32>,
    cursor: Option<String>,
}

impl Page {
    /// The place the page comes before: (unix ms, id).
    #[must_use]
    pub fn before(&self) -> (i64, &str) {
        self.cursor.as_ref().map_or((i64::MAX, ""), |(at, id)| (*at, id))
    }

    /// The place the page comes after, for lists in rising order.
    #[must_use]
    pub fn after(&self) -> Option<(i64, &str)> {
        self.cursor.as_ref().map(|(at, id)| (*at, id.as_str()))
    }

    /// How many rows to fetch: one more than shown tells whether there is a next page.
    #[must_use]
    pub fn fetch(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or_default().saturating_add(1)
    }

    /// The page made of the fetched `rows`; `place` is the (unix ms, id) of a row.
    #[must_use]
    pub fn list<T>(&self, mut rows: Vec<T>, place: impl Fn(&T) -> (i64, String)) -> List<T> {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next_cursor = rows.last().filter(|_row| more).map(|row| write_cursor(&place(row)));
        List { items: rows, next_cursor }
    }

    fn read(request: &HttpRequest) -> Result<Self, Problem> {
        let Query(asked) = Query::<Asked>::extract_now(request)?;
        let limit = asked.limit.map_or(Some(DEFAULT_LIMIT), |limit| usize::try_from(limit).ok()).unwrap_or_default();
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::invalid("limit", format!("must be 1 to {MAX_LIMIT}")));
        }
        let cursor = asked.cursor.map(|text| read_cursor(&text).ok_or(Code::MalformedRequest)).transpose()?;
        Ok(Self { limit, cursor })
    }
}

impl IntoParams for Page {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let limit =
            ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(MAX_LIMIT)).default(Some(DEFAULT_LIMIT.into()));
        let cursor = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
        vec![query("limit", limit, "How many at most."), query("cursor", cursor, "The `next_cursor` of the page before.")]
    }
}

fn query(name: &str, schema: impl Into<RefOr<Schema>>, about: &str) -> Parameter {
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query).required(Required::False);
    parameter.schema(Some(schema)).description(Some(about)).build()
}

/// What an operator's list of a campaign may be narrowed to; `S` is the state of what is listed.
#[derive(Debug, Deserialize)]
pub struct Filters<S> {
    /// The object's state.
    pub state: Option<S>,
    /// What it is about.
    #[serde(default, deserialize_with = "sku")]
    pub sku: Option<String>,
    /// Whose it is.
    pub user_id: Option<UserId>,
    /// Its room.
    pub room_id: Option<RoomId>,
    from: Option<String>,
    to: Option<String>,
}

/// Reads `?sku=`.
///
/// # Errors
/// When the text is no SKU.
pub fn sku<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_sku(&text) { Ok(Some(text)) } else { Err(D::Error::custom("must be 1 to 64 letters, digits or . _ : + -")) }
}

impl<S> Filters<S> {
    /// Made at or after, and before, in Unix ms.
    ///
    /// # Errors
    /// 422 when a bound is no time.
    pub fn span(&self) -> Result<(i64, i64), Problem> {
        Ok((bound("from", self.from.as_deref(), 0)?, bound("to", self.to.as_deref(), i64::MAX)?))
    }
}

/// An id for a statement in which empty text means any.
pub fn id_or_any(id: Option<impl Display>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

impl<S: PartialSchema> IntoParams for Filters<S> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let sku = ObjectBuilder::new().schema_type(Type::String).pattern(Some(SKU_PATTERN));
        let time = || ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        vec![
            query("state", S::schema(), "Only in this state."),
            query("sku", sku, "Only of this item."),
            query("user_id", UserId::schema(), "Only of this shopper."),
            query("room_id", RoomId::schema(), "Only of this room."),
            query("from", time(), "Made at this time or later."),
            query("to", time(), "Made before this time."),
        ]
    }
}

/// Reads a bound of time in a query.
///
/// # Errors
/// 422 when it is no time.
pub fn bound(name: &str, text: Option<&str>, default: i64) -> Result<i64, Problem> {
    match text {
        Some(text) => {
            UnixMs::parse(text).map(UnixMs::get).ok_or_else(|| Problem::invalid(name, "must be a time such as 2026-11-22T08:00:00Z"))
        }
        None => Ok(default),
    }
}

impl FromRequest for Page {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::read(request))
    }
}

fn write_cursor((at, id): &(i64, String)) -> String {
    URL_SAFE_NO_PAD.encode(format!("{at}.{id}"))
}

fn read_cursor(text: &str) -> Option<(i64, String)> {
    let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (at, id) = plain.split_once('.')?;
    let fits = !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some((at.parse().ok()?, id.to_owned()))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::Page;

    fn page(query: &str) -> Result<Page, u16> {
        Page::read(&TestRequest::with_uri(&format!("/?{query}")).to_http_request()).map_err(|problem| problem.code().status())
    }

    #[test]
    fn the_next_page_begins_where_this_one_ends() {
        let first = page("limit=2").unwrap();
        assert_eq!((first.before(), first.fetch()), ((i64::MAX, ""), 3));
        let list = first.list(vec![30, 20, 10], |at| (*at, format!("id_{at}")));
        assert_eq!(list.items, vec![30, 20]);
        let next = page(&format!("cursor={}", list.next_cursor.unwrap())).unwrap();
        assert_eq!((next.before(), next.fetch()), ((20, "id_20"), 51));
        assert_eq!(next.list(vec![10], |at| (*at, format!("id_{at}"))).next_cursor, None);
    }

    #[test]
    fn a_bad_limit_is_422_and_a_bad_cursor_400() {
        for limit in ["0", "201", "-1", "x", "4294967296"] {
            assert_eq!(page(&format!("limit={limit}")), Err(422), "{limit}");
        }
        for cursor in ["", "!", "AAAA", "MTIz"] {
            assert_eq!(page(&format!("cursor={cursor}")), Err(400), "{cursor}");
        }
    }
}
