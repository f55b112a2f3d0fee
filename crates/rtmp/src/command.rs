//! Commands: RTMP 1.0 §7.2, as AMF0 (type 20) and AMF3 (type 17) messages.
//!
//! An AMF3 command is an AMF0 one behind a format selector of zero; its values may switch to AMF3
//! one by one. Commands are always written as AMF0, which every peer reads.

use bytes::{Bytes, BytesMut};
use flv::amf0::{Decoder, Object, Value};

use crate::{Error, chunk, message::Kind};

/// How many arguments are read; no command has more than five.
const MAX_ARGUMENTS: usize = 16;

/// A command or the answer to one.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// `connect`, `_result`, `onStatus`, …
    pub name: String,
    /// What an answer refers to; 0 wants none.
    pub transaction: f64,
    /// The command object; null for most commands.
    pub object: Value,
    /// What follows it.
    pub arguments: Vec<Value>,
}

impl Command {
    /// A command without arguments.
    #[must_use]
    pub fn new(name: &str, transaction: f64, object: Value) -> Self {
        Self { name: name.to_owned(), transaction, object, arguments: Vec::new() }
    }

    /// The same command with one more argument.
    #[must_use]
    pub fn with(mut self, argument: impl Into<Value>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// An `onStatus`, as both sides of a message stream understand it.
    #[must_use]
    pub fn status(level: Level, code: &str, description: &str) -> Self {
        let info = status_object(level, code, description);
        Self::new("onStatus", 0.0, Value::Null).with(Value::Object(info))
    }

    /// Reads the body of a command message.
    ///
    /// Peers leave out the transaction id and the command object of commands that need neither,
    /// and append values that cannot be read: what is missing is zero or null, and reading ends
    /// at the first argument that is not AMF.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the body does not begin with a name.
    pub fn parse(kind: Kind, payload: &[u8]) -> Result<Self, Error> {
        let selector = usize::from(kind == Kind::CommandAmf3 && payload.first() == Some(&0));
        let mut values = Decoder::new(payload.get(selector..).unwrap_or_default());
        let Some(Ok(Value::String(name))) = values.next() else {
            return Err(Error::Malformed { what: "command name" });
        };
        let mut values = values.map_while(Result::ok);
        let transaction = values.next().and_then(|value| value.as_number()).unwrap_or(0.0);
        let object = values.next().unwrap_or(Value::Null);
        let arguments = values.take(MAX_ARGUMENTS).collect();
        Ok(Self { name, transaction, object, arguments })
    }

    /// The body of an AMF0 command message.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut body = BytesMut::with_capacity(256);
        Value::from(self.name.as_str()).encode(&mut body);
        Value::from(self.transaction).encode(&mut body);
        self.object.encode(&mut body);
        for argument in &self.arguments {
            argument.encode(&mut body);
        }
        body.freeze()
    }

    /// Appends the command to `out` as a message.
    ///
    /// # Errors
    /// [`Error::MessageTooLong`] if its strings are longer than a message can be.
    pub fn write(
        &self,
        out: &mut BytesMut,
        chunk_stream: u32,
        stream_id: u32,
        size: chunk::Size,
    ) -> Result<(), Error> {
        let kind = Kind::CommandAmf0;
        let header = chunk::Header { chunk_stream, kind, stream_id, timestamp: 0 };
        chunk::write_message(out, header, &[&self.encode()], size)
    }

    /// The argument at `index`, if it is a string.
    #[must_use]
    pub fn string(&self, index: usize) -> Option<&str> {
        self.arguments.get(index).and_then(Value::as_str)
    }

    /// The argument at `index`, if it is a number.
    #[must_use]
    pub fn number(&self, index: usize) -> Option<f64> {
        self.arguments.get(index).and_then(Value::as_number)
    }

    /// The argument at `index`, if it is a boolean.
    #[must_use]
    pub fn boolean(&self, index: usize) -> Option<bool> {
        self.arguments.get(index).and_then(Value::as_bool)
    }

    /// The first argument that is an object: the information object of an answer or a status.
    #[must_use]
    pub fn information(&self) -> Option<&Object> {
        self.arguments.iter().find_map(Value::as_object)
    }
}

/// The level of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something happened as it should.
    Status,
    /// Something did not, and the session goes on.
    Warning,
    /// A request failed.
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// The information object of a status: level, code and description, in this order.
#[must_use]
pub fn status_object(level: Level, code: &str, description: &str) -> Object {
    let mut info = Object::new();
    info.insert("level", level.name());
    info.insert("code", code);
    info.insert("description", description);
    info
}
