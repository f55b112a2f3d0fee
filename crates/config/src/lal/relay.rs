//! lal's relays, which are a part of our section `relay`.

use serde::Deserialize;
use toml::{Table, Value};

use super::{Translation, on};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RelayPush {
    enable: Option<bool>,
    addr_list: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RelayPull {
    enable: Option<bool>,
    addr: Option<String>,
}

impl RelayPush {
    pub(super) fn translate(&self, to: &mut Translation<'_>) {
        if !on(self.enable) || self.addr_list.is_empty() {
            return;
        }
        let address = |host: &String| format!("rtmp://{host}/{{app}}/{{name}}?{{query}}").into();
        let mut rule = Table::new();
        rule.insert("stream".to_owned(), "*".into());
        rule.insert(
            "to".to_owned(),
            self.addr_list.iter().map(address).collect::<Vec<Value>>().into(),
        );
        to.put("relay.push", Value::Array(vec![rule.into()]), "relay_push.addr_list");
    }
}

impl RelayPull {
    /// `key` is what the section was called: it had another name once.
    pub(super) fn translate(&self, to: &mut Translation<'_>, key: &'static str) {
        if let (true, Some(host)) = (on(self.enable), self.addr.as_ref().filter(|a| !a.is_empty()))
        {
            // Not an origin of relay.origins, which would be told what viewers show here to be let
            // in: lal sends no query there.
            let mut rule = Table::new();
            rule.insert("stream".to_owned(), "*".into());
            rule.insert("from".to_owned(), vec![format!("rtmp://{host}/{{path}}")].into());
            rule.insert("start".to_owned(), "on_demand".into());
            to.put("relay.pull", Value::Array(vec![rule.into()]), key);
        }
    }
}
