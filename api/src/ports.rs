//! What the API needs from the rest of the house. The program's wiring implements these traits; tests have their own.

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
pub use tollgate_schemas::control::Kind;
use tollgate_schemas::{
    codec::CodecClass,
    id::Id,
    v1::{BlockScope, RequestKey},
};

/// The part behind a port cannot answer. Refusals are values, not faults.
#[derive(Debug, Error)]
pub enum Fault {
    /// Retryable: the log or the proxy is away, or too slow.
    #[error("not available now: {0}")]
    Unavailable(String),
    /// Terminal for this request: a defect on our side.
    #[error("{0}")]
    Internal(String),
}

/// One provisioning command.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    pub kind: Kind,
    pub name: String,
    /// The spec as JSON; none = remove the resource.
    pub spec: Option<Value>,
    /// Id of the key it came with.
    pub actor: String,
    pub reason: String,
    /// Decide, but write nothing.
    pub dry_run: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// `position`: how many control events are applied with this one; on a dry run, without it.
    Accepted { position: u64 },
    Refused { problems: Vec<Problem> },
}

/// One mistake in a document: where (`dial.max_rate`; empty = the whole) and what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub path: String,
    pub message: String,
}

/// A provisioning document in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    pub kind: Kind,
    pub name: String,
    pub spec: Value,
}

/// Provisioning: appends commands, answers after the owner's decision, reads what is in force.
pub trait Control: Send + Sync + 'static {
    fn submit(&self, command: Command) -> BoxFuture<'_, Result<Decision, Fault>>;
    fn get(&self, kind: Kind, name: &str) -> Option<Document>;
    fn list(&self, kind: Kind) -> Vec<Document>;
}

/// A carrier's sheet, read into rows, that waits for another person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewImport {
    pub deck: String,
    /// `full`, `full_country` or `partial`.
    pub mode: String,
    /// The rows as CSV, in the form that `tollgate deck convert` prints.
    pub rows: String,
    /// Name of the file they came from.
    #[serde(default)]
    pub file: String,
    /// When a full sheet closes what it does not list; RFC 3339.
    #[serde(default)]
    pub closes: Option<String>,
    /// Rows effective in the past hold from now on, rather than being refused.
    #[serde(default)]
    pub past_now: bool,
    /// Why too short a notice is taken.
    #[serde(default)]
    pub short_notice: Option<String>,
    #[serde(default)]
    pub jump_percent: Option<u32>,
    /// Currency the sheet names.
    #[serde(default)]
    pub currency: Option<String>,
    /// Columns of the sheet that nothing was taken from, for the preview.
    #[serde(default)]
    pub left_out: Vec<String>,
    /// The deck's document, for its first sheet.
    #[serde(default)]
    pub spec: Option<Value>,
    #[serde(default)]
    pub reason: String,
    /// Id of the key it came with.
    #[serde(skip)]
    pub actor: String,
    #[serde(skip)]
    pub dry_run: bool,
}

/// What a second person says of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    pub approve: bool,
    pub actor: String,
    pub reason: String,
    /// Why too short a notice is taken, where the proposal did not say.
    pub short_notice: Option<String>,
}

/// A value for the caller, or why it was refused.
pub type Told = Result<Value, Vec<Problem>>;

/// Rate sheets: proposals of new ones, and what they said when.
pub trait Decks: Send + Sync + 'static {
    /// The proposal with its preview; on a dry run the preview alone.
    fn propose(&self, import: NewImport) -> BoxFuture<'_, Result<Told, Fault>>;
    fn decide(&self, import_id: String, approval: Approval) -> BoxFuture<'_, Result<Told, Fault>>;
    /// Proposals, newest first, without previews.
    fn imports(&self) -> Vec<Value>;
    /// One with its preview.
    fn import(&self, import_id: String) -> BoxFuture<'_, Result<Option<Value>, Fault>>;
    /// A deck's states, newest first; none for a name that never was a deck's.
    fn versions(&self, deck: &str) -> Option<Value>;
    /// What a number costs at an instant as known at another, UTC microseconds; none when there was no such deck then.
    fn price(&self, deck: String, number: String, as_of_us: i64, known_us: i64) -> BoxFuture<'_, Result<Option<Value>, Fault>>;
    /// The file a deck had, as known at an instant.
    fn sheet(&self, deck: String, known_us: i64) -> BoxFuture<'_, Result<Option<Vec<u8>>, Fault>>;
    /// Destinations sold × carriers at an instant (S1-85).
    fn coverage(&self, at_us: i64) -> BoxFuture<'_, Result<Value, Fault>>;
}

/// Which live calls; every given condition must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Root account of the key that asks; none only for an operator's key.
    pub tenant: Option<String>,
    pub call_uuid: Option<Id>,
    pub account: Option<String>,
    pub trunk: Option<String>,
    pub carrier: Option<String>,
    pub state: Option<String>,
}

impl CallFilter {
    /// Whether a call is meant, for implementations that have no index.
    pub fn admits(&self, call: &LiveCall) -> bool {
        let is = |want: &Option<String>, have: &str| want.as_deref().is_none_or(|w| w == have);
        is(&self.tenant, &call.root_account)
            && self.call_uuid.is_none_or(|id| id == call.call_uuid)
            && is(&self.account, &call.account)
            && is(&self.trunk, &call.trunk)
            && is(&self.carrier, &call.carrier)
            && is(&self.state, call.state)
    }
}

/// A call that is up or being set up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveCall {
    pub call_uuid: Id,
    pub account: String,
    pub root_account: String,
    pub trunk: String,
    /// Carrier of the running attempt; empty before the first.
    pub carrier: String,
    pub a_number: String,
    pub b_number: String,
    pub dest_group: String,
    /// `trying`, `ringing`, `answered` or `ending`.
    pub state: &'static str,
    pub attempt_no: u32,
    /// UTC microseconds.
    pub invite_us: i64,
    pub answer_us: Option<i64>,
    /// Price per minute in decimal text.
    pub sell_rate: String,
    pub currency: String,
    /// What the customer owes for it so far, 1e-8 of the unit.
    pub spent_e8: i64,
    pub emergency: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndResult {
    /// The teardown has begun; its end is an event.
    Ending,
    /// No such call is up.
    Unknown,
}

/// The proxy as it stands now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NodeStats {
    pub node_id: String,
    pub uptime_s: u64,
    /// All calls known, and those answered.
    pub calls_up: u64,
    pub calls_answered: u64,
    /// New INVITEs in the last whole second, and the mean of the last ten in tenths of a call per second.
    pub cps_1s: u64,
    pub cps_10s_tenths: u64,
    pub draining: bool,
    /// `good`, `slow` or `failing`: whether the log can take new calls.
    pub log_health: String,
}

/// Calls that are up.
pub trait Calls: Send + Sync + 'static {
    /// In any order; must not block for long.
    fn live(&self, filter: &CallFilter) -> Vec<LiveCall>;
    /// Answers once the order to end the call is durable.
    fn end(&self, call: Id, actor: &str, reason: &str) -> BoxFuture<'_, Result<EndResult, Fault>>;
    fn stats(&self) -> NodeStats;
}

/// A block somebody orders. The event's `key` must be the root account of `scope.account` (or of the trunk's account);
/// empty where the scope names neither: [`crate::Views`] shows a block to a tenant by it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBlock {
    pub scope: BlockScope,
    pub reason: String,
    /// Seconds from now; none = until lifted.
    pub expires_s: Option<u64>,
    /// End the calls that are up, too.
    pub teardown: bool,
    pub sip_code: u16,
    pub actor: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiftResult {
    Lifted,
    Unknown,
}

pub trait Blocks: Send + Sync + 'static {
    /// Names in a scope that nothing has: a block of them would stop no call. Paths begin with `scope.`.
    fn unknown(&self, scope: BlockScope) -> BoxFuture<'_, Result<Vec<Problem>, Fault>>;
    /// Answers with the block's id once it is durable.
    fn place(&self, block: NewBlock) -> BoxFuture<'_, Result<Id, Fault>>;
    /// Lifting a block that is no longer active changes nothing and is `Lifted`.
    fn lift(&self, block: Id, actor: &str, reason: &str) -> BoxFuture<'_, Result<LiftResult, Fault>>;
}

/// What an account has in one currency, 1e-8 of its unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Money {
    pub currency: String,
    /// Rated and not paid; negative = paid in advance.
    pub owed_e8: i64,
    /// What its open calls hold.
    pub held_e8: i64,
    pub deposits_e8: i64,
}

/// Money somebody books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPayment {
    pub account: String,
    /// The top of its hierarchy.
    pub root_account: String,
    /// `payment`, `adjustment` or `deposit`.
    pub kind: String,
    /// In the account's favour.
    pub amount_e8: i64,
    pub currency: String,
    pub actor: String,
    pub reason: String,
    /// Booked once for the account; empty = none.
    pub reference: String,
    /// Booked once for the request; none without an Idempotency-Key.
    pub request: Option<RequestKey>,
}

/// What became of money somebody wanted booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paid {
    /// It is in the ledger: by this request, or by an earlier one with the same key or reference.
    Booked { id: Id, currency: String },
    /// The key's first request was another; what that came to.
    KeyReused(String),
    /// The account's reference has another amount, kind or currency; what has it.
    ReferenceUsed(String),
    Refused(Vec<Problem>),
}

/// Path of a problem that is none of the order's fields: its key was used with another request.
pub const KEY_REUSED: &str = "Idempotency-Key";

/// Balances, and what moves them beside calls.
pub trait Ledger: Send + Sync + 'static {
    /// By currency; empty for an account nothing was ever posted for. Must not block for long.
    fn money(&self, root: &str, account: &str) -> Vec<Money>;
    /// Answers once it is decided whether it is posted.
    fn pay(&self, payment: NewPayment) -> BoxFuture<'_, Result<Paid, Fault>>;
}

/// A backup as it is written. After an error nothing comes.
pub type Pieces = tokio::sync::mpsc::Receiver<Result<Bytes, Fault>>;

/// Copies of everything there is.
pub trait Backups: Send + Sync + 'static {
    /// Begins one, of this moment; `secrets`: the node's own keys are in it. One at a time: another is [`Fault::Unavailable`].
    fn begin(&self, secrets: bool) -> BoxFuture<'_, Result<Pieces, Fault>>;
}

/// A call that might be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteAsk {
    pub account: String,
    pub from: String,
    pub to: String,
    pub at_us: i64,
    /// Of the call's offer.
    pub codec_class: CodecClass,
    /// From 0 to 999,999: decides splits and exploration; none: neither.
    pub draw_e6: Option<u32>,
    /// Name of the verdict to decide by; none: the newest.
    pub quality: Option<String>,
}

/// A call's routing as it was, and decided again by what was known and in force then.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    pub then: Value,
    pub again: Value,
    pub agrees: bool,
    /// How many control events its proxy had applied.
    pub control_position: u64,
}

/// Where calls go, and what is known of the carriers.
pub trait Routing: Send + Sync + 'static {
    /// The newest verdict on each destination, by its name.
    fn quality(&self, dest_group: Option<&str>) -> Vec<Value>;
    /// The choices, or what is wrong with the question.
    fn explain(&self, ask: RouteAsk) -> BoxFuture<'_, Result<Result<Value, String>, Fault>>;
    /// None when the log no longer has the call. `root_account`, `at_us`: its key and about when it began.
    fn replay(&self, call: Id, root_account: &str, at_us: i64) -> BoxFuture<'_, Result<Option<Replayed>, Fault>>;
}

/// What finance asks of the node (R-45 … R-48, FN-01 … FN-20). Bodies are the JSON of the order, answers the JSON of the
/// result; the node knows their fields, and says what is wrong with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinanceVerb {
    AsOf,
    Rerate,
    Invoice,
    /// Every document, of one account where `name` says so.
    Documents,
    /// The document of that number.
    Document,
    Note,
    /// What accounts owe; the order is the query's parameters.
    Statement,
    Ageing,
    Accrual,
    Netting,
    /// Of customers or carriers over a period.
    ShortCalls,
    /// `name`: the call, for its postings with the balances around them (C-098).
    CallLedger,
    Disputes,
    Dispute,
    /// `name`: the dispute's id.
    Step,
}

pub trait Finance: Send + Sync + 'static {
    /// None: there is no such thing. Refusals are problems. `request`: what issues a document or changes a dispute does it once for it, and
    /// gives the first one's answer.
    fn ask(&self, verb: FinanceVerb, name: &str, order: Value, actor: &str, request: Option<RequestKey>) -> BoxFuture<'_, Result<Option<Result<Value, Vec<Problem>>>, Fault>>;
}

/// What `/readyz` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Readiness {
    pub ready: bool,
    /// What is waited for, in words; empty when ready.
    pub waiting_for: Vec<String>,
}
