//! The operator's API and page.

use crate::schema::section;
use crate::values::{Addresses, FilePath};

section! {
    /// The operator's API and page. On this host they ask for nothing; from elsewhere, for a token.
    pub struct Api {
        /// Whether the API is served.
        Restart enable: bool = true,
        /// Where to listen: ":PORT" for all addresses of both families, or "IP:PORT".
        Restart listen: Addresses = Addresses::one("127.0.0.1:8083"),
        /// Where to listen with TLS.
        Restart tls_listen: Addresses = Addresses::none(),
        /// What requests must have in Authorization: Bearer TOKEN, from this host, too. Without
        /// one, requests from elsewhere must have a token that the server makes at its first start
        /// and keeps in token_file.
        Live token: String = String::new(),
        /// Where the token is kept that the server has made.
        Restart token_file: FilePath = FilePath::from("headwater.token"),
        /// Whether the API is open to everybody who can reach it.
        Live open: bool = false,
        /// Whether lal's endpoints answer faults with statuses such as 404. lal, and so the API by
        /// default, says 200 always.
        Live status_codes: bool = false,
        /// Sites whose pages may read what lal's endpoints say without a token, such as
        /// "https://HOST"; "*" for all, as in lal. They may change nothing.
        Live origins: Vec<String> = Vec::new(),
        /// Names by which the API may be asked without a token, such as "media.example", beside
        /// addresses, names without a dot and this host's own: others may lead here without
        /// anybody's knowledge. "*" for all, by programs that are no browser.
        Live hosts: Vec<String> = Vec::new(),
    }
}
