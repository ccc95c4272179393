//! How a decided op becomes an HTTP answer: its place in the log, whether it was replayed, and trouble as problems.

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_ENCODING, HeaderName, IF_NONE_MATCH};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::Serialize;

use super::problem::Problem;
use crate::code::Code;
use crate::hot::{Place, Trouble};
use crate::id::CampaignId;

/// `<campaign>:<epoch>:<seq>`: where in the campaign's one order of things this was decided.
pub const SEQ: &str = "liebian-seq";
/// `true` when an `Idempotency-Key` gave the first answer again.
pub const REPLAY: &str = "idempotent-replay";

/// Where an op was decided, for the answer's headers.
#[derive(Clone, Copy, Debug)]
pub struct Decided {
    /// The campaign.
    pub campaign: CampaignId,
    /// The place in its log.
    pub place: Place,
    /// Whether this repeats the first answer.
    pub replayed: bool,
}

impl Decided {
    fn seq(&self) -> String {
        format!("{}:{}:{}", self.campaign, self.place.epoch, self.place.seq)
    }

    /// A yes.
    pub fn json(&self, status: StatusCode, body: &impl Serialize) -> HttpResponse {
        let mut response: HttpResponseBuilder = HttpResponse::build(status);
        response.insert_header((SEQ, self.seq()));
        if self.replayed {
            response.insert_header((REPLAY, "true"));
        }
        response.json(body)
    }

    /// A yes that followed from an op decided at `place`; without one nothing was decided.
    pub fn answer(campaign: CampaignId, place: Option<Place>, body: &impl Serialize) -> HttpResponse {
        match place {
            Some(place) => Self { campaign, place, replayed: false }.json(StatusCode::OK, body),
            None => HttpResponse::Ok().json(body),
        }
    }

    /// A no.
    #[must_use]
    pub fn refuse(&self, problem: Problem) -> Problem {
        let problem = problem.header(HeaderName::from_static(SEQ), &self.seq());
        if self.replayed { problem.header(HeaderName::from_static(REPLAY), "true") } else { problem }
    }
}

/// Whether a client's `If-None-Match` names this entity tag: a list, weak tags and `*` count (RFC 9110, 13.1.2).
#[must_use]
pub fn is_known(request: &HttpRequest, etag: &str) -> bool {
    let headers = request.headers().get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    headers.flat_map(|tags| tags.split(',')).map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// Whether a client takes gzip: it names it, with a weight above zero.
#[must_use]
pub fn takes_gzip(request: &HttpRequest) -> bool {
    let headers = request.headers().get_all(ACCEPT_ENCODING).filter_map(|value| value.to_str().ok());
    headers.flat_map(|codings| codings.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.bytes().all(|digit| b"0.".contains(&digit)));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Recovering => Self::new(Code::Recovering),
            Trouble::Overloaded => Self::new(Code::Overloaded),
            Trouble::OutcomeUnknown => Self::new(Code::OutcomeUnknown).detail("Send the very same request again to learn it"),
            Trouble::Defect(cause) => Self::defect(&cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::takes_gzip;

    #[test]
    fn gzip_is_for_those_who_name_it() {
        let takes = |accept: &str| takes_gzip(&TestRequest::get().insert_header(("accept-encoding", accept)).to_http_request());
        assert!(takes("gzip, deflate, br") && takes("br;q=1, GZIP;q=0.5"));
        assert!(!takes("") && !takes("identity") && !takes("br, gzip;q=0") && !takes("gzip;q=0.000"));
    }
}
