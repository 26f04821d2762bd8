//! The table of what there is: each route with who may call it, what it takes and what it answers. The router, the
//! checks of every request and `/openapi.json` are all made from it, so the document cannot say anything else.

mod table;

use std::sync::LazyLock;

use axum::response::Response;
use futures::future::BoxFuture;

use crate::{ApiState, ask::Ask, auth::Scope, problem::Error};

pub(crate) type Reply = BoxFuture<'static, Result<Response, Error>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

impl Verb {
    pub fn name(self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::Post => "POST",
            Verb::Put => "PUT",
            Verb::Delete => "DELETE",
        }
    }
}

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Needs no key.
    Open,
    /// A key with the scope; a tenant's key is confined to its own.
    Scoped(Scope),
    /// An operator's key with the scope; a tenant's key is refused.
    Operator(Scope),
}

/// What a parameter's text must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// 1 to 256 characters.
    Text,
    /// Name of an account, trunk, carrier …
    Name,
    /// Our ids, in UUID shape.
    Id,
    /// RFC 3339 with an offset.
    Time,
    /// 1 to 20 digits, without plus.
    Digits,
    /// Offsets, one for each partition, with points between them.
    Positions,
    /// A whole number from .. to, with its default.
    Whole { from: u64, to: u64, default: u64 },
    Bool,
    OneOf(&'static [&'static str]),
    /// One or more of these, separated by commas, none twice.
    ListOf(&'static [&'static str]),
}

#[derive(Debug, Clone, Copy)]
pub struct Param {
    pub name: &'static str,
    pub form: Form,
    pub about: &'static str,
}

/// The body a route takes: a schema of the document, and the most bytes it may have.
#[derive(Debug, Clone, Copy)]
pub struct Takes {
    pub schema: &'static str,
    pub max_bytes: usize,
    /// The login form may also come as a browser sends it.
    pub or_form: bool,
}

/// What an answer that is not an error carries.
#[derive(Debug, Clone, Copy)]
pub enum Content {
    Nothing,
    /// A schema of the document.
    Json(&'static str),
    /// The same as JSON or, with `format`, as text of these media types.
    JsonOr(&'static str, &'static [&'static str]),
    Text(&'static str),
}

/// The answer of a route that is not an error.
#[derive(Debug, Clone, Copy)]
pub struct Gives {
    pub status: u16,
    pub content: Content,
}

pub struct Route {
    pub verb: Verb,
    pub path: String,
    /// `operationId`.
    pub id: String,
    pub about: &'static str,
    pub access: Access,
    /// Query parameters; those in the path are named there.
    pub params: &'static [Param],
    pub takes: Option<Takes>,
    pub gives: Gives,
    pub(crate) handler: fn(ApiState, Ask) -> Reply,
}

static TABLE: LazyLock<Vec<Route>> = LazyLock::new(table::table);

/// Every route there is.
pub fn routes() -> &'static [Route] {
    &TABLE
}
