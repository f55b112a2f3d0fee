//! What the commands of a client do.

use std::time::Instant;

use flv::amf0::{Object, Value};
use flv::caps::Capabilities;

use super::{
    ConnectRequest, Event, MAX_STREAMS, MessageStream, Phase, PlayRequest, PublishKind, Session,
    StreamId, StreamState, reply,
};
use crate::command::{Command, Level};
use crate::{Error, url};

/// How much of a command's name goes into an error.
const MAX_NAME_IN_ERROR: usize = 32;

/// How much is kept, in characters, of what a client says of itself and the page that it is on.
const MAX_WORDS: usize = 256;

impl Session {
    pub(super) fn handle_command(
        &mut self,
        command: &Command,
        stream: StreamId,
        now: Instant,
    ) -> Result<(), Error> {
        let out_of_order = |state| {
            let what = command.name.chars().take(MAX_NAME_IN_ERROR).collect();
            Err(Error::OutOfOrder { what, state })
        };
        match (&self.phase, command.name.as_str()) {
            (Phase::Unconnected, "connect") => self.connect(command)?,
            (Phase::Connected, "connect") => return out_of_order("on a connected session"),
            (Phase::Connected, _) => self.request(command, stream)?,
            _ => return out_of_order("before connect"),
        }
        self.times.progress = now;
        Ok(())
    }

    fn connect(&mut self, command: &Command) -> Result<(), Error> {
        let object = command.object.as_object().cloned().unwrap_or_default();
        let string = |key| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        // What is only told to others may be cut.
        let words = |key| string(key).chars().take(MAX_WORDS).collect();
        let (app, tc_url) = (string("app"), string("tcUrl"));
        if app.len().max(tc_url.len()) > url::MAX_URL {
            return Err(Error::Malformed { what: "connect: app or tcUrl is too long" });
        }
        let object_encoding = object.get("objectEncoding").and_then(Value::as_number);
        let object_encoding = if object_encoding == Some(3.0) { 3.0 } else { 0.0 };
        let request = ConnectRequest {
            app,
            tc_url,
            flash_ver: words("flashVer"),
            swf_url: words("swfUrl"),
            page_url: words("pageUrl"),
            object_encoding,
            capabilities: Capabilities::from_connect(&object),
            object,
        };
        self.phase = Phase::Connecting {
            transaction: command.transaction,
            object_encoding,
            enhanced: is_enhanced(&request.object),
        };
        self.events.push_back(Event::Connect(Box::new(request)));
        Ok(())
    }

    fn request(&mut self, command: &Command, stream: StreamId) -> Result<(), Error> {
        match command.name.as_str() {
            "createStream" => self.create_stream(command.transaction),
            "publish" => self.publish(command, stream),
            "play" => self.play(command, stream),
            "deleteStream" => {
                let number = command.number(0);
                let id = self.streams.iter().map(|s| s.id).find(|id| number == Some(id.0.into()));
                if let Some(id) = id {
                    self.end(id);
                    self.streams.retain(|stream| stream.id != id);
                }
                Ok(())
            }
            "closeStream" => self.close_stream(stream),
            "FCPublish" => self.announce(command, "onFCPublish", "NetStream.Publish.Start"),
            "FCUnpublish" => {
                if let Some(id) = self.publishing(command.string(0)) {
                    self.end(id);
                }
                self.announce(command, "onFCUnpublish", "NetStream.Unpublish.Success")
            }
            "FCSubscribe" => self.announce(command, "onFCSubscribe", "NetStream.Play.Start"),
            "getStreamLength" => self.answer(&reply::result(command.transaction, 0.0)),
            "pause" | "pauseRaw" => self.pause(command, stream),
            "seek" => {
                let position = command.number(0).unwrap_or(0.0);
                self.push_if_playing(stream, Event::Seek { stream, position });
                Ok(())
            }
            "receiveAudio" => {
                let on = command.boolean(0).unwrap_or(true);
                self.push_if_playing(stream, Event::ReceiveAudio { stream, on });
                Ok(())
            }
            "receiveVideo" => {
                let on = command.boolean(0).unwrap_or(true);
                self.push_if_playing(stream, Event::ReceiveVideo { stream, on });
                Ok(())
            }
            // Answers to commands of ours; to answer them would not end.
            "_result" | "_error" | "onStatus" => Ok(()),
            // releaseStream, _checkbw, initStream and all that encoders invent.
            _ => self.acknowledge(command),
        }
    }

    /// Answers a command that means nothing here, if its sender waits for that.
    fn acknowledge(&mut self, command: &Command) -> Result<(), Error> {
        if command.transaction == 0.0 {
            return Ok(());
        }
        self.answer(&reply::result(command.transaction, Value::Undefined))
    }

    fn announce(&mut self, command: &Command, name: &str, code: &str) -> Result<(), Error> {
        let stream = command.string(0).unwrap_or_default();
        self.answer(&reply::announced(name, code, stream))?;
        self.acknowledge(command)
    }

    fn create_stream(&mut self, transaction: f64) -> Result<(), Error> {
        let free = (1..).map(StreamId).find(|&id| self.streams.iter().all(|s| s.id != id));
        match free {
            Some(id) if self.streams.len() < MAX_STREAMS => {
                self.open(id);
                self.answer(&reply::result(transaction, f64::from(id.0)))
            }
            _ => {
                let code = "NetConnection.Call.Failed";
                self.answer(&reply::failed(transaction, code, "Too many message streams"))
            }
        }
    }

    /// Adds an idle message stream.
    fn open(&mut self, id: StreamId) {
        // Nearly every connection has one: no room for four.
        self.streams.reserve_exact(1);
        self.streams.push(MessageStream { id, state: StreamState::Idle });
    }

    fn publish(&mut self, command: &Command, stream: StreamId) -> Result<(), Error> {
        if command.boolean(0) == Some(false) {
            return self.close_stream(stream);
        }
        let Some(name) = command.string(0) else {
            return self.fail(stream, "NetStream.Publish.BadName", "A name is missing");
        };
        let Some(state) = self.claim(stream) else {
            return self.fail(stream, "NetStream.Publish.BadName", "The message stream is in use");
        };
        *state = StreamState::PublishPending { name: name.into() };
        let kind = match command.string(1) {
            Some("record") => PublishKind::Record,
            Some("append") => PublishKind::Append,
            _ => PublishKind::Live,
        };
        self.reader.set_limits(self.config.limits);
        self.events.push_back(Event::Publish { stream, name: name.to_owned(), kind });
        Ok(())
    }

    fn play(&mut self, command: &Command, stream: StreamId) -> Result<(), Error> {
        if command.boolean(0) == Some(false) {
            return self.close_stream(stream);
        }
        let Some(name) = command.string(0) else {
            return self.fail(stream, "NetStream.Play.Failed", "A name is missing");
        };
        let request = PlayRequest {
            name: name.to_owned(),
            start: command.number(1).unwrap_or(-2.0),
            duration: command.number(2).unwrap_or(-1.0),
            // A boolean, or as some players have it, a number.
            reset: command
                .boolean(3)
                .or_else(|| command.number(3).map(|n| n != 0.0))
                .unwrap_or(true),
        };
        let Some(state) = self.claim(stream) else {
            return self.fail(stream, "NetStream.Play.Failed", "The message stream is in use");
        };
        *state = StreamState::PlayPending { reset: request.reset };
        self.events.push_back(Event::Play { stream, request });
        Ok(())
    }

    /// The state of a message stream that can be given a task. Some encoders skip createStream:
    /// what was not created is created now, by one of the numbers that createStream gives: players
    /// with the same number share what is sent. `None` if it is in use, or another one.
    fn claim(&mut self, id: StreamId) -> Option<&mut StreamState> {
        if self.streams.iter().all(|stream| stream.id != id) {
            let is_usual = usize::try_from(id.0).is_ok_and(|id| id <= MAX_STREAMS);
            if !is_usual || self.streams.len() >= MAX_STREAMS {
                return None;
            }
            self.open(id);
        }
        self.streams
            .iter_mut()
            .find(|stream| stream.id == id)
            .map(|stream| &mut stream.state)
            .filter(|state| matches!(state, StreamState::Idle | StreamState::Ended))
    }

    fn fail(&mut self, stream: StreamId, code: &str, description: &str) -> Result<(), Error> {
        self.notify_status(stream, Level::Error, code, description)
    }

    /// Ends what a message stream does, and tells the owner; whether it was publishing.
    fn end(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) else {
            return false;
        };
        if !matches!(stream.state, StreamState::Publishing { .. } | StreamState::Playing) {
            return false;
        }
        let ended = std::mem::replace(&mut stream.state, StreamState::Ended);
        self.events.push_back(Event::StreamEnded { stream: id });
        // The way to the next publish or play begins anew.
        self.times.setup = self.times.setup.max(self.times.input);
        matches!(ended, StreamState::Publishing { .. })
    }

    fn close_stream(&mut self, stream: StreamId) -> Result<(), Error> {
        if self.end(stream) {
            let code = "NetStream.Unpublish.Success";
            self.notify_status(stream, Level::Status, code, "Stop publishing")?;
        }
        Ok(())
    }

    /// The message stream that publishes `name`; if none does, the only one that publishes.
    fn publishing(&self, name: Option<&str>) -> Option<StreamId> {
        let publishing = || {
            self.streams.iter().filter_map(|stream| match &stream.state {
                StreamState::Publishing { name } => Some((stream.id, name)),
                _ => None,
            })
        };
        let named = publishing().find(|(_, published)| name == Some(published));
        let only = || publishing().next().filter(|_| publishing().count() == 1);
        named.or_else(only).map(|(id, _)| id)
    }

    fn pause(&mut self, command: &Command, stream: StreamId) -> Result<(), Error> {
        let on = command.boolean(0).unwrap_or(true);
        let position = command.number(1).unwrap_or(0.0);
        if !self.push_if_playing(stream, Event::Pause { stream, on, position }) {
            return Ok(());
        }
        let (code, description) = if on {
            ("NetStream.Pause.Notify", "Paused")
        } else {
            ("NetStream.Unpause.Notify", "Playing again")
        };
        self.notify_status(stream, Level::Status, code, description)
    }

    fn push_if_playing(&mut self, id: StreamId, event: Event) -> bool {
        let playing = |s: &MessageStream| s.id == id && matches!(s.state, StreamState::Playing);
        let playing = self.streams.iter().any(playing);
        if playing {
            self.events.push_back(event);
        }
        playing
    }
}

/// Whether a connect object announces anything of Enhanced RTMP.
fn is_enhanced(object: &Object) -> bool {
    ["fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"]
        .into_iter()
        .any(|key| object.get(key).is_some())
}
