//! Functions of the program that get every stream that begins.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hub::{Event, Observer, StreamName, Tap};
use parking_lot::Mutex;
use session::Context;
use session::customize::Reader;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::subscribe::{MAX_BYTES, Subscriber};

/// Such a function.
pub(crate) type Hook = dyn Fn(Subscriber) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// Runs them, a task for each stream.
pub(crate) struct Hooks {
    hooks: Vec<Arc<Hook>>,
    runtime: Handle,
    context: Weak<Context>,
    running: Mutex<JoinSet<()>>,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks").field("hooks", &self.hooks.len()).finish_non_exhaustive()
    }
}

impl Hooks {
    pub(crate) fn new(hooks: Vec<Arc<Hook>>, runtime: Handle, context: &Arc<Context>) -> Arc<Self> {
        let (context, running) = (Arc::downgrade(context), Mutex::default());
        Arc::new(Self { hooks, runtime, context, running })
    }

    /// Waits until all have ended, for `limit` at most. Whether they have.
    pub(crate) async fn finish(&self, limit: Duration) -> bool {
        let mut running = std::mem::take(&mut *self.running.lock());
        tokio::time::timeout(limit, async { while running.join_next().await.is_some() {} })
            .await
            .is_ok()
    }

    /// Ends all.
    pub(crate) fn abort(&self) {
        self.running.lock().abort_all();
    }

    /// A stream begins: it is tapped at once, so that no frame is missed.
    fn begin(&self, name: &StreamName) {
        let stream = self.context.upgrade().and_then(|context| context.registry.find(name));
        let Some(stream) = stream else { return };
        let key_frame_wait = stream.lock().settings().key_frame_wait;
        let tasks = self.hooks.iter().map(|hook| {
            let reader = Reader::new(Tap::open(&stream, MAX_BYTES), key_frame_wait);
            hook(Subscriber::new(name.clone(), reader, None))
        });
        // The functions may publish, which comes here again: they are not called under the lock.
        let tasks: Vec<_> = tasks.collect();
        let mut running = self.running.lock();
        while running.try_join_next().is_some() {}
        for task in tasks {
            running.spawn_on(task, &self.runtime);
        }
    }
}

impl Observer for Hooks {
    fn observe(&self, event: &Event) {
        if let Event::StreamStarted(name) = event {
            self.begin(name);
        }
    }
}
