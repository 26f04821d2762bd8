//! A service asked over HTTP: JSON `{lrn, ocn, lata, rate_center, state}`; an empty or absent `lrn` and status 404 = not ported.

use serde::Deserialize;
use tollgate_schemas::{number::E164, parties::Place, portability::Ported};

use super::{Ask, NoAnswer, millis};
use crate::config::LrnConfig;

/// An answer is a few fields.
const MAX_ANSWER: u64 = 64 << 10;

pub struct Http {
    agent: ureq::Agent,
    url: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    lrn: Option<String>,
    ocn: String,
    lata: String,
    rate_center: String,
    state: String,
}

impl Answer {
    fn ported(self) -> Result<Ported, String> {
        let lrn = match self.lrn.filter(|n| !n.is_empty()) {
            Some(text) => Some(E164::parse(&text).map_err(|e| format!("lrn: {e}"))?),
            None => None,
        };
        Ok(Ported { lrn, place: Place { ocn: self.ocn, lata: self.lata, rate_center: self.rate_center, state: self.state } })
    }
}

impl Http {
    /// `url` has `{number}` in it.
    pub fn new(url: &str, config: &LrnConfig) -> Http {
        let agent = ureq::Agent::config_builder().timeout_global(Some(millis(config.timeout_ms))).build().into();
        Http { agent, url: url.to_owned() }
    }
}

impl Http {
    /// The answer's text; None: status 404, it knows nothing of the number.
    pub fn get(&self, number: &E164) -> Result<Option<String>, NoAnswer> {
        let mut response = match self.agent.get(self.url.replace("{number}", number.digits())).call() {
            Ok(response) => response,
            Err(ureq::Error::StatusCode(404)) => return Ok(None),
            Err(ureq::Error::StatusCode(status)) if status < 500 && status != 429 => return Err(NoAnswer::Useless(format!("HTTP {status}"))),
            Err(e) => return Err(NoAnswer::Silent(e.to_string())),
        };
        response.body_mut().with_config().limit(MAX_ANSWER).read_to_string().map(Some).map_err(|e| NoAnswer::Silent(e.to_string()))
    }
}

impl Ask<Ported> for Http {
    fn ask(&self, number: &E164) -> Result<Ported, NoAnswer> {
        let Some(text) = self.get(number)? else { return Ok(Ported::default()) };
        let answer: Answer = serde_json::from_str(&text).map_err(|e| NoAnswer::Useless(e.to_string()))?;
        answer.ported().map_err(NoAnswer::Useless)
    }
}
