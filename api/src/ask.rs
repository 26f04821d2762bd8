//! A request as handlers see it: checked, with its parameters by name.

use axum::http::{HeaderMap, Uri};
use bytes::Bytes;
use foldhash::{HashMap, HashMapExt};
use tollgate_schemas::{
    id::Id,
    name,
    strict::{self, BadBody},
    time,
};

use crate::{
    auth::Caller,
    ports::Problem,
    problem::Error,
    route::{Form, Param, Route},
};

pub(crate) struct Ask {
    pub route: &'static Route,
    /// None only on routes that need no key.
    pub caller: Option<Caller>,
    pub query: Query,
    /// The last parameter of the path; empty when there is none.
    pub path: String,
    pub body: Bytes,
    pub headers: HeaderMap,
}

impl Ask {
    pub fn caller(&self) -> Result<Caller, Error> {
        self.caller.clone().ok_or_else(Error::unauthorized)
    }

    /// The id in the path; one of another shape is of nothing we have.
    pub fn path_id(&self, what: &str) -> Result<Id, Error> {
        self.path.parse().map_err(|_| Error::not_found(what, &self.path))
    }
}

/// Query parameters that stood the check of their form.
#[derive(Debug, Default)]
pub(crate) struct Query(HashMap<&'static str, String>);

impl Query {
    /// Every parameter must be known, come once, and have its form; the first that does not is named.
    pub fn parse(uri: &Uri, params: &'static [Param]) -> Result<Query, Error> {
        let mut query = HashMap::new();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            let Some(param) = params.iter().find(|p| p.name == name) else {
                let known: Vec<&str> = params.iter().map(|p| p.name).collect();
                let known = if known.is_empty() { "this address takes none".to_owned() } else { format!("there are {}", known.join(", ")) };
                return Err(Error::bad_parameter(&name, format!("not known; {known}")));
            };
            check(param.form, &value).map_err(|problem| Error::bad_parameter(param.name, problem))?;
            if query.insert(param.name, value.into_owned()).is_some() {
                return Err(Error::bad_parameter(param.name, "given twice"));
            }
        }
        Ok(Query(query))
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn owned(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    pub fn time(&self, name: &str) -> Option<i64> {
        self.text(name).and_then(|t| time::parse_rfc3339(t).ok())
    }

    pub fn id(&self, name: &str) -> Option<Id> {
        self.text(name).and_then(|t| t.parse().ok())
    }

    pub fn is_true(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    pub fn whole(&self, name: &str, default: u64) -> u64 {
        self.text(name).and_then(|t| t.parse().ok()).unwrap_or(default)
    }

    /// `since` must be before `until`.
    pub fn span(&self) -> Result<(Option<i64>, Option<i64>), Error> {
        let (since, until) = (self.time("since"), self.time("until"));
        match (since, until) {
            (Some(s), Some(u)) if s >= u => Err(Error::bad_parameter("until", "must be after 'since'")),
            span => Ok(span),
        }
    }
}

fn check(form: Form, value: &str) -> Result<(), String> {
    let one_of = |names: &[&str]| format!("'{value}' is not one of {}", names.join(", "));
    match form {
        Form::Text if value.is_empty() || value.chars().count() > 256 => Err("want 1 to 256 characters".to_owned()),
        Form::Text => Ok(()),
        Form::Name => name::check(value).map(drop).map_err(|e| e.to_string()),
        Form::Id => value.parse::<Id>().map(drop).map_err(|e| e.to_string()),
        Form::Time => time::parse_rfc3339(value).map(drop).map_err(|e| e.to_string()),
        Form::Digits if (1..=20).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit()) => Ok(()),
        Form::Digits => Err(format!("'{value}' is not a number in full: want 1 to 20 digits, without plus")),
        Form::Positions if value.len() <= 4096 && value.split('.').all(|n| n.parse::<u64>().is_ok()) => Ok(()),
        Form::Positions => Err("want offsets with points between them, as /v1/as_of gives them".to_owned()),
        Form::Whole { from, to, .. } => match value.parse::<u64>() {
            Ok(n) if (from..=to).contains(&n) => Ok(()),
            _ => Err(format!("'{value}' is not a whole number from {from} to {to}")),
        },
        Form::Bool if matches!(value, "true" | "false") => Ok(()),
        Form::Bool => Err(format!("'{value}' is neither true nor false")),
        Form::OneOf(names) if names.contains(&value) => Ok(()),
        Form::OneOf(names) => Err(one_of(names)),
        Form::ListOf(names) => {
            let parts: Vec<&str> = value.split(',').collect();
            match parts.iter().enumerate().find(|(i, p)| !names.contains(p) || parts[..*i].contains(p)) {
                None => Ok(()),
                Some((_, part)) if names.contains(part) => Err(format!("'{part}' is given twice")),
                Some((_, part)) => Err(format!("'{part}' is not one of {}", names.join(", "))),
            }
        }
    }
}

impl Ask {
    /// The body as JSON, an object without a key twice: malformed is 400, another shape than wanted is 422 with its place.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        let wrong = |bad: strict::BadField| Error::unprocessable(vec![Problem { path: bad.path, message: bad.message }]);
        let value = strict::parse(&self.body).map_err(|e| match e {
            BadBody::Field(bad) => wrong(bad),
            e => Error::new(axum::http::StatusCode::BAD_REQUEST, "bad-json", e.to_string()),
        })?;
        strict::read(&value).map_err(wrong)
    }
}
