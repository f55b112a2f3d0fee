//! One module per session kind: leads a peer through its protocol and joins it to the hub.
