//! Who may publish, play and call: users, tokens, lal's simple authentication, a callback.
//!
//! Whatever needs credentials is open to those who show them in any of the ways that are
//! configured; but RTSP's own login and lal's secret, where both are asked for, do not stand in for
//! each other. What a callback refuses stays refused.

mod callback;
mod jwt;
mod lal;
pub mod query;
mod tickets;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use config::Config;
use config::sections::{Auth, Rtsp};
use config::values::{CallbackFor, Guarded, Pattern, RtspAuth};
use hub::gate::{Action, Answer, Credentials, Denial, Gate, Grant, Proof, Request};
use hub::{Protocol, StreamName};
use outgoing::{Client, Targets};

use self::callback::{Callback, Question};
use self::jwt::Tokens;
use self::query::Query;
pub use self::tickets::Tickets;

/// The gate of all sessions.
pub struct Access {
    rules: ArcSwap<Rules>,
    tickets: Arc<Tickets>,
    tokens: Arc<Tokens>,
    callback: Arc<Callback>,
}

/// What is configured.
#[derive(Debug, Clone)]
pub struct Rules {
    auth: Auth,
    rtsp: Rtsp,
    targets: Targets,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl Access {
    /// A gate with these rules, which asks others by `client`. Nobody else knows `key`.
    #[must_use]
    pub fn new(rules: Rules, client: Client, key: [u8; 32]) -> Arc<Self> {
        Arc::new(Self {
            rules: ArcSwap::from_pointee(rules),
            tickets: Arc::new(Tickets::new(key)),
            tokens: Arc::new(Tokens::new(client.clone())),
            callback: Arc::new(Callback::new(client)),
        })
    }

    /// Changes the rules for those who ask from now on.
    pub fn set_rules(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    /// Whether there is anybody who may not do something.
    #[must_use]
    pub fn is_guarded(&self, action: Action, protocol: Protocol) -> bool {
        self.guards(action, protocol)
    }

    /// Tickets for the operator's own viewers.
    #[must_use]
    pub fn tickets(&self) -> &Tickets {
        &self.tickets
    }

    /// Whether somebody may use the API without its own token: a user or the owner of a token who
    /// is allowed to, or whom the callback lets in.
    pub async fn admits_to_api(&self, credentials: &Credentials, peer: SocketAddr) -> bool {
        let rules = self.rules.load_full();
        let proven = credentials.user.as_ref().zip(credentials.proof.as_ref());
        if let Some((user, proof)) = proven {
            let mut users = rules.auth.users.iter();
            if users.any(|known| known.api && known.name == *user && proof.shows(&known.password)) {
                return true;
            }
        }
        if let Some(token) = &credentials.token {
            let read = self.tokens.read(&rules.auth, rules.targets, token).await;
            if read.is_ok_and(|claims| claims.headwater.api) {
                return true;
            }
        }
        let is_shown = credentials.token.is_some() || proven.is_some();
        if !is_shown || !rules.asks(CallbackFor::Api) {
            return false;
        }
        let question = Question {
            action: "api".to_owned(),
            protocol: "HTTP".to_owned(),
            ip: Question::ip(Some(peer)),
            user: credentials.user.clone(),
            password: password(credentials.proof.as_ref()),
            token: credentials.token.clone(),
            ..Question::default()
        };
        rules.ask(&self.callback, &question).await.is_ok()
    }
}

impl Gate for Access {
    fn ask(&self, request: Request) -> Answer {
        let rules = self.rules.load_full();
        let (tickets, tokens) = (self.tickets.clone(), self.tokens.clone());
        let callback = self.callback.clone();
        Box::pin(async move {
            let shown = Shown::of(&request);
            let grant = rules.check(&request, &shown, &tickets, &tokens).await?;
            let wanted = match request.action {
                Action::Connect => CallbackFor::Connect,
                Action::Publish => CallbackFor::Publish,
                Action::Play => CallbackFor::Play,
            };
            if rules.asks(wanted) && !grant.is_operator {
                rules.ask(&callback, &shown.question(&request)).await?;
            }
            Ok(Grant { user: grant.user })
        })
    }

    fn guards(&self, action: Action, protocol: Protocol) -> bool {
        let rules = self.rules.load();
        rules.guards(action, protocol)
            || match action {
                Action::Connect => rules.asks(CallbackFor::Connect),
                Action::Publish => rules.asks(CallbackFor::Publish),
                Action::Play => rules.asks(CallbackFor::Play),
            }
    }
}

/// What a peer shows, in its protocol's way or in the query of its address.
struct Shown {
    user: Option<String>,
    proof: Option<Proof>,
    token: Option<String>,
    ticket: Option<String>,
    raw_query: String,
}

impl Shown {
    fn of(request: &Request) -> Self {
        let raw_query = request.session.address().raw_query;
        let query = Query::of(&raw_query);
        let text = |name: &str| query.get(name).map(std::borrow::Cow::into_owned);
        let told = &request.credentials;
        let user = told.user.clone().or_else(|| text("user"));
        // What has come in the protocol's own way can only be checked there.
        let proof = match &told.proof {
            Some(Proof::Password(password)) => Some(Proof::Password(password.clone())),
            Some(Proof::Digest(_)) => None,
            None => text("pass").map(Proof::Password),
        };
        let token = told.token.clone().or_else(|| text("token")).or_else(|| text("jwt"));
        // Some clients know nothing but passwords.
        let token =
            token.or_else(|| password(proof.as_ref()).filter(|text| looks_like_token(text)));
        let ticket = text("ticket");
        Self { user, proof, token, ticket, raw_query }
    }

    fn question(&self, request: &Request) -> Question {
        let (session, address) = (&request.session, request.session.address());
        Question {
            action: request.action.to_string(),
            protocol: session.kind().protocol.to_string(),
            ip: Question::ip(session.peer()),
            user: self.user.clone(),
            password: password(self.proof.as_ref()),
            token: self.token.clone(),
            stream: request.stream.as_ref().map(ToString::to_string).unwrap_or_default(),
            app_name: address.app_name,
            stream_name: address.stream_name,
            url: address.url,
            url_param: address.raw_query,
            session_id: session.id().to_string(),
        }
    }
}

fn password(proof: Option<&Proof>) -> Option<String> {
    match proof {
        Some(Proof::Password(password)) => Some(password.clone()),
        _ => None,
    }
}

fn looks_like_token(text: &str) -> bool {
    text.len() > 20 && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// What there is of lal's simple authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secret {
    NotNeeded,
    Shown,
    Missing,
}

/// What the local checks have found.
#[derive(Default)]
struct Granted {
    user: Option<Arc<str>>,
    /// The operator's own viewer, whom nobody else is asked about.
    is_operator: bool,
}

impl Granted {
    fn to(user: String) -> Self {
        Self { user: Some(user.into()), is_operator: false }
    }
}

impl Rules {
    /// What a configuration asks for.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        let targets = match config.webhooks.private_targets {
            true => Targets::Any,
            false => Targets::Public,
        };
        Self { auth: config.auth.clone(), rtsp: config.rtsp.clone(), targets }
    }

    /// Whether there are credentials to be shown.
    fn guards(&self, action: Action, protocol: Protocol) -> bool {
        self.needs_credentials(action)
            || lal::guards(&self.auth, action, protocol)
            || (protocol == Protocol::Rtsp && self.needs_rtsp_login(action))
    }

    fn needs_credentials(&self, action: Action) -> bool {
        match action {
            Action::Publish => self.auth.required.has(Guarded::Publish),
            Action::Play => self.auth.required.has(Guarded::Play),
            Action::Connect => false,
        }
    }

    fn needs_rtsp_login(&self, action: Action) -> bool {
        self.rtsp.auth != RtspAuth::Off
            && match action {
                Action::Publish => self.rtsp.auth_publish,
                Action::Play => self.rtsp.auth_play,
                Action::Connect => false,
            }
    }

    fn asks(&self, about: CallbackFor) -> bool {
        !self.auth.callback.is_empty() && self.auth.callback_for.has(about)
    }

    async fn ask(&self, callback: &Callback, question: &Question) -> Result<(), Denial> {
        let (url, limit) = (&self.auth.callback, self.auth.callback_timeout.get());
        callback.ask(self.targets, url, limit, question).await
    }

    /// Whether what a peer shows is enough.
    async fn check(
        &self,
        request: &Request,
        shown: &Shown,
        tickets: &Tickets,
        tokens: &Tokens,
    ) -> Result<Granted, Denial> {
        let (action, protocol) = (request.action, request.session.kind().protocol);
        let Some(stream) = &request.stream else { return Ok(Granted::default()) };
        let is_operator = action == Action::Play
            && shown.ticket.as_ref().is_some_and(|ticket| tickets.admits(ticket, stream));
        if is_operator {
            return Ok(Granted { user: Some("operator".into()), is_operator });
        }
        if !self.guards(action, protocol) {
            return Ok(Granted::default());
        }
        let has_secret = || {
            let name = request.session.address().stream_name;
            lal::admits(&self.auth, &Query::of(&shown.raw_query), &name)
        };
        let lal = match lal::guards(&self.auth, action, protocol) {
            false => Secret::NotNeeded,
            true if has_secret() => Secret::Shown,
            true => Secret::Missing,
        };
        // lal asks for both.
        let needs_login = protocol == Protocol::Rtsp && self.needs_rtsp_login(action);
        if lal == Secret::Shown && !needs_login {
            return Ok(Granted::default());
        }
        if let Some(token) = &shown.token {
            let read = tokens.read(&self.auth, self.targets, token).await;
            let claims = read.map_err(|text| Denial::Unknown(text.to_owned()))?;
            let allowed = &claims.headwater;
            let user = claims.sub.unwrap_or_else(|| "token".to_owned());
            return match may(action, stream, &allowed.publish, &allowed.play) {
                true => Ok(Granted::to(user)),
                false => Err(forbidden(action)),
            };
        }
        self.check_password(request, shown, stream, lal)
    }

    fn check_password(
        &self,
        request: &Request,
        shown: &Shown,
        stream: &StreamName,
        lal: Secret,
    ) -> Result<Granted, Denial> {
        let (action, protocol) = (request.action, request.session.kind().protocol);
        let proof = request.credentials.proof.as_ref().or(shown.proof.as_ref());
        let Some((user, proof)) = shown.user.as_ref().zip(proof) else {
            let text = format!("to {action} this stream, credentials are needed");
            return Err(Denial::Unknown(text));
        };
        if protocol == Protocol::Rtsp
            && self.needs_rtsp_login(action)
            && *user == self.rtsp.username
            && proof.shows(&self.rtsp.password)
        {
            return match lal {
                Secret::NotNeeded | Secret::Shown => Ok(Granted::to(user.clone())),
                Secret::Missing => {
                    let text = format!("to {action} this stream, a lal_secret is needed as well");
                    Err(Denial::Forbidden(text))
                }
            };
        }
        let mut users = self.auth.users.iter();
        match users.find(|known| known.name == *user && proof.shows(&known.password)) {
            Some(known) if may(action, stream, &known.publish, &known.play) => {
                Ok(Granted::to(user.clone()))
            }
            Some(_) => Err(forbidden(action)),
            None => Err(Denial::Unknown("name or password are wrong".to_owned())),
        }
    }
}

fn forbidden(action: Action) -> Denial {
    Denial::Forbidden(format!("you may not {action} this stream"))
}

fn may(action: Action, stream: &StreamName, publish: &[Pattern], play: &[Pattern]) -> bool {
    let patterns = match action {
        Action::Publish => publish,
        Action::Play => play,
        Action::Connect => return true,
    };
    patterns.iter().any(|pattern| pattern.matches(stream.as_str()))
}
