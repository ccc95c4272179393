//! The page of a link, and the link as a QR code.

use actix_web::http::header::{
    ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue,
    REFERRER_POLICY, USER_AGENT, VARY,
};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError, get};
use serde::Deserialize;

use super::language::Language;
use super::page::{self, Asked};
use super::pages::Wanted;
use super::qr;
use super::token::ShareToken;
use crate::app::App;
use crate::code::Code;
use crate::http::answer::{is_known, takes_gzip};
use crate::http::extract::Query;
use crate::http::problem::Problem;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const VARIES: HeaderValue = HeaderValue::from_static("Accept, Accept-Encoding, Accept-Language, User-Agent");
/// Kept by the browser alone, and asked about each time.
const ASK_EACH_TIME: HeaderValue = HeaderValue::from_static("private, no-cache");
const NOT_KEPT: HeaderValue = HeaderValue::from_static("no-store");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");

#[derive(Debug, Default, Deserialize)]
struct Parameters {
    lang: Option<String>,
    room: Option<String>,
}

impl Parameters {
    /// What of them means something; the rest is not looked at.
    fn asked(&self) -> Asked {
        let room = self.room.as_deref().and_then(|room| room.parse().ok());
        Asked { room, language: self.lang.as_deref().and_then(Language::of) }
    }
}

/// The page of a campaign, and of a room of it, for people.
#[utoipa::path(tag = "shares", operation_id = "show_share", params(("token" = String, Path, description = "A share link's token."),
        ("lang" = Option<String>, Query, nullable = false, description = "`zh` or `en`; else Accept-Language says, else it is Chinese."),
        ("room" = Option<String>, Query, nullable = false, description = "Another room of the campaign than the link's.")),
    responses((status = 200, description = "The page", content_type = "text/html", body = String),
        (status = 304, description = "As the caller knows it"),
        (status = 404, description = "A page that says so, to those who accept HTML", content_type = "text/html", body = String),
        (status = 410, description = "A page that says so, to those who accept HTML", content_type = "text/html", body = String)),
    extensions(("x-refusals" = json!([Code::ShareInvalid, Code::ShareRevoked]))))]
#[get("/s/{token}")]
pub async fn show(app: Data<App>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let token = request.match_info().get("token").unwrap_or_default();
    let asked = asked(&request);
    let language = Language::choose(asked.language, header(&request, &ACCEPT_LANGUAGE));
    match answer(&app, &request, token, language, asked).await {
        Ok(answer) => Ok(answer),
        Err(problem) if header(&request, &ACCEPT).is_some_and(|accept| accept.contains("text/html")) => {
            let text = page::render_refusal(problem.code(), language).map_err(|why| Problem::defect(&why))?;
            let mut response = HttpResponse::build(problem.status_code());
            Ok(head(&mut response, language).insert_header((CACHE_CONTROL, NOT_KEPT)).body(text))
        }
        Err(problem) => Err(problem),
    }
}

/// The link as a QR code.
#[utoipa::path(tag = "shares", operation_id = "show_share_code", params(("token" = String, Path, description = "A share link's token.")),
    responses((status = 200, description = "The picture", content_type = "image/svg+xml", body = String)),
    extensions(("x-refusals" = json!([Code::ShareInvalid]))))]
#[get("/s/{token}/qr.svg")]
pub async fn code(app: Data<App>, token: Path<String>) -> Result<HttpResponse, Problem> {
    let token = ShareToken::read(&app.secrets, &token).ok_or(Code::ShareInvalid)?;
    let picture = qr::svg(&format!("{}/s/{token}", app.config.public_url)).ok_or_else(|| Problem::defect(&"no QR code holds the link"))?;
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, HeaderValue::from_static("image/svg+xml")));
    Ok(response.insert_header((CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"))).body(picture))
}

async fn answer(app: &App, request: &HttpRequest, token: &str, language: Language, asked: Asked) -> Result<HttpResponse, Problem> {
    let jump = header(request, &USER_AGENT).is_some_and(page::is_wechat_browser);
    let token = token.parse::<ShareToken>().map_err(|_garbage| Code::ShareInvalid)?;
    let page = app.pages.get(app, Wanted { token, language, asked, jump }).await?;
    app.visits.count(token);
    let known = page.etag.to_str().is_ok_and(|etag| is_known(request, etag.trim_start_matches("W/")));
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    head(&mut response, language).insert_header((CACHE_CONTROL, ASK_EACH_TIME)).insert_header((ETAG, page.etag.clone()));
    if known {
        Ok(response.finish())
    } else if takes_gzip(request) {
        Ok(response.insert_header((CONTENT_ENCODING, HeaderValue::from_static("gzip"))).body(page.gzip()))
    } else {
        Ok(response.body(page.html.clone()))
    }
}

fn asked(request: &HttpRequest) -> Asked {
    if request.query_string().is_empty() {
        return Asked::default();
    }
    Query::<Parameters>::extract_now(request).map(|query| query.0.asked()).unwrap_or_default()
}

fn head(response: &mut HttpResponseBuilder, language: Language) -> &mut HttpResponseBuilder {
    response
        .insert_header((CONTENT_TYPE, HTML))
        .insert_header((CONTENT_SECURITY_POLICY, page::CONTENT_SECURITY_POLICY.clone()))
        .insert_header((CONTENT_LANGUAGE, HeaderValue::from_static(language.tag())))
        .insert_header((REFERRER_POLICY, NO_REFERRER))
        .insert_header((VARY, VARIES))
}

fn header<'r>(request: &'r HttpRequest, name: &actix_web::http::header::HeaderName) -> Option<&'r str> {
    request.headers().get(name)?.to_str().ok()
}
