//! What access control must fulfil: whoever closes a door must have a key for it.

use std::collections::HashSet;

use super::{Checks, MAX_TEXT, MIN_SECRET, is_url};

/// All of them are looked through whenever somebody comes.
const MAX_USERS: usize = 10_000;

impl Checks<'_> {
    pub(super) fn auth(&mut self) {
        let auth = &self.config.auth;
        let has_way = !(auth.users.is_empty()
            && auth.jwt_secret.is_empty()
            && auth.jwt_keys.is_empty()
            && auth.lal_for.is_empty());
        if !auth.required.is_empty() && !has_way {
            let what = "nobody could show any credentials";
            let remedy = "add [[auth.users]], or set auth.jwt_secret or auth.jwt_keys";
            self.report("auth.required", what, remedy);
        }
        if !auth.lal_for.is_empty() && auth.lal_key.is_empty() && auth.lal_override.is_empty() {
            let what = "nobody could show a lal_secret";
            self.report("auth.lal_for", what, "set auth.lal_key or auth.lal_override");
        }
        if !auth.callback.is_empty() && !is_url(&auth.callback) {
            // The URL may hold a secret.
            let what = "it is not a URL of http or https with a host";
            let remedy = "write something like \"https://auth.example/headwater\"";
            self.report("auth.callback", what, remedy);
        }
        if auth.jwt_keys.contains("://") && !is_url(&auth.jwt_keys) {
            let what = "it is neither a file nor a URL of http or https with a host";
            let remedy = "write something like \"https://auth.example/.well-known/jwks.json\"";
            self.report("auth.jwt_keys", what, remedy);
        }
        let length = auth.jwt_secret.len();
        if (1..MIN_SECRET).contains(&length) {
            // Whoever has a token can try secrets until its signature fits.
            let what = format!("it has {length} bytes, and can be guessed from a token");
            let remedy = format!("use {MIN_SECRET} random characters or more");
            self.report("auth.jwt_secret", what, remedy);
        }
        self.users();
    }

    fn users(&mut self) {
        let users = &self.config.auth.users;
        if users.len() > MAX_USERS {
            let what = format!("there are {}, more than {MAX_USERS}", users.len());
            self.report("auth.users", what, "use tokens (auth.jwt_keys) or auth.callback");
        }
        let mut names = HashSet::new();
        for (i, user) in users.iter().enumerate() {
            let key = |name: &str| format!("auth.users[{i}].{name}");
            let name = &user.name;
            if name.is_empty() || name.len() > MAX_TEXT || name.contains([':', '\r', '\n']) {
                let what = format!("{name:?} is not a name");
                let remedy = format!("use 1 to {MAX_TEXT} characters, and no colon");
                self.report(&key("name"), what, remedy);
            }
            if !names.insert(name) {
                let what = format!("there is another user {name:?}");
                self.report(&key("name"), what, "give each user a name of its own");
            }
            if user.password.is_empty() || user.password.len() > MAX_TEXT {
                let what = format!("it has {} bytes", user.password.len());
                self.report(&key("password"), what, format!("use 1 to {MAX_TEXT} bytes"));
            }
        }
    }
}
