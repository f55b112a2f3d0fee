//! Shards: one thread, one current-thread runtime, one engine each.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, ready};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, unconstrained};
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tracing::warn;

use crate::conn::Conn;
use crate::engine::Engine;
use crate::inbox::Inbox;
use crate::uring::Uring;
use crate::viewer::Joining;

/// Connections that may wait for a busy shard to take them over; the acceptor waits beyond.
const JOB_QUEUE: usize = 1024;

/// Bytes that are read from one session at once: a large frame in a few reads.
const READ_BUFFER: usize = 64 << 10;

type Job = Box<dyn FnOnce(&Rc<Shard>) + Send>;

/// The shard that the current code runs on.
pub struct Shard {
    engine: RefCell<Engine>,
    inbox: Arc<Inbox>,
    read_buffer: RefCell<Vec<u8>>,
    /// Sessions and viewers here, for placement.
    load: Arc<AtomicUsize>,
    tasks: Cell<usize>,
}

impl Shard {
    /// Starts a task on this shard. A panic in it ends the task alone.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        tokio::task::spawn_local(task);
    }

    /// Takes a viewer in: from now on the engine owns the connection.
    pub fn join(self: &Rc<Self>, joining: Joining) {
        self.engine.borrow_mut().join(joining, Instant::now(), self);
        self.inbox.nudge();
    }

    /// Reads once from a connection and hands the bytes over. Nothing is kept per connection: all
    /// of a shard read into one buffer. `None` when the peer has closed.
    ///
    /// # Errors
    /// The connection's.
    pub async fn read<T>(
        &self,
        conn: &mut Conn,
        mut take: impl FnMut(&[u8]) -> T,
    ) -> io::Result<Option<T>> {
        poll_fn(|cx| {
            let mut buffer = self.read_buffer.borrow_mut();
            let mut read = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut *conn).poll_read(cx, &mut read))?;
            let filled = read.filled();
            Poll::Ready(Ok(if filled.is_empty() { None } else { Some(take(filled)) }))
        })
        .await
    }

    /// Runs a session as a task of this shard and counts it as load until it ends.
    fn run(self: &Rc<Self>, session: impl Future<Output = ()> + 'static) {
        let shard = self.clone();
        shard.tasks.set(shard.tasks.get() + 1);
        let guard = TaskGuard(shard);
        self.spawn(async move {
            let _guard = guard;
            session.await;
        });
    }

    fn publish_load(&self) {
        let viewers = self.engine.try_borrow().map_or(0, |engine| engine.viewers());
        self.load.store(self.tasks.get() + viewers, Ordering::Relaxed);
    }

    /// The engine's loop.
    async fn drive(self: Rc<Self>) {
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut more = false;
        loop {
            let flush = self.engine.borrow_mut().next_flush();
            let flush_due = async {
                match flush {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            if more {
                tokio::task::yield_now().await;
            } else {
                tokio::select! {
                    () = self.inbox.ring() => {}
                    () = flush_due => {}
                    _ = second.tick() => {
                        self.engine.borrow_mut().tick(Instant::now(), &self);
                        self.publish_load();
                    }
                }
            }
            more = self.engine.borrow_mut().turn(Instant::now(), &self);
        }
    }
}

struct TaskGuard(Rc<Shard>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.tasks.set(self.0.tasks.get().saturating_sub(1));
    }
}

/// How viewers are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Egress {
    /// The cheapest way that this system allows.
    #[default]
    Auto,
    /// One system call for each viewer and flush.
    Epoll,
    /// One system call for many viewers.
    Uring,
}

impl Egress {
    /// What it comes to on this system.
    fn settle(self) -> io::Result<Self> {
        match (self, Uring::new()) {
            (Self::Epoll, _) | (Self::Auto, Err(_)) => Ok(Self::Epoll),
            (_, Ok(_)) => Ok(Self::Uring),
            (Self::Uring, Err(error)) => Err(error),
        }
    }
}

/// All shards of a server; dropped, it ends their threads and everything on them.
#[derive(Debug)]
pub struct Shards {
    handles: Vec<Handle>,
    egress: Egress,
}

#[derive(Debug)]
struct Handle {
    jobs: mpsc::Sender<Job>,
    load: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Shards {
    /// Starts `count` shards (at least one).
    ///
    /// # Errors
    /// When the system gives no thread or no event queue, or not the egress that is demanded.
    pub fn start(count: usize, egress: Egress) -> io::Result<Self> {
        let egress = egress.settle()?;
        let start = |index| Handle::start(index, egress);
        let handles = (0..count.max(1)).map(start).collect::<io::Result<_>>()?;
        Ok(Self { handles, egress })
    }

    /// How viewers are written to: never [`Egress::Auto`].
    #[must_use]
    pub fn egress(&self) -> Egress {
        self.egress
    }

    /// How many shards there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.handles.len()
    }

    /// Runs a session on the shard that has least to do. The closure is called on that shard.
    pub async fn place<F>(&self, session: impl FnOnce(Rc<Shard>) -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        let least = self.handles.iter().min_by_key(|handle| handle.load.load(Ordering::Relaxed));
        let Some(handle) = least else { return };
        // Counted at once, so that a burst of connections spreads before the shard reports.
        handle.load.fetch_add(1, Ordering::Relaxed);
        let job: Job = Box::new(move |shard| shard.run(session(shard.clone())));
        // A shard that is gone is stopping with the server: the connection is dropped.
        let _ = handle.jobs.send(job).await;
    }
}

impl Handle {
    fn start(index: usize, egress: Egress) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(JOB_QUEUE);
        let (stop, stopped) = oneshot::channel();
        let load = Arc::new(AtomicUsize::new(0));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shard_load = load.clone();
        let thread =
            std::thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
                let local = LocalSet::new();
                local.block_on(&runtime, serve(queue, stopped, shard_load, egress));
            })?;
        Ok(Self { jobs, load, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Only fails when the thread has already ended.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    mut queue: mpsc::Receiver<Job>,
    stopped: oneshot::Receiver<()>,
    load: Arc<AtomicUsize>,
    egress: Egress,
) {
    let inbox = Arc::new(Inbox::default());
    let uring = match egress {
        Egress::Uring => Uring::new()
            .inspect_err(|error| warn!(%error, "io_uring is refused to a shard: it uses epoll"))
            .ok(),
        Egress::Auto | Egress::Epoll => None,
    };
    let engine = RefCell::new(Engine::new(inbox.clone(), uring));
    let read_buffer = RefCell::new(vec![0; READ_BUFFER]);
    let shard = Rc::new(Shard { engine, inbox, read_buffer, load, tasks: Cell::new(0) });
    // The engine walks all viewers in one turn: tokio's budget per task would only make ready
    // sockets look blocked.
    shard.spawn(unconstrained(shard.clone().drive()));
    let take_jobs = async {
        while let Some(job) = queue.recv().await {
            job(&shard);
        }
    };
    tokio::select! {
        () = take_jobs => {}
        _ = stopped => {}
    }
}
