//! What a session holds; how it behaves is in the tests of conversations.

use super::*;
use crate::client;
use crate::url::Target;

impl Session {
    /// Bytes on the heap after the handshake, besides the shared configuration.
    fn heap(&self) -> usize {
        self.reader.heap()
            + self.streams.capacity() * size_of::<MessageStream>()
            + self.events.capacity() * size_of::<Event>()
            + self.deferred.capacity() * size_of::<Message>()
            + self.out.capacity()
    }
}

#[test]
fn an_idle_player_is_small() {
    let now = Instant::now();
    let target = Target::parse("rtmp://localhost/live/test").unwrap();
    let mut player = client::Session::pull(target, client::Config::default(), 1, now);
    let mut server = Session::new(Arc::default(), 2, now);
    for _ in 0..10 {
        while let Some(bytes) = player.poll_transmit() {
            server.handle_input(&bytes, now).unwrap();
        }
        while let Some(event) = server.poll_event() {
            match event {
                Event::Connect(_) => server.accept_connect(now).unwrap(),
                Event::Play { stream, .. } => server.accept_play(stream, now).unwrap(),
                _ => {}
            }
        }
        while let Some(bytes) = server.poll_transmit() {
            player.handle_input(&bytes, now).unwrap();
        }
    }
    assert!(server.is_playing());
    let (inline, heap) = (size_of::<Session>(), server.heap());
    assert!(inline + heap < 1024, "{inline} + {heap} bytes");
}
