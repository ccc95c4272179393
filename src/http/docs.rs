//! `/openapi.json`, and the page at `/docs/` that shows it. Both are no part of the document.

use std::sync::Arc;

use actix_web::guard::Get;
use actix_web::http::header::{CONTENT_ENCODING, LOCATION};
use actix_web::web::{self, Data, Path};
use actix_web::{HttpResponse, Responder};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, serve};

use super::problem::Problem;
use crate::code::Code;

const DOCUMENT: &str = "/openapi.json";
const PAGE: &str = "/docs";
const FILES: &str = "/docs/{_:.*}";

/// Their addresses, which take GET alone.
pub const ADDRESSES: [&str; 3] = [DOCUMENT, PAGE, FILES];

/// The routes.
pub fn routes(document: OpenApi) -> impl FnOnce(&mut web::ServiceConfig) {
    // Its default asks somebody else to judge the document, on every host but one's own machine.
    let config: Arc<Config<'static>> = Arc::new(Config::new([DOCUMENT]).validator_url("none"));
    let document = Data::new(document);
    move |cfg| {
        cfg.service(web::resource(DOCUMENT).guard(Get()).app_data(document).to(whole));
        cfg.service(web::resource(PAGE).guard(Get()).to(moved));
        cfg.service(web::resource(FILES).guard(Get()).app_data(Data::from(config)).to(file));
    }
}

async fn whole(document: Data<OpenApi>) -> impl Responder {
    HttpResponse::Ok().json(document)
}

async fn moved() -> impl Responder {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "/docs/")).finish()
}

async fn file(path: Path<String>, config: Data<Config<'static>>) -> Result<HttpResponse, Problem> {
    let file = serve(&path, config.into_inner()).map_err(|why| Problem::defect(&why))?.ok_or(Code::NotFound)?;
    let mut response = HttpResponse::Ok();
    if file.gzpipped {
        response.insert_header((CONTENT_ENCODING, "gzip"));
    }
    Ok(response.content_type(file.content_type).body(file.bytes.into_owned()))
}
