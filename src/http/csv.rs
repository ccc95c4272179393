//! Operators' lists as CSV: `Accept: text/csv` streams all rows that the filters leave, page after page, so that memory does not grow with the
//! list.
//!
//! RFC 4180: a header row, CRLF, cells quoted where they must be. UTF-8 without a byte order mark: programs take the mark for a part of the
//! first column's name, and Excel can be told (Data, From Text/CSV). Text that a spreadsheet would take for a formula (`=`, `+`, `-`, `@`, tab
//! or carriage return at its beginning) has an apostrophe before it. Numbers stand as they are, null is an empty cell, lists and objects are
//! JSON. A list that breaks off half way ends its connection without the last chunk, so that nobody takes it for whole.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_DISPOSITION};
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use futures_util::stream;
use serde::Serialize;
use serde_json::Value;

use super::page::Page;
use super::problem::Problem;

/// Rows that are read and sent at once.
const CHUNK: usize = 500;

/// Whether the caller wants CSV: `Accept` names `text/csv`.
#[derive(Clone, Copy, Debug)]
pub struct WantsCsv(bool);

impl FromRequest for WantsCsv {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let accepts = request.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok());
        let names = |range: &str| range.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("text/csv"));
        ready(Ok(Self(accepts.flat_map(|ranges| ranges.split(',')).any(names))))
    }
}

/// What a list is called, and what of its rows is shown.
#[derive(Debug)]
pub struct Table<T> {
    /// Names the file.
    pub name: &'static str,
    /// The members of a row that become columns.
    pub columns: &'static [&'static str],
    /// A row's place in the list: (Unix ms, id).
    pub place: fn(&T) -> (i64, String),
}

/// Answers with a page of the list, or with all of it as CSV. `rows` reads so many rows before a place, newest first.
///
/// # Errors
/// Those of `rows`.
pub async fn answer<T, F, R>(csv: WantsCsv, page: &Page, table: Table<T>, rows: F) -> Result<HttpResponse, Problem>
where
    T: Serialize + 'static,
    F: Fn((i64, String), i64) -> R + 'static,
    R: Future<Output = Result<Vec<T>, Problem>> + 'static,
{
    let (before, id) = page.before();
    let before = (before, id.to_owned());
    if !csv.0 {
        let found = rows(before, page.fetch()).await?;
        return Ok(HttpResponse::Ok().json(page.list(found, table.place)));
    }
    let file = format!("attachment; filename=\"{}.csv\"", table.name);
    // Before the answer begins, so that trouble can still be told.
    let first = rows(before.clone(), chunk()).await?;
    let reader = Reader { table, rows, before, read: Some(first), begun: false };
    let text = stream::unfold(Some(reader), |reader| async move { reader?.next().await });
    let mut response = HttpResponse::Ok();
    response.content_type("text/csv; charset=utf-8").insert_header((CONTENT_DISPOSITION, file)).insert_header((CACHE_CONTROL, "no-store"));
    Ok(response.streaming(text))
}

/// A list that is being sent.
struct Reader<T, F> {
    table: Table<T>,
    rows: F,
    /// The place before which the next rows stand.
    before: (i64, String),
    /// Rows that are read already.
    read: Option<Vec<T>>,
    /// The header row is sent.
    begun: bool,
}

impl<T, F, R> Reader<T, F>
where
    T: Serialize,
    F: Fn((i64, String), i64) -> R,
    R: Future<Output = Result<Vec<T>, Problem>>,
{
    /// The next piece of text, and what goes on after it, if anything does.
    async fn next(mut self) -> Option<(Result<Bytes, Problem>, Option<Self>)> {
        let found = match self.read.take() {
            Some(found) => found,
            None => match (self.rows)(self.before.clone(), chunk()).await {
                Ok(found) => found,
                Err(problem) => return Some((Err(problem), None)),
            },
        };
        let mut text = String::new();
        if !std::mem::replace(&mut self.begun, true) {
            push_row(&mut text, self.table.columns.iter().map(|name| (*name).to_owned()));
        }
        for row in &found {
            let row = serde_json::to_value(row).unwrap_or_default();
            push_row(&mut text, self.table.columns.iter().map(|name| cell(row.get(name))));
        }
        let more = found.len() >= CHUNK;
        if let Some(last) = found.last() {
            self.before = (self.table.place)(last);
        }
        Some((Ok(text.into()), more.then_some(self)))
    }
}

fn chunk() -> i64 {
    i64::try_from(CHUNK).unwrap_or(i64::MAX)
}

fn push_row(text: &mut String, cells: impl Iterator<Item = String>) {
    for (place, cell) in cells.enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(&cell);
    }
    text.push_str("\r\n");
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(words)) if words.starts_with(['=', '+', '-', '@', '\t', '\r']) => quoted(&format!("'{words}")),
        Some(Value::String(words)) => quoted(words),
        Some(number @ (Value::Bool(_) | Value::Number(_))) => number.to_string(),
        Some(whole @ (Value::Array(_) | Value::Object(_))) => quoted(&whole.to_string()),
    }
}

fn quoted(words: &str) -> String {
    if words.contains([',', '"', '\r', '\n']) { format!("\"{}\"", words.replace('"', "\"\"")) } else { words.to_owned() }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use actix_web::test::TestRequest;
    use actix_web::{FromRequest, dev::Payload};
    use serde_json::{Value, json};

    use super::{CHUNK, Table, WantsCsv, answer, cell};
    use crate::code::Code;
    use crate::http::page::Page;

    async fn wants(accept: &str) -> WantsCsv {
        let request = TestRequest::get().insert_header(("accept", accept)).to_http_request();
        WantsCsv::from_request(&request, &mut Payload::None).await.unwrap()
    }

    #[actix_web::test]
    async fn csv_is_for_those_who_name_it() {
        assert!(wants("text/csv").await.0 && wants("application/json, Text/CSV;q=0.9").await.0);
        assert!(!wants("*/*").await.0 && !wants("text/csvx").await.0 && !wants("").await.0);
    }

    #[test]
    fn no_cell_is_a_formula_or_breaks_its_row() {
        for (value, expected) in [
            (json!("=1+1"), "'=1+1"),
            (json!("+86"), "'+86"),
            (json!("-x"), "'-x"),
            (json!("@SUM(A1)"), "'@SUM(A1)"),
            (json!("\tx"), "'\tx"),
            (json!("\r=x"), "\"'\r=x\""),
            (json!("a,b"), "\"a,b\""),
            (json!("a\"b\nc"), "\"a\"\"b\nc\""),
            (json!("张**"), "张**"),
            (json!(-5), "-5"),
            (json!(null), ""),
            (json!(true), "true"),
            (json!([{"name": "=x"}]), "\"[{\"\"name\"\":\"\"=x\"\"}]\""),
        ] {
            assert_eq!(cell(Some(&value)), expected, "{value}");
        }
        assert_eq!(cell(None), "");
    }

    fn table() -> Table<Value> {
        let place = |row: &Value| (row["at"].as_i64().unwrap(), row["id"].as_str().unwrap().to_owned());
        Table { name: "rows", columns: &["id", "at", "gone"], place }
    }

    async fn page() -> Page {
        Page::from_request(&TestRequest::get().to_http_request(), &mut Payload::None).await.unwrap()
    }

    /// Rows numbered downwards, as a list reads them.
    fn rows(before: i64, fetch: i64, all: i64) -> Vec<Value> {
        (0..before.min(all)).rev().take(usize::try_from(fetch).unwrap()).map(|at| json!({"at": at, "id": format!("r{at}")})).collect()
    }

    #[actix_web::test]
    async fn all_rows_come_once_under_one_header_in_pieces() {
        let chunk = i64::try_from(CHUNK).unwrap();
        for all in [0, 1, chunk, 2 * chunk + 7] {
            let read = move |(before, _): (i64, String), fetch| std::future::ready(Ok(rows(before, fetch, all)));
            let response = answer(wants("text/csv").await, &page().await, table(), read).await.unwrap();
            assert_eq!(response.headers().get("content-type").unwrap(), "text/csv; charset=utf-8");
            let text = String::from_utf8(to_bytes(response.into_body()).await.unwrap().to_vec()).unwrap();
            let mut lines = text.split_terminator("\r\n");
            assert_eq!(lines.next(), Some("id,at,gone"));
            assert!(lines.eq((0..all).rev().map(|at| format!("r{at},{at},"))), "{all} rows");
        }
    }

    #[actix_web::test]
    async fn a_list_that_breaks_off_does_not_look_whole() {
        let read = move |(before, _): (i64, String), fetch| {
            std::future::ready(if before == i64::MAX { Ok(rows(before, fetch, 10_000)) } else { Err(Code::Overloaded.into()) })
        };
        let response = answer(wants("text/csv").await, &page().await, table(), read).await.unwrap();
        assert!(to_bytes(response.into_body()).await.is_err());
    }
}
