//! HTTP/1.x request heads and WebSocket framing for media connections.
