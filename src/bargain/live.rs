//! One chain: as it is now, and as a stream of all its changes.

use actix_web::http::header::{CACHE_CONTROL, ETAG};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};

use super::PROGRAM;
use super::http::{find, names, view, view_with};
use super::row::ChainRow;
use super::view::ChainView;
use crate::app::App;
use crate::campaign::live::runs;
use crate::code::Code;
use crate::hot::Row;
use crate::http::answer;
use crate::http::caller::MaybeSession;
use crate::http::extract::Id;
use crate::http::problem::Problem;
use crate::http::stream::{self, Show, StreamEvent};
use crate::id::{ChainId, UserId};

/// One chain.
#[utoipa::path(tag = "chains", operation_id = "get_chain", params(("id" = ChainId, Path)), security((), ("session" = [])),
    responses((status = 200, description = "The chain", body = ChainView), (status = 304, description = "As the caller knows it")))]
#[get("/v1/chains/{id}")]
pub async fn read(app: Data<App>, request: HttpRequest, session: MaybeSession, id: Id<ChainId>) -> Result<HttpResponse, Problem> {
    let chain = find(&app, id.0).await?.ok_or(Code::NotFound)?;
    let shown = view(&app, id.0, &chain, session.0.map(|session| session.user_id)).await?;
    let hash = crate::crypto::sha256_hex(&serde_json::to_vec(&shown).unwrap_or_default());
    let etag = format!("\"{}\"", hash.get(..16).unwrap_or_default());
    if answer::is_known(&request, &etag) {
        return Ok(HttpResponse::NotModified().insert_header((ETAG, etag)).finish());
    }
    Ok(HttpResponse::Ok().insert_header((ETAG, etag)).insert_header((CACHE_CONTROL, "private, no-cache")).json(shown))
}

/// A stream of the chain's states: the present one, then each change (`event: chain`, `id: <epoch>-<seq>`, data: the chain), a comment every
/// 15 seconds. It ends after the chain was bought or has expired, when the reader is too slow, and when the server ends; who returns gets
/// the present state first.
#[utoipa::path(tag = "chains", operation_id = "watch_chain", security((), ("session" = [])),
    params(("id" = ChainId, Path), ("Last-Event-ID" = Option<String>, Header, description = "Not needed: the present state comes first.")),
    responses((status = 200, content_type = "text/event-stream", body = StreamEvent,
        description = "Server-Sent Events, data: a chain as compact JSON")))]
#[get("/v1/chains/{id}/live")]
pub async fn live(app: Data<App>, request: HttpRequest, session: MaybeSession, id: Id<ChainId>) -> Result<HttpResponse, Problem> {
    if !runs(&app, id.0.campaign(), &PROGRAM).await? {
        return Err(Code::NotFound.into());
    }
    let states = app.feed.follow(id.0.campaign(), "chains", id.0.hot()).await?.ok_or(Code::NotFound)?;
    let user = session.0.map(|session| session.user_id);
    stream::answer(&app, &request, ChainShow { app: app.clone(), id: id.0, user }, states)
}

/// A chain shown to one reader.
struct ChainShow {
    app: Data<App>,
    id: ChainId,
    user: Option<UserId>,
}

impl Show for ChainShow {
    const EVENT: &'static str = "chain";

    async fn shown(&self, row: &[u8]) -> Option<(String, bool)> {
        let chain = ChainRow::read(row).ok()?;
        // That SQL does not tell a name now must not end the stream.
        let names = names(&self.app, std::iter::once(&chain)).await.unwrap_or_default();
        Some((serde_json::to_string(&view_with(self.id, &chain, None, &names)).ok()?, !chain.state.stands()))
    }

    fn you(&self, row: &[u8]) -> Option<String> {
        let chain = ChainRow::read(row).ok()?;
        serde_json::to_string(&chain.you(self.id, self.user?.hot())).ok()
    }
}
