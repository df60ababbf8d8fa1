//! A worker thread: it keeps the clients it is given until it is told to drain.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use super::listener::Binding;
use super::stream::Stream;
use crate::config::snapshot::Config;

/// What the command line says about workers.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `-R`: requests served per connection and turn.
    pub requests_per_turn: u32,
    /// `-B`: the protocol that clients must speak.
    pub binding: Binding,
}

/// What a worker is told.
#[derive(Debug)]
pub enum Message {
    /// A new client.
    Client {
        /// Its connection.
        stream: Stream,
        /// Index of its bucket.
        bucket: usize,
    },
    /// A new configuration.
    Config(Arc<Config>),
    /// Finish what has begun, then stop.
    Drain,
}

/// A running worker.
#[derive(Debug)]
pub struct Handle {
    messages: Sender<Message>,
    thread: JoinHandle<()>,
}

impl Handle {
    /// Tells the worker something.
    pub fn send(&self, message: Message) {
        let _ = self.messages.send(message);
    }

    /// Whether the worker has stopped.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the worker to stop.
    pub fn join(self) {
        let _ = self.thread.join();
    }
}

/// Starts a worker.
pub fn spawn(index: usize, _config: Arc<Config>, _options: Options) -> io::Result<Handle> {
    let (messages, inbox) = channel();
    let thread = thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || run(&inbox))?;
    Ok(Handle { messages, thread })
}

fn run(inbox: &Receiver<Message>) {
    let mut clients = Vec::new();
    for message in inbox {
        match message {
            Message::Client { stream, .. } => clients.push(stream),
            Message::Config(_) => {}
            Message::Drain => return,
        }
    }
}
