//! What the program holds of a stream, and loses when its session ends.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use hub::{EndReason, Session};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Something that belongs to a session of the program. It is given up as soon as anybody ends the
/// session, whatever the program does meanwhile: neither the stream nor a server that stops waits
/// for it.
pub(crate) struct Held<T> {
    inner: Arc<Mutex<Option<T>>>,
    session: Arc<Session>,
    given_up: watch::Receiver<bool>,
}

impl<T: Send + 'static> Held<T> {
    /// Holds `value`, which ends its session when it is dropped.
    pub(crate) fn new(runtime: &Handle, session: Arc<Session>, value: T) -> Self {
        let inner = Arc::new(Mutex::new(Some(value)));
        let (tell, given_up) = watch::channel(false);
        let (held, owner) = (inner.clone(), session.clone());
        runtime.spawn(async move {
            poll_fn(|cx| owner.poll_disposed(cx)).await;
            let value = held.lock().take();
            drop(value);
            // Only fails when nobody waits.
            let _ = tell.send(true);
        });
        Self { inner, session, given_up }
    }

    /// Does something with it; nothing if the session has ended.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.inner.lock().as_mut().map(act)
    }
}

impl<T> Held<T> {
    /// The session.
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Why the session has ended, if it has.
    pub(crate) fn ending(&self) -> Option<EndReason> {
        self.session.ending()
    }

    /// As [`Held::ending`], where it is known to have ended.
    pub(crate) fn reason(&self) -> EndReason {
        // It is given up when its session has ended, or with the runtime, which the server needs.
        self.ending().unwrap_or(EndReason::Shutdown)
    }

    /// Waits until the session has ended, and it was given up.
    pub(crate) async fn ended(&self) -> EndReason {
        // Only fails when the runtime has ended.
        let _ = self.given_up.clone().wait_for(|given_up| *given_up).await;
        self.reason()
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        let value = self.inner.lock().take();
        drop(value);
    }
}

impl<T> fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(self.session.id()).finish()
    }
}
