//! Share links: an opaque token, the page it opens, and who shared what with whom.
//!
//! * A link attributes and never authorises; sharing earns nothing.
//! * `GET /s/{token}` is the page for people, `GET /v1/shares/{token}` the same for a mini-program.
//! * A share made by a visitor of another share names it as its parent: links form a tree.

pub mod assets;
pub mod desk;
pub mod http;
pub mod language;
pub mod links;
pub mod made;
pub mod page;
pub mod pages;
mod qr;
mod shelf;
pub mod show;
pub mod token;
pub mod visits;
